"""Whether one model is better than another, judged by both on the same rows."""

from math import erfc, sqrt
from statistics import NormalDist
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bank_marketing.config import EvaluationSettings, Settings, ThresholdSettings
from bank_marketing.errors import DataError
from bank_marketing.evaluation import Interval, percentile_interval
from bank_marketing.resampling import FloatArray, resampled_metrics


class Scores(NamedTuple):
    """What one model says about n rows: probabilities, shape (n,), and where it starts to call."""

    probabilities: FloatArray
    threshold: float


class RocAuc(NamedTuple):
    """A ROC-AUC and its standard error."""

    value: float
    standard_error: float

    def interval(self, confidence: float) -> Interval:
        """Bound the value on the log-odds scale, which keeps the bounds between 0 and 1.

        At 0 and 1, where the standard error is 0, the interval has no width.

        Source:
            M. Pepe, *The Statistical Evaluation of Medical Tests for Classification and
            Prediction*, 2003, section 5.2.4.
        """
        spread = self.value * (1 - self.value)
        if spread == 0:
            return Interval(value=self.value, low=self.value, high=self.value)
        factor = np.exp(_quantile((1 + confidence) / 2) * self.standard_error / spread)
        odds = self.value / (1 - self.value)
        low, high = (float(each / (1 + each)) for each in (odds / factor, odds * factor))
        return Interval(value=self.value, low=low, high=high)


class RocAucDifference(Settings):
    """ROC-AUC of a challenger minus that of a champion, by DeLong's test.

    `p_value` is that of a difference at least as large, either way, between equally good models.
    """

    challenger: float
    champion: float
    difference: Interval
    standard_error: float
    p_value: float

    def lower_bound(self, confidence: float) -> float:
        """Return what the difference exceeds with one-sided `confidence`."""
        return self.difference.value - _quantile(confidence) * self.standard_error

    def upper_bound(self, confidence: float) -> float:
        """Return what the difference stays below with one-sided `confidence`."""
        return self.difference.value + _quantile(confidence) * self.standard_error


class Comparison(Settings):
    """How a challenger differs from a champion on the same rows: challenger minus champion.

    `others` holds every metric of `evaluate` but ROC-AUC; of `log_loss`, `brier` and
    `expected_calibration_error` less is better.
    """

    rows: int
    positives: int
    confidence: float
    resamples: int
    roc_auc: RocAucDifference
    others: dict[str, Interval]


class Verdict(Settings):
    """An answer, and the evidence for it in words."""

    holds: bool
    statement: str


class _Placements(NamedTuple):
    """DeLong's structural components: where each row stands among those of the other class."""

    positives: FloatArray  # share of the negatives that score lower, ties half; shape (m,)
    negatives: FloatArray  # share of the positives that score higher, ties half; shape (n,)


def compare(
    labels: NDArray[np.integer[Any]],
    challenger: Scores,
    champion: Scores,
    *,
    settings: EvaluationSettings,
    costs: ThresholdSettings,
) -> Comparison:
    """Measure by how much two models differ on the same labelled rows, and how sure that is.

    ROC-AUC is compared by DeLong's test; every other metric by the percentiles of its difference
    over bootstrap resamples that are the same rows for both. At-threshold metrics take each model
    at its own threshold.

    Args:
        labels: Shape (n,), 1 for a positive, else 0; at least two of each.
        challenger: The model in question.
        champion: The model that it is held against.
        settings: Resamples and their seed, confidence level, number of calibration bins.
        costs: What a call costs, and what a positive that is called is worth.

    Raises:
        DataError: The arrays do not match, hold an impossible value, or too few of a class.
    """
    ours, theirs = (
        resampled_metrics(
            labels, model.probabilities, threshold=model.threshold, settings=settings, costs=costs
        )
        for model in (challenger, champion)
    )
    return Comparison(
        rows=labels.size,
        positives=int(labels.sum()),
        confidence=settings.confidence,
        resamples=settings.resamples,
        roc_auc=compare_roc_auc(
            labels,
            challenger.probabilities,
            champion.probabilities,
            confidence=settings.confidence,
        ),
        others={
            name: percentile_interval(values - theirs[name], settings.confidence)
            for name, values in ours.items()
            if name != "roc_auc"
        },
    )


def compare_roc_auc(
    labels: NDArray[np.integer[Any]],
    challenger: NDArray[np.floating[Any]],
    champion: NDArray[np.floating[Any]],
    *,
    confidence: float,
) -> RocAucDifference:
    """Test whether two scorings of the same rows have the same ROC-AUC, in O(n log n).

    With d10 and d01 the differences of the two scorings' structural components over the m
    positives and n negatives: difference = mean(d10), variance = var(d10) / m + var(d01) / n.
    Scorings that put the rows in the same order differ by exactly 0, with p = 1.

    Args:
        labels: Shape (m + n,), 1 for a positive, else 0; at least two of each.
        challenger: Scores of any scale, shape (m + n,).
        champion: Scores of any scale, shape (m + n,).
        confidence: Of the two-sided interval of the difference.

    Raises:
        DataError: The arrays do not match, or hold fewer than two rows of a class.

    Source:
        E. DeLong, D. DeLong, D. Clarke-Pearson, "Comparing the areas under two or more correlated
        receiver operating characteristic curves", Biometrics 44, 1988.
        X. Sun, W. Xu, "Fast implementation of DeLong's algorithm", IEEE Signal Processing Letters
        21, 2014 (that sorting is enough).
    """
    ours, theirs = _placements(labels, challenger), _placements(labels, champion)
    d10, d01 = ours.positives - theirs.positives, ours.negatives - theirs.negatives
    difference, standard_error = float(d10.mean()), _standard_error(d10, d01)
    margin = _quantile((1 + confidence) / 2) * standard_error
    return RocAucDifference(
        challenger=float(ours.positives.mean()),
        champion=float(theirs.positives.mean()),
        difference=Interval(value=difference, low=difference - margin, high=difference + margin),
        standard_error=standard_error,
        p_value=two_sided_p(difference, standard_error),
    )


def roc_auc(labels: NDArray[np.integer[Any]], probabilities: NDArray[np.floating[Any]]) -> RocAuc:
    """Return the ROC-AUC with DeLong's standard error; arguments as of `compare_roc_auc`.

    Raises:
        DataError: The arrays do not match, or hold fewer than two rows of a class.
    """
    placements = _placements(labels, probabilities)
    return RocAuc(float(placements.positives.mean()), _standard_error(*placements))


def two_sided_p(difference: float, standard_error: float) -> float:
    """Return how likely a difference at least as large, either way, is if the true one is 0."""
    if difference == 0:
        return 1.0
    if standard_error == 0:
        return 0.0
    return erfc(abs(difference) / standard_error / sqrt(2))


def not_worse(difference: RocAucDifference, *, margin: float, confidence: float) -> Verdict:
    """Say whether a loss of more than `margin` is ruled out with one-sided `confidence`."""
    bound = difference.lower_bound(confidence)
    holds = bound >= -margin
    judgement = "within" if holds else "which may be a loss beyond"
    return Verdict(
        holds=holds,
        statement=f"{_in_words(difference)}, with {_percent(confidence)} confidence at least "
        f"{bound:+.4f}, {judgement} the margin of {margin:g}",
    )


def _in_words(difference: RocAucDifference) -> str:
    return (
        f"roc_auc {difference.challenger:.4f} against the champion's {difference.champion:.4f}: "
        f"{difference.difference.value:+.4f}"
    )


def _percent(share: float) -> str:
    return f"{100 * share:.4g}%"


def _placements(labels: NDArray[np.integer[Any]], scores: NDArray[np.floating[Any]]) -> _Placements:
    if labels.shape != scores.shape:
        raise DataError(
            f"labels and scores must have equal shapes, got {labels.shape} and {scores.shape}"
        )
    positives, negatives = scores[labels == 1], scores[labels == 0]
    if min(positives.size, negatives.size) < 2:
        raise DataError(
            "a standard error of ROC-AUC needs two rows of each class, "
            f"got {positives.size} positives and {negatives.size} negatives; use more rows"
        )
    return _Placements(_share_below(positives, negatives), 1 - _share_below(negatives, positives))


def _share_below(
    values: NDArray[np.floating[Any]], others: NDArray[np.floating[Any]]
) -> FloatArray:
    """Return the share of `others` below each of `values`, ties counting half."""
    ascending = np.sort(others)
    below = np.searchsorted(ascending, values, side="left")
    not_above = np.searchsorted(ascending, values, side="right")
    return (below + not_above) / (2 * others.size)


def _standard_error(v10: FloatArray, v01: FloatArray) -> float:
    return sqrt(v10.var(ddof=1) / v10.size + v01.var(ddof=1) / v01.size)


def _quantile(probability: float) -> float:
    """Return the standard normal quantile."""
    return NormalDist().inv_cdf(probability)
