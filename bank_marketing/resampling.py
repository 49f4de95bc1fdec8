"""Metrics of scored rows and, through the same code, of bootstrap resamples of these rows.

Every metric is computed from the number of positives and negatives at each distinct score: those
of the sample give its value, those of resamples its interval.
"""

from collections.abc import Iterator
from itertools import chain
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bank_marketing.config import EvaluationSettings, ThresholdSettings
from bank_marketing.errors import DataError

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.intp]

DEPTHS = np.arange(1, 51) / 50  # the shares at which gains, profit and bands are read
_TENTH, _HALF = 4, 24  # where `DEPTHS` is 0.1 and 0.5
_ROWS_AT_ONCE = 2**17  # of resamples that are measured together: 1 MB, what a cache holds


class Ranking(NamedTuple):
    """The sample in the order of its scores."""

    scores: FloatArray  # the distinct ones, highest first, shape (g,)
    cells: IntArray  # where each row counts in a flat (2, g) table, positives first, shape (n,)
    losses: FloatArray  # log loss and Brier score of a row in each cell, shape (2 g, 2)
    bins: IntArray  # the position in `scores` at which each calibration bin starts
    called: int  # how many of the `scores` reach the threshold


class Confusion(NamedTuple):
    """Counts at the threshold in each of s samples, shape (s,)."""

    tn: FloatArray
    fp: FloatArray
    fn: FloatArray
    tp: FloatArray


class Measures(NamedTuple):
    """What s samples amount to."""

    metrics: dict[str, FloatArray]  # of those that read the scores alone, each of shape (s,)
    confusion: Confusion
    hits: FloatArray  # positives among the rows down to each of `DEPTHS`, shape (s, d)
    recalls: FloatArray  # where `DEPTHS` of the negatives are called, shape (s, d)
    precisions: FloatArray  # where `DEPTHS` of the positives are called, shape (s, d)


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
    ranking = rank(labels, probabilities, threshold, settings.calibration_bins)
    measures = measure_all(ranking, settings)
    return measures.metrics | threshold_metrics(measures.confusion, costs)


def resampled_score_metrics(
    labels: NDArray[np.integer[Any]],
    probabilities: NDArray[np.floating[Any]],
    settings: EvaluationSettings,
) -> dict[str, FloatArray]:
    """Return those of `resampled_metrics` that read the scores alone, whatever the threshold.

    Raises:
        DataError: As `evaluate`.
    """
    ranking = rank(labels, probabilities, 1, settings.calibration_bins)
    return measure_all(ranking, settings).metrics


def rank(
    labels: NDArray[np.integer[Any]],
    probabilities: NDArray[np.floating[Any]],
    threshold: float,
    bins: int,
) -> Ranking:
    """Put the rows in order; arguments and errors as of `evaluate`, `bins` those of calibration."""
    _check(labels, probabilities, threshold)
    negated, positions, rows = np.unique(
        -probabilities.astype(np.float64), return_inverse=True, return_counts=True
    )
    scores = -negated
    cuts = np.arange(bins) * labels.size / bins
    return Ranking(
        scores=scores,
        cells=np.where(labels == 1, positions, positions + scores.size),
        losses=_losses(np.concatenate([scores, 1 - scores])),
        bins=np.unique(np.searchsorted(rows.cumsum(), cuts, side="right")),
        called=int(np.count_nonzero(scores >= threshold)),
    )


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


def _losses(p: FloatArray) -> FloatArray:
    """Return log loss and Brier score, shape (m, 2), by the probability of what came true."""
    return np.stack([log_losses(p), (1 - p) ** 2], axis=1)


def log_losses(p: FloatArray) -> FloatArray:
    """Return the log loss of each row, in nats, by the probability of what came true."""
    epsilon = np.finfo(np.float64).eps  # being certain and wrong costs 36 nats, not infinity
    losses: FloatArray = -np.log(p.clip(epsilon, 1 - epsilon))
    return losses


def count_sample(ranking: Ranking) -> FloatArray:
    """Count the rows as they are, shape (1, 2, g)."""
    return _tabulate(ranking.cells[np.newaxis], ranking.scores.size)


def _resamples(ranking: Ranking, settings: EvaluationSettings) -> Iterator[FloatArray]:
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


def measure_all(ranking: Ranking, settings: EvaluationSettings) -> Measures:
    """Measure the sample and, after that, each of its resamples that holds both classes."""
    tables = chain([count_sample(ranking)], _resamples(ranking, settings))
    measured = [_measure(counts, ranking) for counts in tables]
    tn, fp, fn, tp = confusion = np.concatenate([part.confusion for part in measured], axis=1)
    complete = (tn + fp > 0) & (fn + tp > 0)
    return Measures(
        metrics={
            name: np.concatenate([part.metrics[name] for part in measured])[complete]
            for name in measured[0].metrics
        },
        confusion=Confusion(*confusion[:, complete]),
        hits=np.concatenate([part.hits for part in measured])[complete],
        recalls=np.concatenate([part.recalls for part in measured])[complete],
        precisions=np.concatenate([part.precisions for part in measured])[complete],
    )


def _measure(counts: FloatArray, ranking: Ranking) -> Measures:
    """Compute from `counts`, shape (s, 2, g), what needs every score, and the confusion."""
    positives, negatives = counts[:, 0], counts[:, 1]
    tp, fp = cumulate(positives), cumulate(negatives)
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
    called = DEPTHS * all_positives[:, np.newaxis]
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
    confusion = Confusion(
        tn=all_negatives - false_alarms, fp=false_alarms, fn=all_positives - found, tp=found
    )
    return Measures(
        metrics,
        confusion,
        hits,
        recalls=_ratio(_read(tp, fp), all_positives[:, np.newaxis]),
        precisions=_ratio(called, called + _read(fp, tp)),
    )


def _read(y: FloatArray, x: FloatArray) -> FloatArray:
    """Read `y` where `x` reaches each of `DEPTHS` of its end, between scores linearly: (s, d).

    Source:
        J. Davis, M. Goadrich, "The relationship between precision-recall and ROC curves", ICML
        2006 (why counts are interpolated, and not the precision).
    """
    lines = zip(x, y, strict=True)
    return np.stack([np.interp(DEPTHS * ends[-1], ends, values) for ends, values in lines])


def threshold_metrics(confusion: Confusion, costs: ThresholdSettings) -> dict[str, FloatArray]:
    """Return the metrics of `evaluate` that depend on the threshold, each of shape (s,)."""
    tn, fp, fn, tp = confusion
    rows = tn + fp + fn + tp
    precision, recall, f1 = class_scores(tp, predicted=tp + fp, actual=tp + fn)
    return {
        "accuracy": (tp + tn) / rows,
        "precision": precision,
        "recall": recall,
        "f1": f1,
        "profit": (costs.value_per_deposit * tp - costs.cost_per_call * (tp + fp)) / rows,
    }


def class_scores(hits: FloatArray, *, predicted: FloatArray, actual: FloatArray) -> FloatArray:
    """Return precision, recall and F1 of one class, shape (3, s)."""
    return np.stack(
        [_ratio(hits, predicted), _ratio(hits, actual), _ratio(2 * hits, predicted + actual)]
    )


def cumulate(counts: FloatArray) -> FloatArray:
    """Sum `counts`, shape (s, g), from the best score down to each: (s, g + 1), 0 first."""
    sums = np.zeros((counts.shape[0], counts.shape[1] + 1))
    np.cumsum(counts, axis=1, out=sums[:, 1:])
    return sums


def _ratio(part: FloatArray, whole: FloatArray) -> FloatArray:
    """Divide, with 0 / 0 = 0."""
    return np.divide(part, whole, out=np.zeros_like(part), where=whole > 0)
