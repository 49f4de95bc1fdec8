"""How good a model is on rows that it has never seen, and how sure one can be of that.

Every metric is computed from the number of positives and negatives at each distinct score: those
of the sample give its value, those of bootstrap resamples, through the same code, its interval.
"""

from collections.abc import Iterator
from itertools import chain
from statistics import NormalDist
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bank_marketing.config import EvaluationSettings, Settings, ThresholdSettings
from bank_marketing.errors import DataError
from bank_marketing.schema import NEGATIVE, POSITIVE

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.intp]

_CURVE_POINTS = 200  # more cannot be told apart in a chart
_SCORE_BINS = 50
_DEPTHS = np.arange(1, 51) / 50  # the shares at which gains, profit and bands are read
_TENTH, _HALF = 4, 24  # where `_DEPTHS` is 0.1 and 0.5
_ROWS_AT_ONCE = 2**17  # of resamples that are measured together: 1 MB, what a cache holds


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


class _Ranking(NamedTuple):
    """The sample in the order of its scores."""

    scores: FloatArray  # the distinct ones, highest first, shape (g,)
    cells: IntArray  # where each row counts in a flat (2, g) table, positives first, shape (n,)
    losses: FloatArray  # log loss and Brier score of a row in each cell, shape (2 g, 2)
    bins: IntArray  # the position in `scores` at which each calibration bin starts
    called: int  # how many of the `scores` reach the threshold


class _Confusion(NamedTuple):
    """Counts at the threshold in each of s samples, shape (s,)."""

    tn: FloatArray
    fp: FloatArray
    fn: FloatArray
    tp: FloatArray


class _Measures(NamedTuple):
    """What s samples amount to."""

    metrics: dict[str, FloatArray]  # of those that read the scores alone, each of shape (s,)
    confusion: _Confusion
    hits: FloatArray  # positives among the rows down to each of `_DEPTHS`, shape (s, d)
    recalls: FloatArray  # where `_DEPTHS` of the negatives are called, shape (s, d)
    precisions: FloatArray  # where `_DEPTHS` of the positives are called, shape (s, d)


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
    _check(labels, probabilities, threshold)
    ranking = _rank(labels, probabilities, threshold, settings.calibration_bins)
    sample = _sample(ranking)
    measures = _measure_all(ranking, settings)
    confusion = measures.confusion
    metrics = measures.metrics | _threshold_metrics(confusion, costs)
    tp, fp = _cumulate(sample[0])
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


def resampled_metrics(
    labels: NDArray[np.integer[Any]],
    probabilities: NDArray[np.floating[Any]],
    *,
    threshold: float,
    settings: EvaluationSettings,
    costs: ThresholdSettings,
) -> dict[str, FloatArray]:
    """Return each metric of `evaluate` in the sample and, after that, in its resamples.

    Labels and seed alone decide which rows the resamples hold: the values of several models on the
    same rows are paired, so that percentiles of their differences bound the difference.

    Raises:
        DataError: As `evaluate`.
    """
    _check(labels, probabilities, threshold)
    ranking = _rank(labels, probabilities, threshold, settings.calibration_bins)
    measures = _measure_all(ranking, settings)
    return measures.metrics | _threshold_metrics(measures.confusion, costs)


def resampled_score_metrics(
    labels: NDArray[np.integer[Any]],
    probabilities: NDArray[np.floating[Any]],
    settings: EvaluationSettings,
) -> dict[str, FloatArray]:
    """Return those of `resampled_metrics` that read the scores alone, whatever the threshold.

    Raises:
        DataError: As `evaluate`.
    """
    _check(labels, probabilities, threshold=1)
    ranking = _rank(labels, probabilities, 1, settings.calibration_bins)
    return _measure_all(ranking, settings).metrics


def _check(
    labels: NDArray[np.integer[Any]], probabilities: NDArray[np.floating[Any]], threshold: float
) -> None:
    if labels.ndim != 1 or labels.shape != probabilities.shape:
        raise DataError(
            "labels and probabilities must be one-dimensional and of equal length, "
            f"got shapes {labels.shape} and {probabilities.shape}"
        )
    if strange := sorted(set(labels.tolist()) - {0, 1}):
        raise DataError(f"labels must be 0 or 1, got {strange[:5]}")
    positives = np.count_nonzero(labels)
    if positives in (0, labels.size):
        raise DataError(
            f"labels must hold both classes, got {positives} positives in {labels.size} rows; "
            "evaluate on more rows"
        )
    impossible = np.flatnonzero(~((probabilities >= 0) & (probabilities <= 1)))
    if impossible.size:
        raise DataError(
            f"probabilities must lie between 0 and 1, got {probabilities[impossible[0]]} in row "
            f"{impossible[0]} and {impossible.size - 1} more"
        )
    if not 0 <= threshold <= 1:
        raise DataError(f"threshold must lie between 0 and 1, got {threshold}")


def _rank(
    labels: NDArray[np.integer[Any]],
    probabilities: NDArray[np.floating[Any]],
    threshold: float,
    bins: int,
) -> _Ranking:
    negated, positions, rows = np.unique(
        -probabilities.astype(np.float64), return_inverse=True, return_counts=True
    )
    scores = -negated
    cuts = np.arange(bins) * labels.size / bins
    return _Ranking(
        scores=scores,
        cells=np.where(labels == 1, positions, positions + scores.size),
        losses=_losses(np.concatenate([scores, 1 - scores])),
        bins=np.unique(np.searchsorted(rows.cumsum(), cuts, side="right")),
        called=int(np.count_nonzero(scores >= threshold)),
    )


def _losses(p: FloatArray) -> FloatArray:
    """Return log loss and Brier score, shape (m, 2), by the probability of what came true."""
    return np.stack([log_losses(p), (1 - p) ** 2], axis=1)


def log_losses(p: FloatArray) -> FloatArray:
    """Return the log loss of each row, in nats, by the probability of what came true."""
    epsilon = np.finfo(np.float64).eps  # being certain and wrong costs 36 nats, not infinity
    losses: FloatArray = -np.log(p.clip(epsilon, 1 - epsilon))
    return losses


def _sample(ranking: _Ranking) -> FloatArray:
    """Count the rows as they are, shape (1, 2, g)."""
    return _tabulate(ranking.cells[np.newaxis], ranking.scores.size)


def _resamples(ranking: _Ranking, settings: EvaluationSettings) -> Iterator[FloatArray]:
    """Draw the rows anew, with replacement; yield tables of counts, a few samples at a time."""
    rows, scores = ranking.cells.size, ranking.scores.size
    at_once = max(1, _ROWS_AT_ONCE // rows)
    generator = np.random.default_rng(settings.seed)
    for done in range(0, settings.resamples, at_once):
        samples = min(at_once, settings.resamples - done)
        yield _tabulate(ranking.cells[generator.integers(rows, size=(samples, rows))], scores)


def _tabulate(cells: IntArray, scores: int) -> FloatArray:
    """Count the rows of s samples, `cells` of shape (s, n), by class and score: (s, 2, g)."""
    samples, cells_per_sample = len(cells), 2 * scores
    offsets = np.arange(samples)[:, np.newaxis] * cells_per_sample
    counts = np.bincount((cells + offsets).ravel(), minlength=samples * cells_per_sample)
    return counts.reshape(samples, 2, scores).astype(np.float64)


def _measure_all(ranking: _Ranking, settings: EvaluationSettings) -> _Measures:
    """Measure the sample and, after that, each of its resamples that holds both classes."""
    tables = chain([_sample(ranking)], _resamples(ranking, settings))
    measured = [_measure(counts, ranking) for counts in tables]
    tn, fp, fn, tp = confusion = np.concatenate([part.confusion for part in measured], axis=1)
    complete = (tn + fp > 0) & (fn + tp > 0)
    return _Measures(
        metrics={
            name: np.concatenate([part.metrics[name] for part in measured])[complete]
            for name in measured[0].metrics
        },
        confusion=_Confusion(*confusion[:, complete]),
        hits=np.concatenate([part.hits for part in measured])[complete],
        recalls=np.concatenate([part.recalls for part in measured])[complete],
        precisions=np.concatenate([part.precisions for part in measured])[complete],
    )


def _measure(counts: FloatArray, ranking: _Ranking) -> _Measures:
    """Compute from `counts`, shape (s, 2, g), what needs every score, and the confusion."""
    positives, negatives = counts[:, 0], counts[:, 1]
    tp, fp = _cumulate(positives), _cumulate(negatives)
    all_positives, all_negatives = tp[:, -1], fp[:, -1]
    rows = all_positives + all_negatives

    # Pairs of a positive and a negative that are in the right order; a tie is half a pair.
    ordered = np.vecdot(negatives, tp[:, 1:]) - np.vecdot(negatives, positives) / 2
    roc_auc = _ratio(ordered, all_positives * all_negatives)
    precisions = _ratio(tp, tp + fp)[:, 1:]
    log_loss, brier = (counts.reshape(len(counts), -1) @ ranking.losses).T / rows
    excess = positives - (positives + negatives) * ranking.scores
    bin_excess = np.add.reduceat(excess, ranking.bins, axis=1)
    hits = _read(tp, tp + fp)
    called = _DEPTHS * all_positives[:, np.newaxis]
    metrics = {
        "roc_auc": roc_auc,
        "pr_auc": _ratio(np.vecdot(positives, precisions), all_positives),
        "log_loss": log_loss,
        "brier": brier,
        "expected_calibration_error": np.abs(bin_excess).sum(axis=1) / rows,
        # Rows are positives and negatives, so this area is the one under the ROC curve and the
        # triangle that the positives themselves span.
        "alift": (roc_auc * all_negatives + all_positives / 2) / rows,
        "top_half": _ratio(hits[:, _HALF], all_positives),
        "top_tenth": _ratio(hits[:, _TENTH], all_positives),
    }
    found, false_alarms = tp[:, ranking.called], fp[:, ranking.called]
    confusion = _Confusion(
        tn=all_negatives - false_alarms, fp=false_alarms, fn=all_positives - found, tp=found
    )
    return _Measures(
        metrics,
        confusion,
        hits,
        recalls=_ratio(_read(tp, fp), all_positives[:, np.newaxis]),
        precisions=_ratio(called, called + _read(fp, tp)),
    )


def _read(y: FloatArray, x: FloatArray) -> FloatArray:
    """Read `y` where `x` reaches each of `_DEPTHS` of its end, between scores linearly: (s, d).

    Source:
        J. Davis, M. Goadrich, "The relationship between precision-recall and ROC curves", ICML
        2006 (why counts are interpolated, and not the precision).
    """
    lines = zip(x, y, strict=True)
    return np.stack([np.interp(_DEPTHS * ends[-1], ends, values) for ends, values in lines])


def _threshold_metrics(confusion: _Confusion, costs: ThresholdSettings) -> dict[str, FloatArray]:
    tn, fp, fn, tp = confusion
    rows = tn + fp + fn + tp
    precision, recall, f1 = _class_scores(tp, predicted=tp + fp, actual=tp + fn)
    return {
        "accuracy": (tp + tn) / rows,
        "precision": precision,
        "recall": recall,
        "f1": f1,
        "profit": (costs.value_per_deposit * tp - costs.cost_per_call * (tp + fp)) / rows,
    }


def _class_scores(hits: FloatArray, *, predicted: FloatArray, actual: FloatArray) -> FloatArray:
    """Return precision, recall and F1 of one class, shape (3, s)."""
    return np.stack(
        [_ratio(hits, predicted), _ratio(hits, actual), _ratio(2 * hits, predicted + actual)]
    )


def _confusion_matrix(confusion: _Confusion, confidence: float) -> ConfusionMatrix:
    tn, fp, fn, tp = (percentile_interval(counts, confidence) for counts in confusion)
    return ConfusionMatrix(
        true_negatives=tn, false_positives=fp, false_negatives=fn, true_positives=tp
    )


def _report(confusion: _Confusion, confidence: float) -> dict[str, ClassScores]:
    tn, fp, fn, tp = confusion
    negatives, positives = tn + fp, fn + tp
    rows = negatives + positives
    no = _class_scores(tn, predicted=tn + fn, actual=negatives)
    yes = _class_scores(tp, predicted=tp + fp, actual=positives)
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
    counts: FloatArray, ranking: _Ranking, confidence: float
) -> tuple[CalibrationBin, ...]:
    positives = np.add.reduceat(counts[0], ranking.bins)
    rows = np.add.reduceat(counts.sum(axis=0), ranking.bins)
    predicted = np.add.reduceat(counts.sum(axis=0) * ranking.scores, ranking.bins) / rows
    return tuple(
        CalibrationBin(predicted=p, observed=wilson_interval(k, n, confidence), rows=int(n))
        for p, k, n in zip(predicted, positives, rows, strict=True)
    )


def _depths(
    measures: _Measures, rows: int, costs: ThresholdSettings, confidence: float
) -> tuple[Depth, ...]:
    reached = measures.hits / measures.hits[:, -1:]
    profit = costs.value_per_deposit * measures.hits / rows - costs.cost_per_call * _DEPTHS
    return tuple(
        Depth(
            share=share,
            reached=percentile_interval(reached[:, position], confidence),
            profit=percentile_interval(profit[:, position], confidence),
        )
        for position, share in enumerate(_DEPTHS)
    )


def _score_distribution(counts: FloatArray, ranking: _Ranking) -> ScoreDistribution:
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
    """Bound a line that was read at `_DEPTHS` in the sample and, after that, in its resamples."""
    intervals = [percentile_interval(values[:, each], confidence) for each in range(_DEPTHS.size)]
    return Band(
        x=tuple(_DEPTHS.tolist()),
        low=tuple(interval.low for interval in intervals),
        high=tuple(interval.high for interval in intervals),
    )


def _cumulate(counts: FloatArray) -> FloatArray:
    """Sum `counts`, shape (s, g), from the best score down to each: (s, g + 1), 0 first."""
    sums = np.zeros((counts.shape[0], counts.shape[1] + 1))
    np.cumsum(counts, axis=1, out=sums[:, 1:])
    return sums


def _ratio(part: FloatArray, whole: FloatArray) -> FloatArray:
    """Divide, with 0 / 0 = 0."""
    return np.divide(part, whole, out=np.zeros_like(part), where=whole > 0)
