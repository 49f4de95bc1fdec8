"""How good a model is on rows that it has never seen, and how sure one can be of that."""

from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bank_marketing.config import EvaluationSettings, Settings, ThresholdSettings
from bank_marketing.resampling import (
    DEPTHS,
    Confusion,
    FloatArray,
    Measures,
    Ranking,
    class_scores,
    count_sample,
    cumulate,
    measure_all,
    rank,
    threshold_metrics,
)
from bank_marketing.schema import NEGATIVE, POSITIVE

_CURVE_POINTS = 200  # more cannot be told apart in a chart
_SCORE_BINS = 50


class Interval(Settings):
    """An estimate and the bounds of its confidence interval: `low <= value <= high`."""

    value: float
    low: float
    high: float

    def in_words(self, form: str = ".3f") -> str:
        """Write the numbers as `form` says, the bounds in brackets."""
        return f"{self.value:{form}} ({self.low:{form}} to {self.high:{form}})"


class ConfusionMatrix(Settings):
    """Numbers of customers by what was true and what was predicted."""

    true_negatives: Interval
    false_positives: Interval
    false_negatives: Interval
    true_positives: Interval


class ClassScores(Settings):
    """One row of the classification report; `support` counts the customers it is about."""

    precision: Interval
    recall: Interval
    f1: Interval
    support: int


class Curve(Settings):
    """Points of a line within the unit square, in the order in which the threshold falls."""

    x: tuple[float, ...]
    y: tuple[float, ...]


class Band(Settings):
    """Where the lines of other samples run: between `low` and `high` at each `x`."""

    x: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]


class CalibrationBin(Settings):
    """Customers of similar score: their mean probability, and the share that subscribed."""

    predicted: float
    observed: Interval
    rows: int


class Depth(Settings):
    """What calling the best-scored `share` of the customers brings.

    `reached` is the share of all subscribers, `profit` the one per customer in the currency of the
    costs.
    """

    share: float
    reached: Interval
    profit: Interval


class ScoreDistribution(Settings):
    """Numbers of customers by score, in bins of equal width from 0 to 1."""

    positives: tuple[int, ...]
    negatives: tuple[int, ...]


class Evaluation(Settings):
    """What one scoring of labelled rows tells about a model; `evaluate` defines the metrics."""

    rows: int
    positives: int
    threshold: float
    costs: ThresholdSettings
    confidence: float
    resamples: int
    metrics: dict[str, Interval]
    confusion: ConfusionMatrix
    report: dict[str, ClassScores]
    roc: Curve
    roc_band: Band
    precision_recall: Curve
    precision_recall_band: Band
    gains: Curve
    calibration: tuple[CalibrationBin, ...]
    depths: tuple[Depth, ...]
    scores: ScoreDistribution


def evaluate(
    labels: NDArray[np.integer[Any]],
    probabilities: NDArray[np.floating[Any]],
    *,
    threshold: float,
    settings: EvaluationSettings,
    costs: ThresholdSettings,
) -> Evaluation:
    """Measure how well `probabilities` foresee `labels`, and how uncertain each metric is.

    The metrics that read the scores alone:

    - `roc_auc`, `pr_auc` (average precision), `log_loss` (nats), `brier`;
    - `expected_calibration_error`: mean over the rows of |observed - predicted share| of their
      bin. Bins hold equally many rows; equal scores stay together, so ties may leave fewer bins;
    - `alift`: area under the share of positives reached against the share of rows contacted, best
      score first; 0.5 is random;
    - `top_half`, `top_tenth`: share of positives among the best-scored half or tenth of the rows;
      rows of equal score are reached in proportion.

    At the threshold: `accuracy`, `precision`, `recall`, `f1` (0 where the denominator is), and
    `profit`: (value of the calls that succeed - cost of all calls) / rows, in the currency of
    `costs`.

    Intervals are percentiles over bootstrap resamples of the rows, widened to hold the value, which
    the calibration error of noisier resamples can exceed throughout. A resample that lacks a class
    is left out, most metrics being undefined on it. The observed share of a calibration bin has a
    Wilson interval, which stays honest where nobody subscribed.

    Args:
        labels: Shape (n,), 1 for a positive, else 0.
        probabilities: Shape (n,), of being positive.
        threshold: A row is predicted positive if its probability is at least this.
        settings: Resamples and their seed, confidence level, number of calibration bins.
        costs: What a call costs, and what a positive that is called is worth.

    Raises:
        DataError: The arrays do not match, hold an impossible value, or only one class.

    Source:
        S. Moro, P. Cortez, P. Rita, "A data-driven approach to predict the success of bank
        telemarketing", Decision Support Systems 62, 2014 (ALIFT and the top half).
        B. Efron, R. Tibshirani, *An Introduction to the Bootstrap*, 1993, chapter 13.
    """
    ranking = rank(labels, probabilities, threshold, settings.calibration_bins)
    sample = count_sample(ranking)
    measures = measure_all(ranking, settings)
    confusion = measures.confusion
    metrics = measures.metrics | threshold_metrics(confusion, costs)
    tp, fp = cumulate(sample[0])
    positives, negatives = tp[-1], fp[-1]
    return Evaluation(
        rows=labels.size,
        positives=int(positives),
        threshold=threshold,
        costs=costs,
        confidence=settings.confidence,
        resamples=settings.resamples,
        metrics={name: percentile_interval(m, settings.confidence) for name, m in metrics.items()},
        confusion=_confusion_matrix(confusion, settings.confidence),
        report=_report(confusion, settings.confidence),
        roc=_curve(fp / negatives, tp / positives),
        roc_band=_band(measures.recalls, settings.confidence),
        precision_recall=_curve(tp[1:] / positives, tp[1:] / (tp + fp)[1:]),
        precision_recall_band=_band(measures.precisions, settings.confidence),
        gains=_curve((tp + fp) / labels.size, tp / positives),
        calibration=_calibration(sample[0], ranking, settings.confidence),
        depths=_depths(measures, labels.size, costs, settings.confidence),
        scores=_score_distribution(sample[0], ranking),
    )


def _confusion_matrix(confusion: Confusion, confidence: float) -> ConfusionMatrix:
    tn, fp, fn, tp = (percentile_interval(counts, confidence) for counts in confusion)
    return ConfusionMatrix(
        true_negatives=tn, false_positives=fp, false_negatives=fn, true_positives=tp
    )


def _report(confusion: Confusion, confidence: float) -> dict[str, ClassScores]:
    tn, fp, fn, tp = confusion
    negatives, positives = tn + fp, fn + tp
    rows = negatives + positives
    no = class_scores(tn, predicted=tn + fn, actual=negatives)
    yes = class_scores(tp, predicted=tp + fp, actual=positives)
    lines = {
        NEGATIVE: (no, negatives),
        POSITIVE: (yes, positives),
        "macro average": ((no + yes) / 2, rows),
        "weighted average": ((no * negatives + yes * positives) / rows, rows),
    }
    report = {}
    for name, (scores, support) in lines.items():
        precision, recall, f1 = (percentile_interval(values, confidence) for values in scores)
        report[name] = ClassScores(
            precision=precision, recall=recall, f1=f1, support=int(support[0])
        )
    return report


def _calibration(
    counts: FloatArray, ranking: Ranking, confidence: float
) -> tuple[CalibrationBin, ...]:
    positives = np.add.reduceat(counts[0], ranking.bins)
    rows = np.add.reduceat(counts.sum(axis=0), ranking.bins)
    predicted = np.add.reduceat(counts.sum(axis=0) * ranking.scores, ranking.bins) / rows
    return tuple(
        CalibrationBin(predicted=p, observed=wilson_interval(k, n, confidence), rows=int(n))
        for p, k, n in zip(predicted, positives, rows, strict=True)
    )


def _depths(
    measures: Measures, rows: int, costs: ThresholdSettings, confidence: float
) -> tuple[Depth, ...]:
    reached = measures.hits / measures.hits[:, -1:]
    profit = costs.value_per_deposit * measures.hits / rows - costs.cost_per_call * DEPTHS
    return tuple(
        Depth(
            share=share,
            reached=percentile_interval(reached[:, position], confidence),
            profit=percentile_interval(profit[:, position], confidence),
        )
        for position, share in enumerate(DEPTHS)
    )


def _score_distribution(counts: FloatArray, ranking: Ranking) -> ScoreDistribution:
    positives, negatives = (
        np.histogram(ranking.scores, _SCORE_BINS, range=(0, 1), weights=weights)[0].astype(int)
        for weights in counts
    )
    return ScoreDistribution(
        positives=tuple(positives.tolist()), negatives=tuple(negatives.tolist())
    )


def wilson_interval(hits: float, rows: float, confidence: float) -> Interval:
    """Bound a proportion by the score test.

    Source:
        E. Wilson, "Probable inference, the law of succession, and statistical inference",
        Journal of the American Statistical Association 22, 1927.
    """
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    share = hits / rows
    centre = (share + z**2 / (2 * rows)) / (1 + z**2 / rows)
    radius = z / (1 + z**2 / rows) * (share * (1 - share) / rows + z**2 / (4 * rows**2)) ** 0.5
    return _enclose(share, centre - radius, centre + radius)


def percentile_interval(values: FloatArray, confidence: float) -> Interval:
    """Bound the first of `values`, the sample's, by percentiles of the others, the resamples'."""
    low, high = np.quantile(values[1:], [(1 - confidence) / 2, (1 + confidence) / 2])
    return _enclose(values[0], low, high)


def _enclose(value: float, low: float, high: float) -> Interval:
    return Interval(value=value, low=min(low, value), high=max(high, value))


def _curve(x: FloatArray, y: FloatArray) -> Curve:
    """Keep points at equal distances along the line, where it has more than a chart can show."""
    if x.size > _CURVE_POINTS:
        travelled = np.concatenate([[0], (np.abs(np.diff(x)) + np.abs(np.diff(y))).cumsum()])
        stops = np.linspace(0, travelled[-1], _CURVE_POINTS)
        kept = np.unique(np.searchsorted(travelled, stops))
        x, y = x[kept], y[kept]
    return Curve(x=tuple(x.tolist()), y=tuple(y.tolist()))


def _band(values: FloatArray, confidence: float) -> Band:
    """Bound a line that was read at `DEPTHS` in the sample and, after that, in its resamples."""
    intervals = [percentile_interval(values[:, each], confidence) for each in range(DEPTHS.size)]
    return Band(
        x=tuple(DEPTHS.tolist()),
        low=tuple(interval.low for interval in intervals),
        high=tuple(interval.high for interval in intervals),
    )
