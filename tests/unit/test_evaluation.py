"""Metrics against scikit-learn and hand computations; intervals against theory."""

from statistics import NormalDist

import numpy as np
import pytest
import sklearn.metrics as reference

from bank_marketing.config import EvaluationSettings, ThresholdSettings
from bank_marketing.errors import DataError
from bank_marketing.evaluation import Evaluation, evaluate

SETTINGS = EvaluationSettings(resamples=100, confidence=0.95, calibration_bins=2, seed=7)
COSTS = ThresholdSettings(cost_per_call=6, value_per_deposit=60)

# Small enough for paper: two rows share a score, and both classes are on either side of 0.5.
LABELS = np.array([1, 1, 0, 0, 1, 0])
SCORES = np.array([0.9, 0.8, 0.8, 0.6, 0.4, 0.2])


def evaluated(labels, scores, *, threshold=0.5, settings=SETTINGS):
    return evaluate(
        np.asarray(labels), np.asarray(scores), threshold=threshold, settings=settings, costs=COSTS
    )


def sample(rows, seed):
    """Draw rows whose scores are the true probabilities, in steps of 0.05: full of ties."""
    generator = np.random.default_rng(seed)
    scores = generator.beta(1, 4, rows).round(1) + generator.choice([0, 0.05], rows)
    return (generator.random(rows) < scores).astype(int), scores.clip(0, 1)


def binormal_sample(rows, generator):
    """Draw scores whose true ROC AUC is known: positives lie one standard deviation higher."""
    labels = np.arange(rows) % 2
    return labels, 1 / (1 + np.exp(-generator.normal(loc=labels)))


@pytest.mark.parametrize(
    ("metric", "function"),
    [
        ("roc_auc", reference.roc_auc_score),
        ("pr_auc", reference.average_precision_score),
        ("log_loss", reference.log_loss),
        ("brier", reference.brier_score_loss),
        ("accuracy", lambda y, p: reference.accuracy_score(y, p >= 0.3)),
        ("precision", lambda y, p: reference.precision_score(y, p >= 0.3)),
        ("recall", lambda y, p: reference.recall_score(y, p >= 0.3)),
        ("f1", lambda y, p: reference.f1_score(y, p >= 0.3)),
    ],
)
@pytest.mark.parametrize("seed", range(3))
def test_metric_equals_scikit_learn_in_spite_of_ties(metric, function, seed):
    labels, scores = sample(500, seed)

    evaluation = evaluated(labels, scores, threshold=0.3)

    assert evaluation.metrics[metric].value == pytest.approx(function(labels, scores), rel=1e-12)


def test_classification_report_equals_scikit_learn():
    labels, scores = sample(500, seed=0)

    report = evaluated(labels, scores, threshold=0.3).report

    expected = reference.classification_report(labels, scores >= 0.3, output_dict=True)
    names = {
        "no": "0",
        "yes": "1",
        "macro average": "macro avg",
        "weighted average": "weighted avg",
    }
    assert {
        name: [row.precision.value, row.recall.value, row.f1.value, row.support]
        for name, row in report.items()
    } == {name: pytest.approx(list(expected[key].values())) for name, key in names.items()}


def test_log_loss_of_a_certain_error_is_finite():
    evaluation = evaluated([1, 0], [0.0, 0.0])

    # One row of two costs -ln(2**-52) = 52 ln 2 nats.
    assert evaluation.metrics["log_loss"].value == pytest.approx(26 * np.log(2))


@pytest.mark.parametrize(
    ("metric", "expected"),
    [
        # Bins .9 .8 .8 and .6 .4 .2: |2 - 2.5| + |1 - 1.2| subscribers, of 6 rows.
        ("expected_calibration_error", 0.7 / 6),
        # Reached by 0 1 3 4 5 6 calls: 0 1 2 2 3 3 thirds; trapezoids 1 + 6 + 4 + 5 + 6, of 36.
        ("alift", 22 / 36),
        ("top_half", 2 / 3),
        # A tenth is 0.6 rows, all of it within the first row, a subscriber: 0.6 of 3.
        ("top_tenth", 0.2),
        # Four calls at 6, two deposits at 60, six customers.
        ("profit", 96 / 6),
    ],
)
def test_metric_matches_a_hand_computation(metric, expected):
    evaluation = evaluated(LABELS, SCORES)

    assert evaluation.metrics[metric].value == pytest.approx(expected)


def test_rows_of_equal_score_are_reached_in_proportion():
    # The better half is the first row and one of three, of which two are the only subscribers.
    evaluation = evaluated([0, 1, 1, 0], [0.9, 0.8, 0.8, 0.8])

    assert evaluation.metrics["top_half"].value == pytest.approx(1 / 3)


def test_rows_of_equal_score_share_a_calibration_bin():
    evaluation = evaluated([0, 1, 0, 0], [0.25] * 4)

    [only] = evaluation.calibration
    assert (only.rows, only.predicted, only.observed.value) == (4, 0.25, 0.25)
    assert evaluation.metrics["expected_calibration_error"].value == 0


def test_a_score_at_the_threshold_is_a_call():
    confusion = evaluated(LABELS, SCORES, threshold=0.8).confusion

    counts = {name: interval.value for name, interval in confusion}
    assert counts == {
        "true_negatives": 2,
        "false_positives": 1,
        "false_negatives": 1,
        "true_positives": 2,
    }


def test_calling_nobody_earns_and_costs_nothing():
    metrics = evaluated(LABELS, SCORES, threshold=1).metrics

    values = {name: metrics[name].value for name in ("precision", "recall", "f1", "profit")}
    assert values == {"precision": 0, "recall": 0, "f1": 0, "profit": 0}


def test_short_curves_are_kept_point_by_point():
    evaluation = evaluated(LABELS, SCORES)

    third, sixth = 1 / 3, 1 / 6
    assert evaluation.roc.x == pytest.approx([0, 0, third, 2 * third, 2 * third, 1])
    assert evaluation.roc.y == pytest.approx([0, third, 2 * third, 2 * third, 1, 1])
    assert evaluation.gains.x == pytest.approx([0, sixth, 3 * sixth, 4 * sixth, 5 * sixth, 1])
    assert evaluation.gains.y == evaluation.roc.y
    assert evaluation.precision_recall.x == evaluation.roc.y[1:]
    assert evaluation.precision_recall.y == pytest.approx([1, 2 / 3, 1 / 2, 3 / 5, 1 / 2])


def test_long_curves_are_thinned_without_a_visible_change():
    labels, scores = binormal_sample(5_000, np.random.default_rng(0))

    evaluation = evaluated(labels, scores)

    assert len(evaluation.roc.x) <= 200
    assert np.trapezoid(evaluation.roc.y, evaluation.roc.x) == pytest.approx(
        evaluation.metrics["roc_auc"].value, abs=0.001
    )


def test_depths_say_what_the_best_scored_customers_bring():
    depths = {depth.share: depth for depth in evaluated(LABELS, SCORES).depths}

    # Three of six calls reach two of three subscribers: (2 x 60 - 3 x 6) / 6 = 17 per customer;
    # calling all: (3 x 60 - 6 x 6) / 6 = 24.
    assert len(depths) == 50
    assert (depths[0.5].reached.value, depths[0.5].profit.value) == pytest.approx((2 / 3, 17))
    assert (depths[1.0].reached.value, depths[1.0].profit.value) == pytest.approx((1, 24))


def test_reach_of_all_customers_is_certain_but_their_profit_is_not():
    [*_, everybody] = evaluated(LABELS, SCORES).depths

    assert (everybody.reached.low, everybody.reached.high) == (1, 1)
    assert everybody.profit.low < everybody.profit.value < everybody.profit.high


def test_every_customer_counts_once_in_the_distribution_of_scores():
    scores = evaluated([1, 0, 1, 0, 0], [1.0, 0.99, 0.03, 0.01, 0.0]).scores

    assert (len(scores.positives), len(scores.negatives)) == (50, 50)
    assert (scores.positives[1], scores.positives[-1], sum(scores.positives)) == (1, 1, 2)
    assert (scores.negatives[0], scores.negatives[-1], sum(scores.negatives)) == (2, 1, 3)


def test_interval_of_accuracy_is_that_of_the_normal_approximation():
    labels, scores = sample(2_000, seed=0)
    settings = SETTINGS.model_copy(update={"resamples": 2_000})

    accuracy = evaluated(labels, scores, settings=settings).metrics["accuracy"]

    # A share of n rows has the standard error sqrt(p (1 - p) / n).
    margin = 1.96 * np.sqrt(accuracy.value * (1 - accuracy.value) / 2_000)
    assert accuracy.high - accuracy.value == pytest.approx(margin, rel=0.1)
    assert accuracy.value - accuracy.low == pytest.approx(margin, rel=0.1)


def test_interval_of_roc_auc_covers_the_truth_about_as_often_as_it_says():
    generator = np.random.default_rng(0)
    truth = NormalDist().cdf(1 / np.sqrt(2))  # P(a positive's score exceeds a negative's)

    intervals = [evaluated(*binormal_sample(200, generator)).metrics["roc_auc"] for _ in range(200)]

    covered = np.mean([interval.low <= truth <= interval.high for interval in intervals])
    assert 0.90 <= covered <= 0.99


def test_bands_hold_the_true_curves_about_as_often_as_they_say():
    normal, generator = NormalDist(), np.random.default_rng(0)
    drawn = [evaluated(*binormal_sample(400, generator)) for _ in range(100)]

    roc, precision_recall = [], []
    for x in (0.2, 0.5, 0.8):
        recall = 1 - normal.cdf(normal.inv_cdf(1 - x) - 1)
        others_called = 1 - normal.cdf(normal.inv_cdf(1 - x) + 1)
        at = drawn[0].roc_band.x.index(x)
        roc += [each.roc_band.low[at] <= recall <= each.roc_band.high[at] for each in drawn]
        bands = [each.precision_recall_band for each in drawn]
        precision = x / (x + others_called)
        precision_recall += [band.low[at] <= precision <= band.high[at] for band in bands]

    assert 0.9 <= np.mean(roc) <= 0.98
    assert 0.9 <= np.mean(precision_recall) <= 0.98


def test_every_interval_holds_its_value_even_where_resamples_are_biased():
    labels = np.tile([1, 0, 0, 0], 250)

    evaluation = evaluated(labels, np.where(np.arange(1_000) < 500, 0.249, 0.251))

    # Almost no resample is as well calibrated as this sample.
    assert evaluation.metrics["expected_calibration_error"].value == pytest.approx(0.001)
    assert all(m.low <= m.value <= m.high for m in evaluation.metrics.values())


def test_resamples_that_lack_a_class_are_left_out():
    evaluation = evaluated([1] + [0] * 29, [0.9] + [0.1] * 29)

    # A third of the resamples miss the only subscriber; in all others it is found.
    recall = evaluation.metrics["recall"]
    assert (recall.low, recall.value, recall.high) == (1, 1, 1)


def test_calibration_bin_without_subscribers_is_still_uncertain():
    evaluation = evaluated([1] * 10 + [0] * 10, np.linspace(0.95, 0.05, 20))

    # Wilson: 0 of n lies below z^2 / (n + z^2) = 3.8415 / 13.8415.
    lowest = evaluation.calibration[-1]
    assert (lowest.rows, lowest.observed.value, lowest.observed.low) == (10, 0, 0)
    assert lowest.observed.high == pytest.approx(0.27753, abs=1e-5)


def test_more_confidence_needs_a_wider_interval():
    labels, scores = sample(500, seed=0)

    narrow, wide = (
        evaluated(labels, scores, settings=SETTINGS.model_copy(update={"confidence": confidence}))
        for confidence in (0.5, 0.95)
    )

    for name, interval in narrow.metrics.items():
        assert wide.metrics[name].low <= interval.low <= interval.high <= wide.metrics[name].high
    assert wide.metrics["roc_auc"].low < narrow.metrics["roc_auc"].low


def test_seed_alone_decides_the_resamples():
    labels, scores = sample(500, seed=0)

    first, again, other = (
        evaluated(labels, scores, settings=SETTINGS.model_copy(update={"seed": seed}))
        for seed in (7, 7, 8)
    )

    assert first == again
    assert first.metrics["roc_auc"].value == other.metrics["roc_auc"].value
    assert first.metrics["roc_auc"].low != other.metrics["roc_auc"].low


def test_evaluation_survives_json():
    evaluation = evaluated(LABELS, SCORES)

    assert Evaluation.model_validate_json(evaluation.model_dump_json()) == evaluation


@pytest.mark.parametrize(
    ("labels", "scores", "threshold", "message"),
    [
        ([1, 0], [0.5], 0.5, r"of equal length, got shapes \(2,\) and \(1,\)"),
        ([[1, 0]], [[0.5, 0.5]], 0.5, r"one-dimensional .* got shapes \(1, 2\) and \(1, 2\)"),
        ([1, 0, 2, -1], [0.5] * 4, 0.5, r"labels must be 0 or 1, got \[-1, 2\]"),
        ([0, 0], [0.5, 0.5], 0.5, "both classes, got 0 positives in 2 rows"),
        ([1, 1], [0.5, 0.5], 0.5, "both classes, got 2 positives in 2 rows"),
        ([], [], 0.5, "both classes, got 0 positives in 0 rows"),
        ([1, 0], [0.5, np.nan], 0.5, "probabilities .* got nan in row 1 and 0 more"),
        ([1, 0], [1.5, -0.5], 0.5, "probabilities .* got 1.5 in row 0 and 1 more"),
        ([1, 0], [0.5, 0.5], np.nan, "threshold must lie between 0 and 1, got nan"),
    ],
)
def test_impossible_input_is_refused_with_its_values(labels, scores, threshold, message):
    with pytest.raises(DataError, match=message):
        evaluated(labels, scores, threshold=threshold)
