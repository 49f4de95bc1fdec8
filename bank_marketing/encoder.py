"""From raw customer rows to the numbers that the trees read; needs NumPy alone.

Nothing is fitted: the categories come from the schema, so a training set that lacks a rare one
still gives the same features, and no validation or test row can leak into them.
"""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from bank_marketing import schema
from bank_marketing.errors import ModelError
from bank_marketing.schema import Categorical, Indicator, Numeric


class Table(Protocol):
    """Columns by name: a DataFrame, or a dictionary of equally long lists."""

    def __contains__(self, column: object, /) -> bool: ...

    def __getitem__(self, column: str, /) -> Any: ...


@dataclass(frozen=True)
class Encoder:
    """One-hot encoding with look-up tables: numbers, then indicators, then categories.

    An unknown category is all zeros in its columns, as with scikit-learn's
    `OneHotEncoder(handle_unknown="ignore")`; a missing one counts as "unknown" where the table
    has that category. A missing number is NaN, which XGBoost handles.
    """

    numbers: tuple[str, ...]
    indicators: tuple[Indicator, ...]
    categoricals: tuple[Categorical, ...]

    @classmethod
    def from_schema(cls, *, economic_indicators: bool) -> Self:
        """Build the encoder of the schema's feature columns."""
        columns = schema.feature_columns(economic_indicators=economic_indicators)
        return cls(
            numbers=tuple(column.name for column in columns if isinstance(column, Numeric)),
            indicators=schema.DERIVED_FEATURES,
            categoricals=tuple(column for column in columns if isinstance(column, Categorical)),
        )

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Read what `to_json` wrote.

        Raises:
            ModelError: The text names a column that leaks the answer, or is no encoder.
        """
        try:
            parts = json.loads(text)
            encoder = cls(
                numbers=tuple(parts["numbers"]),
                indicators=tuple(
                    Indicator(part["name"], part["column"], tuple(part["values"]))
                    for part in parts["indicators"]
                ),
                categoricals=tuple(
                    Categorical(part["name"], tuple(part["categories"]))
                    for part in parts["categoricals"]
                ),
            )
        except (ValueError, KeyError, TypeError) as error:
            raise ModelError(f"encoder.json is not an encoder of ours: {error!r}") from error
        return encoder

    def to_json(self) -> str:
        return json.dumps(asdict(self), indent=1)

    def __post_init__(self) -> None:
        for column in (*self.numbers, *(indicator.column for indicator in self.indicators)):
            _refuse_leak(column)
        for categorical in self.categoricals:
            _refuse_leak(categorical.name)

    @cached_property
    def feature_names(self) -> tuple[str, ...]:
        """Names of the encoded columns, in order."""
        return (
            *self.numbers,
            *(indicator.name for indicator in self.indicators),
            *(
                f"{categorical.name}_{category}"
                for categorical in self.categoricals
                for category in categorical.categories
            ),
        )

    @cached_property
    def required_columns(self) -> tuple[str, ...]:
        """Raw columns without which a row cannot be scored."""
        return (*self.numbers, *(part.name for part in self.categoricals if not part.optional))

    @cached_property
    def optional_columns(self) -> tuple[str, ...]:
        """Raw columns that count as "unknown" when they are absent."""
        return tuple(part.name for part in self.categoricals if part.optional)

    def encode(self, table: Table) -> NDArray[np.float32]:
        """Turn raw rows into features, shape (rows, len(feature_names)).

        Raises:
            ModelError: A required column is missing, or a number column holds text.
        """
        missing = [column for column in self.required_columns if column not in table]
        if missing:
            raise ModelError(f"required columns are missing: {', '.join(missing)}")

        rows = len(table[self.required_columns[0]])
        features = np.zeros((rows, len(self.feature_names)), dtype=np.float32)
        for position, column in enumerate(self.numbers):
            features[:, position] = _numbers(table[column], column)
        for position, indicator in enumerate(self.indicators, start=len(self.numbers)):
            if indicator.column in self.numbers:  # as numbers, so that 999.0 is 999
                numbers = features[:, self.numbers.index(indicator.column)]
                features[:, position] = np.isin(numbers, indicator.values)
            elif indicator.column in table:
                features[:, position] = _is_one_of(table[indicator.column], indicator)

        start = len(self.numbers) + len(self.indicators)
        for categorical in self.categoricals:
            if categorical.name in table:
                codes = _codes(table[categorical.name], categorical)
            else:
                codes = np.full(rows, categorical.categories.index(schema.UNKNOWN))
            known = np.flatnonzero(codes >= 0)
            features[known, start + codes[known]] = 1
            start += len(categorical.categories)
        return features


def _refuse_leak(column: str) -> None:
    if column in schema.LEAKING_COLUMNS:
        raise ModelError(f"{column!r} can never be a feature: {schema.LEAKING_COLUMNS[column]}")


def _numbers(values: Any, column: str) -> NDArray[np.float32]:
    cells = np.asarray(values)
    if cells.dtype.kind not in "biuf":  # NumPy would read a number from its text
        text = next((cell for cell in cells if isinstance(cell, str | bytes)), None)
        if text is not None:
            raise ModelError(f"column {column!r} must hold numbers, found the text {str(text)!r}")
    try:
        return cells.astype(np.float32)
    except (TypeError, ValueError) as error:
        raise ModelError(f"column {column!r} must hold numbers: {error}") from error


def _is_one_of(values: Any, indicator: Indicator) -> NDArray[np.int64]:
    wanted = set(indicator.values)
    return _look_up(values, lambda cell: cell in wanted)


def _codes(values: Any, categorical: Categorical) -> NDArray[np.int64]:
    """Return each cell's position in the categories, -1 where there is none."""
    positions = {category: code for code, category in enumerate(categorical.categories)}
    absent = positions.get(schema.UNKNOWN, -1)
    return _look_up(
        values, lambda cell: positions.get(cell, -1) if isinstance(cell, str) else absent
    )


def _look_up(values: Any, number: Callable[[Any], int]) -> NDArray[np.int64]:
    """Apply `number` to each cell; only once per distinct one where `values` is a Series."""
    if not hasattr(values, "factorize"):
        return np.fromiter(map(number, values), np.int64)
    codes, distinct = values.factorize(use_na_sentinel=False)
    numbers: NDArray[np.int64] = np.fromiter(map(number, distinct), np.int64, len(distinct))[codes]
    return numbers
