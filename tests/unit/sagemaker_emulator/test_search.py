import pytest

from sagemaker_emulator.api.errors import ValidationException
from sagemaker_emulator.jobs.algorithms import with_metrics
from sagemaker_emulator.jobs.storage import Metrics
from sagemaker_emulator.tuning.search import BayesianSearch, GridSearch, RandomSearch, Range, Space


def range_(low: str, high: str, scale: str = "Linear", *, whole: bool = False) -> Range:
    request = {"Name": "x", "MinValue": low, "MaxValue": high, "ScalingType": scale}
    return Range.of(request, whole=whole)


@pytest.mark.parametrize(
    ("scale", "low", "high", "middle"),
    [
        ("Linear", "0", "10", 5),
        ("Logarithmic", "0.01", "1", 0.1),  # sqrt(0.01 * 1)
        ("ReverseLogarithmic", "0", "0.99", 0.9),  # 1 - sqrt(1 * 0.01)
        ("Auto", "1", "100", 50.5),
        ("Auto", "0.001", "10", 0.1),  # spans a factor of 10,000, so it is logarithmic
    ],
)
def test_half_of_a_range_is_the_middle_of_its_scale(scale, low, high, middle):
    tuned = range_(low, high, scale)

    assert float(tuned.at(0.5)) == pytest.approx(middle)
    assert [float(tuned.at(share)) for share in (0, 1)] == pytest.approx([float(low), float(high)])


@pytest.mark.parametrize("scale", ["Linear", "Logarithmic"])
def test_whole_numbers_reach_both_ends(scale):
    tuned = range_("1", "3", scale, whole=True)

    assert [tuned.at(share) for share in (0, 0.99, 1)] == ["1", "3", "3"]
    assert {tuned.at(number / 100) for number in range(100)} == {"1", "2", "3"}


@pytest.mark.parametrize(
    ("low", "high", "scale", "words"),
    [
        ("2", "1", "Linear", "MinValue 2.0 over MaxValue 1.0"),
        ("0", "1", "Logarithmic", "needs a MinValue over 0"),
        ("0", "1", "ReverseLogarithmic", r"within \[0, 1\)"),
        ("a", "1", "Linear", "is not numeric"),
    ],
)
def test_a_range_that_does_not_fit_its_scale_is_refused(low, high, scale, words):
    with pytest.raises(ValidationException, match=words):
        range_(low, high, scale)


def test_the_grid_is_every_combination():
    grid = GridSearch(Space([], {"a": ["1", "2"], "b": ["x", "y"]}))

    assert [grid.propose() for _ in grid.points] == [
        *({"a": "1", "b": "x"}, {"a": "1", "b": "y"}, {"a": "2", "b": "x"}, {"a": "2", "b": "y"})
    ]


def test_a_seed_makes_a_random_search_repeatable():
    space = Space([range_("0", "1")], {"c": ["a", "b"]})

    one, other = RandomSearch(space, 3), RandomSearch(space, 3)

    assert [one.propose() for _ in range(5)] == [other.propose() for _ in range(5)]


def test_a_bayesian_search_comes_closer_to_the_best():
    search = BayesianSearch(Space([range_("0", "1")], {}), 3, maximize=False)

    distances = []
    for number in range(30):
        distance = abs(float(search.propose()["x"]) - 0.7)
        search.learn(number, None if number == 4 else distance)
        distances.append(distance)

    assert sum(distances[-10:]) < sum(distances[:10]) / 2


def test_amazons_xgboost_has_metrics_of_its_own():
    image = "141502667606.dkr.ecr.eu-west-1.amazonaws.com/sagemaker-xgboost:3.0-5"
    specification = with_metrics({"TrainingImage": image})

    metrics = Metrics(specification["MetricDefinitions"])
    metrics.read("[2026-01-01:00:00:00:INFO] [9]#011train-auc:0.81234#011validation-auc:7.9e-1")

    seen = {name: values[0][1] for name, values in metrics.values.items() if values}
    assert seen == {"train:auc": 0.81234, "validation:auc": 0.79}


def test_given_metrics_and_other_images_stay_as_they_are():
    given = [{"Name": "auc", "Regex": "auc=(.*)"}]

    assert with_metrics({"TrainingImage": "mine:1"}) == {"TrainingImage": "mine:1"}
    specification = {"TrainingImage": "a.dkr.ecr.b/sagemaker-xgboost:1", "MetricDefinitions": given}
    assert with_metrics(specification)["MetricDefinitions"] == given
