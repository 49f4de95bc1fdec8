"""Three sets: one to train on, one to choose with, one to judge by."""

from typing import NamedTuple

import pandas as pd
from sklearn.model_selection import train_test_split

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

    `random` keeps the share of positives equal in all three; `temporal` keeps the order of the
    rows, which is the order of the calls, and holds out the latest.

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
    rest, test = _draw(data, settings.test, settings.seed)
    train, validation = _draw(rest, settings.validation / (1 - settings.test), settings.seed)
    return Parts(train, validation, test)


def _draw(data: pd.DataFrame, share: float, seed: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    rest, drawn = train_test_split(
        data, test_size=share, stratify=data[schema.TARGET], random_state=seed
    )
    return rest, drawn
