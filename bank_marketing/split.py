"""Three sets: one to train on, one to choose with, one to judge by."""

from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bank_marketing import schema
from bank_marketing.config import SplitSettings
from bank_marketing.errors import DataError


class Parts(NamedTuple):
    """Disjoint sets of rows that together are the whole table."""

    train: pd.DataFrame
    validation: pd.DataFrame
    test: pd.DataFrame


def split(data: pd.DataFrame, settings: SplitSettings) -> Parts:
    """Hold out a validation and a test set.

    Both keep the order of the rows, which is that of the calls. `random` keeps the share of
    positives equal in all three sets; `temporal` holds out the latest rows.

    Raises:
        DataError: There are too few rows of a class to have it in every set.
    """
    classes = [schema.NEGATIVE, schema.POSITIVE]
    rarest = data[schema.TARGET].value_counts().reindex(classes, fill_value=0).min()
    if rarest < len(Parts._fields):
        raise DataError(
            f"rarest class of {schema.TARGET!r} has {rarest} rows; "
            f"{len(Parts._fields)} sets need at least one each"
        )
    parts = (
        _temporal(data, settings) if settings.strategy == "temporal" else _random(data, settings)
    )
    for name, part in zip(Parts._fields, parts, strict=True):
        if part[schema.TARGET].nunique() < 2:
            raise DataError(
                f"the {name} set of {len(part)} rows holds one class only; "
                f"enlarge split.{name} or use more rows"
            )
    return Parts(*(part.reset_index(drop=True) for part in parts))


def _temporal(data: pd.DataFrame, settings: SplitSettings) -> Parts:
    test_start = len(data) - round(len(data) * settings.test)
    validation_start = test_start - round(len(data) * settings.validation)
    return Parts(
        data.iloc[:validation_start],
        data.iloc[validation_start:test_start],
        data.iloc[test_start:],
    )


def _random(data: pd.DataFrame, settings: SplitSettings) -> Parts:
    """Draw by the content of the rows, so that a row stays in its set when others come or go.

    Else a table with a few rows more or less would put rows that the champion was trained on into
    the test set, where the two are compared. Rows that are exact copies stay together.
    """
    lots = draw_lots(data, settings)
    answers = data[schema.TARGET].to_numpy()
    is_validation = drawn_for_validation(lots, answers, settings)
    is_test = _places(lots, answers) <= settings.test
    return Parts(data[~is_validation & ~is_test], data[is_validation], data[is_test])


def draw_lots(data: pd.DataFrame, settings: SplitSettings) -> NDArray[np.uint64]:
    """Return a number for each row, shape (rows,), that depends on its content and the seed."""
    lots = pd.util.hash_pandas_object(data, index=False, hash_key=f"{settings.seed:016d}")
    return np.asarray(lots, dtype=np.uint64)


def drawn_for_validation(
    lots: NDArray[np.uint64], answers: NDArray[Any], settings: SplitSettings
) -> NDArray[np.bool_]:
    """Return which rows the strategy `random` puts into the validation set, shape (rows,).

    Args:
        lots: Of the rows to split, from `draw_lots`.
        answers: Their target; its classes are equally frequent in all sets.
        settings: The shares of the sets.
    """
    places = _places(lots, answers)
    return (places > settings.test) & (places <= settings.test + settings.validation)


def _places(lots: NDArray[np.uint64], answers: NDArray[Any]) -> NDArray[np.float64]:
    """Return the place of each row among those with the same answer, in (0, 1]."""
    return pd.Series(lots).groupby(answers).rank(method="max", pct=True).to_numpy()
