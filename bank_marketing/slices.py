"""How a model treats groups of customers: where it is weaker, and whom its decisions disfavour."""

from collections.abc import Iterator
from itertools import pairwise, permutations
from math import sqrt
from statistics import NormalDist
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bank_marketing import schema
from bank_marketing.comparison import (
    RocAucDifference,
    Verdict,
    compare_roc_auc,
    roc_auc,
    two_sided_p,
)
from bank_marketing.config import EvaluationSettings, Settings, SliceSettings
from bank_marketing.errors import DataError
from bank_marketing.evaluation import Interval, percentile_interval, wilson_interval
from bank_marketing.resampling import FloatArray

Labels = NDArray[np.integer[Any]]

FOUR_FIFTHS = 0.8  # of the impact ratio; see `slice_report`


class SliceFigures(Settings):
    """What a model does in one slice; `predicted` is the mean probability, `observed` the share.

    `precision` is None where nobody is called.
    """

    roc_auc: Interval
    predicted: float
    observed: Interval
    selection_rate: Interval
    true_positive_rate: Interval
    precision: Interval | None


class Slice(Settings):
    """The customers with one level of a column; `figures` is None where they are too few."""

    column: str
    level: str
    rows: int
    positives: int
    figures: SliceFigures | None


class Fairness(Settings):
    """How evenly decisions fall on the groups of a sensitive column.

    Attributes:
        impact_ratio: Lowest selection rate over the highest; 1 is even.
        impact_on: Selection rate of each other group over that of the `largest`; empty where
            nobody of the largest group is called.
        opportunity_gap: Highest true-positive rate minus the lowest; 0 is even.
        p_value: How likely two groups as uneven as these are if no group is selected less than four
            fifths as often as another, corrected for the number of pairs.
    """

    column: str
    largest: str
    impact_ratio: Interval
    impact_on: dict[str, Interval]
    opportunity_gap: Interval
    p_value: float


class Finding(Settings):
    """A slice that stands out, in words; `p_value` is corrected for the number of questions."""

    column: str
    level: str
    statement: str
    p_value: float


class Slices(Settings):
    """What `slice_report` found; `questions` counts the tests that `findings` stand out of."""

    overall: SliceFigures
    threshold: float
    confidence: float
    min_rows: int
    min_positives: int
    slices: tuple[Slice, ...]
    fairness: tuple[Fairness, ...]
    questions: int
    findings: tuple[Finding, ...]

    def is_uneven(self, fairness: Fairness) -> bool:
        """Return whether some group is called less than four fifths as often as another."""
        return fairness.p_value <= 1 - self.confidence


class SliceDifference(Settings):
    """How two models differ in one slice."""

    column: str
    level: str
    rows: int
    roc_auc: RocAucDifference


class _Scored(NamedTuple):
    """Rows with what is true and what was said of them, each of shape (n,)."""

    labels: Labels
    probabilities: FloatArray
    called: NDArray[np.bool_]

    def where(self, mask: NDArray[np.bool_]) -> "_Scored":
        return _Scored(self.labels[mask], self.probabilities[mask], self.called[mask])


class _Group(NamedTuple):
    """One level of a column and the rows that have it, a mask of shape (n,)."""

    column: str
    level: str
    mask: NDArray[np.bool_]


def slice_report(
    frame: pd.DataFrame,
    labels: Labels,
    probabilities: NDArray[np.floating[Any]],
    *,
    threshold: float,
    settings: SliceSettings,
    evaluation: EvaluationSettings,
) -> Slices:
    """Judge a model apart on each level of the declared columns.

    Slices with too few rows, positives or negatives are listed without figures. Shares have Wilson
    intervals, ROC-AUC has DeLong's; each holds for its slice alone. Two questions are asked of each
    judged slice: is its ROC-AUC that of all other rows, and does its mean probability equal its
    share of positives? Findings are the answers that remain unlikely, by the confidence of
    `evaluation`, after Holm's correction for the number of questions.

    Fairness compares the judged groups of each sensitive column that has at least two. Its
    intervals are bootstrap percentiles. The lowest and the highest of several noisy rates lie
    further apart than the true ones, so that ratio and gap look worse than they are where groups
    are small. The four-fifths rule takes a ratio below 0.8 as evidence of adverse impact. Whether
    it is broken is therefore not read off the interval: each group is tested against each other,
    with Bonferroni's correction. The rule was made for hiring, which is a good; whether a call is
    one is for the reader to say.

    Args:
        frame: Raw rows, shape (n, columns), with the columns that `settings` names.
        labels: Shape (n,), 1 for a positive, else 0.
        probabilities: Shape (n,), of being positive.
        threshold: A row is called if its probability is at least this.
        settings: Columns, age bands, and how large a slice must be.
        evaluation: Confidence level, resamples and their seed.

    Raises:
        DataError: The lengths differ, or there are fewer than two rows of a class.

    Source:
        S. Holm, "A simple sequentially rejective multiple test procedure", Scandinavian Journal of
        Statistics 6, 1979.
        M. Hardt, E. Price, N. Srebro, "Equality of opportunity in supervised learning", NIPS 2016.
        O. Miettinen, M. Nurminen, "Comparative analysis of two rates", Statistics in Medicine 4,
        1985 (the score test of a ratio).
        Uniform Guidelines on Employee Selection Procedures, 29 CFR 1607.4 D, 1978 (four fifths).
    """
    _require_a_value_per_row(frame, labels, probabilities)
    scored = _Scored(labels, probabilities.astype(np.float64), probabilities >= threshold)
    groups = list(_groups(frame, settings))
    judged = [group for group in groups if _is_judged(group, labels, settings)]
    tests = [test for group in judged for test in _tests(group, scored)]
    fairness = (
        _fairness([group for group in judged if group.column == column], scored, evaluation)
        for column in settings.sensitive
    )
    return Slices(
        overall=_figures(scored, evaluation.confidence),
        threshold=threshold,
        confidence=evaluation.confidence,
        min_rows=settings.min_rows,
        min_positives=settings.min_positives,
        slices=tuple(_slice(group, scored, settings, evaluation.confidence) for group in groups),
        fairness=tuple(each for each in fairness if each is not None),
        questions=len(tests),
        findings=_findings(tests, evaluation.confidence),
    )


def compare_slices(
    frame: pd.DataFrame,
    labels: Labels,
    challenger: NDArray[np.floating[Any]],
    champion: NDArray[np.floating[Any]],
    *,
    settings: SliceSettings,
    confidence: float,
) -> tuple[SliceDifference, ...]:
    """Compare two models' ROC-AUC in each slice that is large enough to be judged.

    Args:
        frame: Raw rows, shape (n, columns), with the columns that `settings` names.
        labels: Shape (n,), 1 for a positive, else 0.
        challenger: Probabilities, shape (n,).
        champion: Probabilities, shape (n,).
        settings: Columns, age bands, and how large a slice must be.
        confidence: Of the interval of each difference, for its slice alone.

    Raises:
        DataError: The lengths differ.
    """
    _require_a_value_per_row(frame, labels, challenger, champion)
    return tuple(
        SliceDifference(
            column=group.column,
            level=group.level,
            rows=int(group.mask.sum()),
            roc_auc=compare_roc_auc(
                labels[group.mask],
                challenger[group.mask],
                champion[group.mask],
                confidence=confidence,
            ),
        )
        for group in _groups(frame, settings)
        if _is_judged(group, labels, settings)
    )


def no_slice_lost(
    differences: tuple[SliceDifference, ...], *, margin: float, confidence: float
) -> Verdict:
    """Say whether no slice loses more than `margin` of ROC-AUC beyond chance.

    A slice counts as lost if even the upper bound of its difference is a larger loss. The bounds
    are those that hold together with one-sided `confidence` (Bonferroni). Slices that lose more
    than the margin, but maybe by chance, are named.
    """
    each = 1 - (1 - confidence) / max(1, len(differences))
    suspects = [slice_ for slice_ in differences if slice_.roc_auc.difference.value < -margin]
    lost = [slice_ for slice_ in suspects if slice_.roc_auc.upper_bound(each) < -margin]
    by_chance = [slice_ for slice_ in suspects if slice_ not in lost]

    statement = (
        f"{len(lost)} of {len(differences)} slices lose more than {margin:g} of roc_auc beyond "
        "chance"
    )
    if lost:
        statement += f": {_named(lost, each)}"
    if by_chance:
        statement += f"; maybe by chance: {_named(by_chance, each)}"
    return Verdict(holds=not lost, statement=statement)


def _named(differences: list[SliceDifference], confidence: float) -> str:
    return ", ".join(
        f"{each.column} {each.level} ({each.roc_auc.difference.value:+.4f}, at most "
        f"{each.roc_auc.upper_bound(confidence):+.4f})"
        for each in differences
    )


def _require_a_value_per_row(frame: pd.DataFrame, *arrays: NDArray[Any]) -> None:
    shapes = [array.shape for array in arrays]
    if set(shapes) != {(len(frame),)}:
        raise DataError(
            f"slices of {len(frame)} rows need labels and probabilities of shape ({len(frame)},), "
            f"got {', '.join(map(str, shapes))}"
        )


def _groups(frame: pd.DataFrame, settings: SliceSettings) -> Iterator[_Group]:
    """Yield each level that occurs, columns as declared, levels in the order of the schema."""
    for column in dict.fromkeys((*settings.columns, *settings.sensitive)):
        levels, codes = _levels(frame, column, settings.age_bands)
        for code, level in enumerate(levels):
            mask = codes == code
            if mask.any():
                yield _Group(column, level, mask)


def _levels(
    frame: pd.DataFrame, column: str, age_bands: tuple[int, ...]
) -> tuple[tuple[str, ...], NDArray[np.intp]]:
    """Return the names of the levels, and the position of each row's among them, shape (n,)."""
    if column == "age":
        names = (
            f"under {age_bands[0]}",
            *(f"{low} to {high - 1}" for low, high in pairwise(age_bands)),
            f"{age_bands[-1]} and over",
        )
        return names, np.digitize(frame["age"], age_bands)
    categories = next(
        each.categories
        for each in schema.COLUMNS
        if isinstance(each, schema.Categorical) and each.name == column
    )
    return categories, pd.Index(categories).get_indexer(pd.Index(frame[column]))


def _is_judged(group: _Group, labels: Labels, settings: SliceSettings) -> bool:
    rows, positives = _count(group.mask), _count(labels[group.mask])
    fewest = max(settings.min_positives, 2)  # a standard error of ROC-AUC needs two of each class
    return rows >= settings.min_rows and fewest <= positives <= rows - fewest


def _slice(group: _Group, scored: _Scored, settings: SliceSettings, confidence: float) -> Slice:
    inside = scored.where(group.mask)
    judged = _is_judged(group, scored.labels, settings)
    return Slice(
        column=group.column,
        level=group.level,
        rows=inside.labels.size,
        positives=_count(inside.labels),
        figures=_figures(inside, confidence) if judged else None,
    )


def _figures(inside: _Scored, confidence: float) -> SliceFigures:
    rows, positives, called = inside.labels.size, _count(inside.labels), _count(inside.called)
    hits = _count(inside.labels[inside.called])
    return SliceFigures(
        roc_auc=roc_auc(inside.labels, inside.probabilities).interval(confidence),
        predicted=inside.probabilities.mean(),
        observed=wilson_interval(positives, rows, confidence),
        selection_rate=wilson_interval(called, rows, confidence),
        true_positive_rate=wilson_interval(hits, positives, confidence),
        precision=wilson_interval(hits, called, confidence) if called else None,
    )


def _tests(group: _Group, scored: _Scored) -> Iterator[Finding]:
    """Yield the answers to both questions about a slice, p-values not yet corrected."""
    inside, others = scored.where(group.mask), scored.where(~group.mask)
    if min(_count(others.labels == 0), _count(others.labels == 1)) >= 2:
        here = roc_auc(inside.labels, inside.probabilities)
        elsewhere = roc_auc(others.labels, others.probabilities)
        yield Finding(
            column=group.column,
            level=group.level,
            statement=f"ROC AUC is {here.value:.3f}, among all others {elsewhere.value:.3f}",
            p_value=two_sided_p(
                here.value - elsewhere.value,
                float(np.hypot(here.standard_error, elsewhere.standard_error)),
            ),
        )
    predicted, observed = inside.probabilities.mean(), inside.labels.mean()
    # Of rows that are positive with just their probability, the sum has this variance.
    variance = (inside.probabilities * (1 - inside.probabilities)).sum()
    yield Finding(
        column=group.column,
        level=group.level,
        statement=f"{observed:.1%} subscribed, {predicted:.1%} were predicted",
        p_value=two_sided_p(observed - predicted, sqrt(variance) / inside.labels.size),
    )


def _findings(tests: list[Finding], confidence: float) -> tuple[Finding, ...]:
    """Keep what is unlikely after Holm's correction, least likely first."""
    ordered = sorted(tests, key=lambda test: test.p_value)
    remaining = np.arange(len(ordered), 0, -1)
    corrected = np.maximum.accumulate(remaining * [test.p_value for test in ordered])
    return tuple(
        test.model_copy(update={"p_value": float(p)})
        for test, p in zip(ordered, corrected, strict=True)
        if p <= 1 - confidence
    )


def _fairness(
    groups: list[_Group], scored: _Scored, settings: EvaluationSettings
) -> Fairness | None:
    if len(groups) < 2:
        return None
    counts = np.stack([_tabulate(scored.where(group.mask)) for group in groups])
    draws = _resample(counts, settings)
    rows, positives = draws.sum(axis=(2, 3)), draws[:, :, 1].sum(axis=2)
    complete = (positives > 0).all(axis=1)
    selected = draws[complete, :, :, 1].sum(axis=2) / rows[complete]
    found = draws[complete, :, 1, 1] / positives[complete]

    lowest, highest = selected.min(axis=1), selected.max(axis=1)
    even = np.ones_like(lowest)  # where nobody is called, nobody is disfavoured
    ratios = np.divide(lowest, highest, out=even, where=highest > 0)
    largest = int(rows[0].argmax())
    return Fairness(
        column=groups[0].column,
        largest=groups[largest].level,
        impact_ratio=percentile_interval(ratios, settings.confidence),
        impact_on=_impact_on(groups, selected, largest, settings.confidence),
        opportunity_gap=percentile_interval(
            found.max(axis=1) - found.min(axis=1), settings.confidence
        ),
        p_value=_p_of_four_fifths(counts[:, :, 1].sum(axis=1), counts.sum(axis=(1, 2))),
    )


def _p_of_four_fifths(called: NDArray[np.intp], rows: NDArray[np.intp]) -> float:
    """Test each group against each other, shapes (groups,); correct the lowest p-value."""
    pairs = list(permutations(zip(called.tolist(), rows.tolist(), strict=True), 2))
    return min(1.0, len(pairs) * min(_p_of_ratio(low, high, FOUR_FIFTHS) for low, high in pairs))


def _p_of_ratio(low: tuple[int, int], high: tuple[int, int], r: float) -> float:
    """Return how likely so low a share, hits of rows, is if it truly is `r` of the high one.

    The variance is that of the likeliest shares whose ratio is just `r`.
    """
    (x1, n1), (x2, n2) = low, high
    if x1 + x2 == 0:
        return 1.0
    a, b = r * (n1 + n2), r * (n1 + x2) + x1 + n2
    p2 = (b - sqrt(b**2 - 4 * a * (x1 + x2))) / (2 * a)
    variance = r * p2 * (1 - r * p2) / n1 + r**2 * p2 * (1 - p2) / n2
    return NormalDist().cdf((x1 / n1 - r * x2 / n2) / sqrt(variance))


def _impact_on(
    groups: list[_Group], selected: FloatArray, largest: int, confidence: float
) -> dict[str, Interval]:
    """Divide selection rates, shape (s, groups), by those of the largest group."""
    if selected[0, largest] == 0:
        return {}
    defined = selected[selected[:, largest] > 0]
    ratios = defined / defined[:, [largest]]
    return {
        group.level: percentile_interval(ratios[:, position], confidence)
        for position, group in enumerate(groups)
        if position != largest
    }


def _tabulate(scored: _Scored) -> NDArray[np.intp]:
    """Count the rows by label and by whether they are called, shape (2, 2)."""
    return np.bincount(2 * scored.labels + scored.called, minlength=4).reshape(2, 2)


def _resample(counts: NDArray[np.intp], settings: EvaluationSettings) -> NDArray[np.intp]:
    """Return `counts`, shape (groups, 2, 2), and what drawing its rows anew gives: (s + 1, ...)."""
    rows = counts.sum()
    generator = np.random.default_rng(settings.seed)
    draws = generator.multinomial(rows, counts.ravel() / rows, size=settings.resamples)
    return np.concatenate([counts[np.newaxis], draws.reshape(-1, *counts.shape)])


def _count(true: NDArray[Any]) -> int:
    return int(np.count_nonzero(true))
