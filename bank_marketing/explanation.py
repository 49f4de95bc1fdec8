"""Why a model scores as it does: exact Shapley values of its trees.

A contribution says by how much a value moves a customer's log-odds away from the base value, the
model's answer where nothing is known. With it, a customer's contributions add up to the booster's
margin. What calibration makes of the margin afterwards is no part of them.

Source:
    S. Lundberg et al., "From local explanations to global understanding with explainable AI for
    trees", Nature Machine Intelligence 2, 2020.
"""

import math
from collections.abc import Iterator
from typing import Any, Literal, NamedTuple, TypeVar

import numpy as np
import pandas as pd
import xgboost
from numpy.typing import NDArray

from bank_marketing.bundle import Bundle
from bank_marketing.config import Settings
from bank_marketing.encoder import Encoder
from bank_marketing.errors import DataError

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.intp]
BoolArray = NDArray[np.bool_]

Outcome = Literal["true positive", "false positive", "false negative", "true negative"]

_RANGES = 10  # of a number column, about
_MISSING = "missing"


class DependencePoint(Settings):
    """What one category, or one range of numbers, contributes: the mean and the middle 80 %."""

    label: str
    rows: int
    contribution: float
    low: float
    high: float


class Effect(Settings):
    """How much something moves the scores: by its mean absolute contribution, in log-odds.

    `gain` is the share of the loss won in training that XGBoost owes to splits on it.
    """

    contribution: float
    gain: float

    @property
    def odds_factor(self) -> float:
        """The mean contribution as a factor of the odds, by which they rise or fall."""
        return math.exp(self.contribution)


class ColumnEffect(Effect):
    """The effect of a raw column, summed over all features that are made from it.

    `direction` is the rank correlation of value and contribution; categories, which have no order,
    have none. Points follow the order of the numbers, or the contributions of the categories.
    """

    column: str
    direction: float | None
    points: tuple[DependencePoint, ...]


class FeatureEffect(Effect):
    """The effect of one feature as the trees read it; `direction` as above."""

    feature: str
    direction: float


class Contribution(Settings):
    """A customer's value in one raw column, and by how much it moves the log-odds."""

    column: str
    value: str
    log_odds: float

    @property
    def odds_factor(self) -> float:
        return math.exp(self.log_odds)


class ExplainedCustomer(Settings):
    """One row of the explained table, its contributions in order of their size.

    `probability` is the one that decides, after calibration; `margin` is the log-odds before.
    """

    row: int
    outcome: Outcome
    highest_score: bool
    probability: float
    margin: float
    contributions: tuple[Contribution, ...]


class Explanation(Settings):
    """What a model looks at, over all customers and in a few; effects in order of their size."""

    rows: int
    threshold: float
    base: float
    columns: tuple[ColumnEffect, ...]
    features: tuple[FeatureEffect, ...]
    customers: tuple[ExplainedCustomer, ...]


AnyEffect = TypeVar("AnyEffect", bound=Effect)


class _Sample(NamedTuple):
    """The explained rows."""

    encoder: Encoder
    frame: pd.DataFrame
    by_feature: FloatArray  # contributions, shape (rows, features)
    by_column: pd.DataFrame  # the same, summed: one column for each raw one
    gains: FloatArray  # shape (features,), summing to 1


def explain(
    bundle: Bundle,
    frame: pd.DataFrame,
    labels: NDArray[np.integer[Any]],
    *,
    threshold: float,
    max_rows: int,
    seed: int,
) -> Explanation:
    """Explain a model by what it makes of the customers in `frame`.

    Five customers are explained one by one: for each outcome the one of median probability, and
    the one of the highest. Outcomes that do not occur are left out.

    Raw values of these customers become part of the result and of every page made from it. The
    rows of the public table may be shown; for another, settle first who may see them.

    Args:
        bundle: The model.
        frame: Raw rows, with every column that the model reads, shape (n, ...).
        labels: 1 for a subscriber, else 0, shape (n,).
        threshold: Customers are called whose probability is at least this.
        max_rows: If there are more rows, so many are drawn.
        seed: Decides which are drawn.

    Raises:
        DataError: There are no rows, or not one label for each.
    """
    if frame.empty or labels.shape != (len(frame),):
        raise DataError(
            f"an explanation needs rows and one label for each, got {len(frame)} rows and "
            f"labels of shape {labels.shape}"
        )
    rows = _draw(len(frame), max_rows, seed)
    frame, labels = frame.iloc[rows], labels[rows]
    by_feature, base = contributions(bundle, frame)
    sample = _Sample(
        bundle.encoder,
        frame,
        by_feature,
        _sum_by_column(by_feature, bundle.encoder),
        _gain_shares(bundle),
    )
    probabilities = bundle.probability(frame)
    called = probabilities >= threshold
    return Explanation(
        rows=len(frame),
        threshold=threshold,
        base=base,
        columns=_by_size(_column_effects(sample)),
        features=_by_size(_feature_effects(sample)),
        customers=tuple(
            ExplainedCustomer(
                row=int(rows[position]),
                outcome=_outcome(labels[position], called[position]),
                highest_score=bool(position == np.argmax(probabilities)),
                probability=float(probabilities[position]),
                margin=base + float(sample.by_column.iloc[position].sum()),
                contributions=_contributions_of(sample, position),
            )
            for position in _customers(labels, probabilities, called)
        ),
    )


def contributions(bundle: Bundle, frame: pd.DataFrame) -> tuple[FloatArray, float]:
    """Return the contribution of each feature in each row, (rows, features), and the base value.

    In log-odds. A row's sum and the base value give the booster's margin, but for the last bits of
    single precision.
    """
    matrix = xgboost.DMatrix(
        bundle.encoder.encode(frame), feature_names=list(bundle.encoder.feature_names)
    )
    shapley = bundle.booster.predict(matrix, pred_contribs=True).astype(np.float64)
    return shapley[:, :-1], float(shapley[0, -1])


def _draw(rows: int, max_rows: int, seed: int) -> IntArray:
    """Return positions of at most `max_rows` rows, in their order."""
    if rows <= max_rows:
        return np.arange(rows)
    return np.sort(np.random.default_rng(seed).choice(rows, max_rows, replace=False))


def _raw_columns(encoder: Encoder) -> NDArray[np.str_]:
    """Name the raw column behind each feature, shape (features,)."""
    return np.array(
        [
            *encoder.numbers,
            *(indicator.column for indicator in encoder.indicators),
            *(part.name for part in encoder.categoricals for _ in part.categories),
        ]
    )


def _sum_by_column(by_feature: FloatArray, encoder: Encoder) -> pd.DataFrame:
    columns = _raw_columns(encoder)
    return pd.DataFrame(
        {
            str(name): by_feature[:, columns == name].sum(axis=1)
            for name in dict.fromkeys(columns.tolist())
        }
    )


def _gain_shares(bundle: Bundle) -> FloatArray:
    gain = bundle.booster.get_score(importance_type="total_gain")  # of the features in use
    gains: FloatArray = np.array([gain.get(name, 0.0) for name in bundle.encoder.feature_names])
    return gains / (gains.sum() or 1.0)  # trees without a split gain nothing


def _by_size(effects: Iterator[AnyEffect]) -> tuple[AnyEffect, ...]:
    return tuple(sorted(effects, key=lambda effect: -effect.contribution))


def _column_effects(sample: _Sample) -> Iterator[ColumnEffect]:
    columns = _raw_columns(sample.encoder)
    for name in sample.by_column:
        values, moves = sample.frame[name], sample.by_column[name].to_numpy()
        is_number = name in sample.encoder.numbers
        points = _points(_ranges(values) if is_number else _categories(values), moves)
        yield ColumnEffect(
            column=name,
            contribution=np.abs(moves).mean(),
            gain=sample.gains[columns == name].sum(),
            direction=_rank_correlations(values, moves).item() if is_number else None,
            points=points if is_number else _by_contribution(points),
        )


def _feature_effects(sample: _Sample) -> Iterator[FeatureEffect]:
    features = sample.encoder.encode(sample.frame)
    directions = _rank_correlations(features, sample.by_feature)
    for position, feature in enumerate(sample.encoder.feature_names):
        yield FeatureEffect(
            feature=feature,
            contribution=np.abs(sample.by_feature[:, position]).mean(),
            gain=sample.gains[position],
            direction=directions[position],
        )


def _rank_correlations(values: Any, moves: FloatArray) -> FloatArray:
    """Correlate the ranks, column by column, shape (k,); 0 where either side is constant."""
    x, y = (
        pd.DataFrame(side).rank(na_option="bottom").to_numpy(np.float64) for side in (values, moves)
    )
    x, y = x - x.mean(axis=0), y - y.mean(axis=0)
    scale = np.sqrt((x**2).sum(axis=0) * (y**2).sum(axis=0))
    correlations: FloatArray = np.divide(
        (x * y).sum(axis=0), scale, out=np.zeros_like(scale), where=scale > 0
    )
    return correlations


def _points(groups: dict[str, BoolArray], moves: FloatArray) -> tuple[DependencePoint, ...]:
    points = []
    for label, inside in groups.items():
        low, high = np.quantile(moves[inside], [0.1, 0.9])
        points.append(
            DependencePoint(
                label=label,
                rows=np.count_nonzero(inside),
                contribution=moves[inside].mean(),
                low=low,
                high=high,
            )
        )
    return tuple(points)


def _by_contribution(points: tuple[DependencePoint, ...]) -> tuple[DependencePoint, ...]:
    return tuple(sorted(points, key=lambda point: -point.contribution))


def _categories(values: "pd.Series[Any]") -> dict[str, BoolArray]:
    """Say which rows hold each category."""
    named = values.fillna(_MISSING)
    return {name: (named == name).to_numpy() for name in named.unique()}


def _ranges(values: "pd.Series[Any]") -> dict[str, BoolArray]:
    """Say which rows lie in each range of about equally many; a frequent number has its own."""
    starts = _range_starts(values)
    ranges = np.searchsorted(starts, values, side="right")
    missing = values.isna().to_numpy()
    groups = {}
    for position in range(1, len(starts) + 1):
        inside = (ranges == position) & ~missing
        groups[_range_name(values[inside].min(), values[inside].max())] = inside
    return groups | ({_MISSING: missing} if missing.any() else {})


def _range_starts(values: "pd.Series[Any]") -> list[float]:
    enough = len(values) / _RANGES
    starts: list[float] = []
    in_range = enough
    for number, rows in zip(*np.unique(values.dropna(), return_counts=True), strict=True):
        if max(in_range, rows) >= enough:
            starts.append(number)
            in_range = 0
        in_range += rows
    return starts


def _range_name(low: float, high: float) -> str:
    return _text(low) if low == high else f"{_text(low)} to {_text(high)}"


def _customers(
    labels: NDArray[np.integer[Any]], probabilities: FloatArray, called: BoolArray
) -> list[int]:
    """Return the position of the highest score, then of the median one within each outcome."""
    chosen = [int(np.argmax(probabilities))]
    for is_called, subscribed in ((True, 1), (True, 0), (False, 1), (False, 0)):
        members = np.flatnonzero((called == is_called) & (labels == subscribed))
        if members.size:
            ascending = members[np.argsort(probabilities[members], kind="stable")]
            chosen.append(int(ascending[(members.size - 1) // 2]))
    return list(dict.fromkeys(chosen))


def _outcome(label: int, called: bool) -> Outcome:
    if called:
        return "true positive" if label else "false positive"
    return "false negative" if label else "true negative"


def _contributions_of(sample: _Sample, position: int) -> tuple[Contribution, ...]:
    moves = sample.by_column.iloc[position]
    values = sample.frame.iloc[position]
    return tuple(
        Contribution(column=name, value=_text(values[name]), log_odds=moves[name])
        for name in moves.abs().sort_values(ascending=False, kind="stable").index
    )


def _text(value: Any) -> str:
    if pd.isna(value):
        return _MISSING
    return value if isinstance(value, str) else f"{value:.10g}"
