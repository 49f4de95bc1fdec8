"""Calibration: fitted as scikit-learn would, chosen out of sample, and part of the bundle."""

import json

import numpy as np
import pytest
from sklearn.calibration import CalibratedClassifierCV
from sklearn.frozen import FrozenEstimator
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression

from bank_marketing.bundle import Bundle, Isotonic, Platt
from bank_marketing.calibration import calibrate, choose_method, fit_calibration
from bank_marketing.config import CalibrationSettings
from bank_marketing.errors import DataError, ModelError
from bank_marketing.model import labels, train_bundle


def logistic(log_odds):
    return 1 / (1 + np.exp(-log_odds))


def margins_and_labels(rows, seed, *, truth=lambda margins: margins):
    """Draw log-odds, and labels whose true log-odds are `truth` of them."""
    generator = np.random.default_rng(seed)
    margins = generator.normal(-2, 1.5, rows).round(2)  # with ties
    return margins, (generator.random(rows) < logistic(truth(margins))).astype(int)


@pytest.fixture(scope="module")
def validation_set(contacts):
    return contacts[3000:]


@pytest.fixture(scope="module")
def bundle(contacts, validation_set, settings) -> Bundle:
    return train_bundle(contacts[:3000], validation_set, settings.features, settings.model)


def test_platt_equals_the_sigmoid_calibration_of_scikit_learn():
    margins, answers = margins_and_labels(2_000, seed=0, truth=lambda m: 0.5 * m - 1)
    new = np.linspace(-9, 9, 101)

    calibration = fit_calibration("platt", margins, answers)

    # scikit-learn calibrates on the decisions of a classifier: this one hands the margins through.
    passing = LogisticRegression().fit(margins[:, np.newaxis], answers)
    passing.coef_, passing.intercept_ = np.array([[1.0]]), np.array([0.0])
    reference = CalibratedClassifierCV(FrozenEstimator(passing)).fit(
        margins[:, np.newaxis], answers
    )
    expected = reference.predict_proba(new[:, np.newaxis])[:, 1]
    np.testing.assert_allclose(calibration.probability(new), expected, atol=1e-6)


def test_isotonic_equals_scikit_learn_between_and_beyond_its_knots():
    margins, answers = margins_and_labels(2_000, seed=0, truth=lambda m: np.abs(m) - 2)
    new = np.linspace(-9, 9, 1_001)

    calibration = fit_calibration("isotonic", margins, answers)

    positives = answers.sum()
    reference = IsotonicRegression(
        y_min=1 / (2_000 - positives + 2),
        y_max=(positives + 1) / (positives + 2),
        out_of_bounds="clip",
    ).fit(margins, answers)
    np.testing.assert_allclose(calibration.probability(new), reference.predict(new), rtol=1e-12)


@pytest.mark.parametrize("method", ["platt", "isotonic"])
def test_no_calibration_says_never_or_always(method):
    margins, answers = np.array([-3.0, -2, -1, 1, 2, 3]), np.array([0, 0, 0, 1, 1, 1])

    probabilities = fit_calibration(method, margins, answers).probability(
        np.array([-20.0, -3, 3, 20])
    )

    assert (probabilities > 0).all()
    assert (probabilities < 1).all()


def test_isotonic_of_separate_classes_gives_platts_targets():
    margins, answers = np.array([-3.0, -2, -1, 1, 2, 3]), np.array([0, 0, 0, 1, 1, 1])

    calibration = fit_calibration("isotonic", margins, answers)

    # Three of each class: 1 / (3 + 2), and (3 + 1) / (3 + 2); half-way between in the middle.
    found = calibration.probability(np.array([-9.0, -1, 0, 1, 9]))
    assert found == pytest.approx([0.2, 0.2, 0.5, 0.8, 0.8])


@pytest.mark.parametrize("method", ["platt", "isotonic"])
@pytest.mark.parametrize("slope", [2, 0.3, -1], ids=["too flat", "too steep", "turned round"])
def test_no_calibration_turns_the_order_of_two_customers_round(method, slope):
    margins, answers = margins_and_labels(500, seed=0, truth=lambda m: slope * m)

    calibration = fit_calibration(method, margins, answers)

    assert (np.diff(calibration.probability(np.linspace(-9, 9, 1_001))) >= 0).all()


def test_margins_that_point_the_wrong_way_get_the_base_rate():
    margins, answers = np.array([2.0, 1, -1, -2]), np.array([0, 0, 1, 0])

    calibration = fit_calibration("platt", margins, answers)

    # Targets 1/5, 1/5, 2/3, 1/5: their mean is 19/60.
    assert calibration.slope == 0
    assert calibration.probability(margins) == pytest.approx([19 / 60] * 4)


@pytest.mark.parametrize(
    ("truth", "method"),
    [
        (lambda m: m, "none"),
        (lambda m: 0.4 * m - 0.5, "platt"),
        (lambda m: np.where(m > -1, 1.0, -3.0), "isotonic"),
    ],
    ids=["true already", "too steep", "a step"],
)
def test_auto_takes_what_the_scores_need(truth, method):
    choice = choose_method(*margins_and_labels(6_000, seed=0, truth=truth), seed=0)

    assert choice.method == method
    assert [trial.method for trial in choice.trials] == ["none", "platt", "isotonic"]


def test_a_gain_within_its_standard_error_is_a_tie_that_no_calibration_wins():
    choice = choose_method(*margins_and_labels(400, seed=1, truth=lambda m: 0.95 * m), seed=0)

    gains = [trial.gain for trial in choice.trials]
    assert choice.method == "none"
    assert 0 < max(gains) <= choice.trials[gains.index(max(gains))].gain_standard_error


def test_auto_does_not_believe_a_fit_on_its_own_rows():
    margins, answers = margins_and_labels(300, seed=0)

    fitted = fit_calibration("isotonic", margins, answers).probability(margins)
    isotonic = choose_method(margins, answers, seed=0).trials[2]

    in_sample = -np.log(np.where(answers == 1, fitted, 1 - fitted)).mean()
    none = choose_method(margins, answers, seed=0).trials[0].log_loss
    assert in_sample < none < isotonic.log_loss


def test_auto_is_not_misled_by_a_market_that_moves():
    margins, answers = margins_and_labels(4_000, seed=0)
    in_time = np.argsort(margins + np.random.default_rng(0).normal(size=4_000))

    none, *others = choose_method(margins[in_time], answers[in_time], seed=0).trials

    # The probabilities are true: what is fitted to rows of all times is about as good.
    assert [trial.log_loss for trial in others] == pytest.approx([none.log_loss] * 2, abs=0.005)


def test_log_loss_of_no_calibration_is_that_of_the_margins():
    margins, answers = margins_and_labels(300, seed=0)

    none = choose_method(margins, answers, seed=0).trials[0]

    of_the_truth = np.where(answers == 1, logistic(margins), 1 - logistic(margins))
    assert none.log_loss == pytest.approx(-np.log(of_the_truth).mean())


def test_auto_says_what_to_do_when_a_class_is_too_rare():
    with pytest.raises(DataError, match=r"needs 5 rows of each class .* got 4; .*method=none"):
        choose_method(np.zeros(50), np.repeat([1, 0], [4, 46]), seed=0)


@pytest.mark.parametrize("method", ["platt", "isotonic"])
def test_a_calibrated_bundle_scores_with_its_calibration(bundle, validation_set, method):
    calibrated, choice = calibrate(
        bundle, validation_set, CalibrationSettings(method=method, seed=0)
    )

    expected = fit_calibration(method, bundle.margin(validation_set), labels(validation_set))
    assert (choice.method, choice.rows, choice.trials) == (method, 1_000, ())
    np.testing.assert_array_equal(
        calibrated.probability(validation_set), expected.probability(bundle.margin(validation_set))
    )


def test_calibration_makes_the_mean_probability_that_of_the_subscribers(bundle, validation_set):
    calibrated, _ = calibrate(bundle, validation_set, CalibrationSettings(method="platt", seed=0))

    # The best intercept makes the residuals sum to 0, but for the smoothing of the targets.
    observed = labels(validation_set).mean()
    assert calibrated.probability(validation_set).mean() == pytest.approx(observed, abs=0.002)


def test_a_bundle_without_calibration_scores_as_its_booster(bundle, validation_set):
    untouched, _ = calibrate(bundle, validation_set, CalibrationSettings(method="none", seed=0))

    assert untouched.files() == bundle.files()
    np.testing.assert_array_equal(
        untouched.probability(validation_set), bundle.probability(validation_set)
    )


def test_margins_are_the_log_odds_of_the_probabilities(bundle, validation_set):
    margins = bundle.margin(validation_set)

    np.testing.assert_allclose(logistic(margins), bundle.probability(validation_set), rtol=1e-6)


def test_calibrating_again_starts_from_the_booster(bundle, validation_set):
    settings = CalibrationSettings(method="platt", seed=0)
    once, _ = calibrate(bundle, validation_set, settings)

    twice, _ = calibrate(once, validation_set, settings)

    assert twice.files() == once.files()


@pytest.mark.parametrize("method", ["platt", "isotonic"])
def test_a_calibrated_bundle_that_was_saved_is_the_same(bundle, validation_set, method, tmp_path):
    calibrated, _ = calibrate(bundle, validation_set, CalibrationSettings(method=method, seed=0))

    calibrated.save(tmp_path)

    loaded = Bundle.load(tmp_path)
    assert loaded.manifest == calibrated.manifest
    assert loaded.files() == calibrated.files()
    np.testing.assert_array_equal(
        loaded.probability(validation_set), calibrated.probability(validation_set)
    )


def test_a_bundle_from_before_calibration_can_be_read(bundle):
    manifest = json.loads(bundle.files()["model.json"])
    del manifest["calibration"]

    loaded = Bundle.from_files(bundle.files() | {"model.json": json.dumps(manifest).encode()})

    assert loaded.manifest.calibration is None


@pytest.mark.parametrize(
    ("calibration", "message"),
    [
        ({"method": "beta", "a": 1}, "a calibration that is unknown: .*beta"),
        ({"method": "platt", "slope": 1}, "a calibration that is unknown: .*platt"),
        ({"method": "platt", "slope": "steep", "intercept": 0}, "cannot be read"),
        ({"method": "platt", "slope": -1, "intercept": 0}, "slope .* at least 0, not -1"),
        (
            {"method": "isotonic", "margins": [0, 1], "probabilities": [0.5]},
            "rising probabilities, got 2 margins and 1 probabilities",
        ),
    ],
)
def test_a_damaged_calibration_is_refused(bundle, calibration, message):
    manifest = json.loads(bundle.files()["model.json"]) | {"calibration": calibration}
    files = bundle.files() | {"model.json": json.dumps(manifest).encode()}

    with pytest.raises(ModelError, match=message):
        Bundle.from_files(files)


@pytest.mark.parametrize(
    ("margins", "probabilities"),
    [
        ((), ()),
        ((0.0, 0.0), (0.1, 0.2)),
        ((0.0, 1.0), (0.2, 0.1)),
        ((0.0, 1.0), (0.2, 1.1)),
        ((0.0, float("nan")), (0.1, 0.2)),
    ],
    ids=["no knots", "equal margins", "falling", "above 1", "not a number"],
)
def test_knots_must_rise_within_their_range(margins, probabilities):
    with pytest.raises(ModelError, match="must be pairs of rising margins"):
        Isotonic(margins, probabilities)


def test_extreme_margins_overflow_nowhere():
    assert Platt(1.0, 0.0).probability(np.array([-1e4, 1e4])).tolist() == [0, 1]


def test_the_same_validation_set_gives_the_same_choice(bundle, validation_set):
    auto = CalibrationSettings(method="auto", seed=0)

    (first, choice), (second, again) = (calibrate(bundle, validation_set, auto) for _ in range(2))

    assert choice == again
    assert first.files() == second.files()
