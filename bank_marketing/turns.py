"""The calendar of a table, and which rows each model of a backtest learns from and scores."""

from bisect import bisect_right
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import pandas as pd

from bank_marketing import schema
from bank_marketing.config import BacktestSettings
from bank_marketing.errors import DataError

CADENCES = (1, 3, 6, None)  # months from one training to the next; None: there is no next

# Shuffled rows change their month so often that they seem to span decades.
_MOST_YEARS = 30
_MONTHS_OF_YEAR = next(
    column.categories
    for column in schema.COLUMNS
    if isinstance(column, schema.Categorical) and column.name == schema.CALENDAR_COLUMN
)


class Rows(NamedTuple):
    """Consecutive rows of the table: from `start` up to, but without, `stop`."""

    start: int
    stop: int


class Month(NamedTuple):
    """A month with calls; year 1 is the table's first, which it does not name."""

    year: int
    name: str
    rows: Rows


class Turn(NamedTuple):
    """The rows that a model is trained on, and those that it scores until the next takes over."""

    trained: Rows
    scored: Rows


def find_months(data: pd.DataFrame) -> tuple[Month, ...]:
    """Recover the calendar from the order of the rows: they name their month, but no year.

    A month begins where its name changes, and a year where the months start over. Two years that
    meet in the same month, without another in between, cannot be told apart.

    Raises:
        DataError: A row names an unknown month, or the rows are not in order.
    """
    names = data[schema.CALENDAR_COLUMN]
    numbers = pd.Index(_MONTHS_OF_YEAR).get_indexer(pd.Index(names))
    if unknown := sorted(set(names[numbers < 0].astype(str))):
        raise DataError(
            f"column {schema.CALENDAR_COLUMN!r} must name a month, got {', '.join(unknown[:5])}; "
            "backtest on the rows that validation accepted"
        )
    starts = np.flatnonzero(np.diff(numbers, prepend=-1))
    years = 1 + np.cumsum(np.diff(numbers[starts], prepend=0) < 0)
    if years.max(initial=1) > _MOST_YEARS:
        raise DataError(
            f"the rows are not in the order of the calls: column {schema.CALENDAR_COLUMN!r} "
            f"changes {len(starts) - 1} times in {len(numbers)} rows, as if they spanned "
            f"{years[-1]} years; backtest on the table before it is split or shuffled"
        )
    stops = [*starts[1:].tolist(), len(numbers)]
    return tuple(
        Month(year, _MONTHS_OF_YEAR[numbers[start]], Rows(start, stop))
        for year, start, stop in zip(years.tolist(), starts.tolist(), stops, strict=True)
    )


def plan_turns(months: Sequence[Month], settings: BacktestSettings) -> tuple[Turn, ...]:
    """Return the turns of `settings`: one for each month, or for every `retrain_rows` rows.

    A label is known once `label_delay_months` whole months with calls have gone by after its own;
    without a delay, at once.

    Raises:
        DataError: Nowhere in the table are `min_train_rows` answers known.
    """
    if settings.retrain_rows is None:
        return plan_by_months(months, settings, every=1)
    first = _first_scored(months, settings)
    return _turns(range(first, months[-1].rows.stop, settings.retrain_rows), months, settings)


def plan_by_months(
    months: Sequence[Month], settings: BacktestSettings, every: int | None
) -> tuple[Turn, ...]:
    """Return the turns of retraining in each `every`-th month with calls; of one model if None.

    Raises:
        DataError: As `plan_turns`.
    """
    first = _first_scored(months, settings)
    starts = [first, *(month.rows.start for month in months if month.rows.start > first)]
    return _turns(starts[::every] if every else starts[:1], months, settings)


def _first_scored(months: Sequence[Month], settings: BacktestSettings) -> int:
    """Return the first row before whose call `min_train_rows` answers were known."""
    delayed = settings.label_delay_months > 0  # then answers become known at the start of a month
    candidates = [month.rows.start for month in months] if delayed else [settings.min_train_rows]
    for row in candidates:
        known = _known(row, months, settings)
        if known >= settings.min_train_rows and row < months[-1].rows.stop:
            return row
    raise DataError(
        f"no row of {len(months)} months has {settings.min_train_rows} rows before it whose "
        f"answers are known after {settings.label_delay_months} months; lower "
        "backtest.min_train_rows or use more rows"
    )


def _known(row: int, months: Sequence[Month], settings: BacktestSettings) -> int:
    """Count the rows, from the first on, whose answers are known when `row` is called."""
    if settings.label_delay_months == 0:
        return row
    current = bisect_right(months, row, key=lambda month: month.rows.start) - 1
    return months[max(0, current - settings.label_delay_months)].rows.start


def _turns(
    takeovers: Sequence[int], months: Sequence[Month], settings: BacktestSettings
) -> tuple[Turn, ...]:
    return tuple(
        Turn(_window(_known(start, months, settings), settings), Rows(start, stop))
        for start, stop in pairwise([*takeovers, months[-1].rows.stop])
    )


def _window(known: int, settings: BacktestSettings) -> Rows:
    sliding = settings.strategy == "sliding"
    return Rows(max(0, known - settings.window_rows) if sliding else 0, known)
