"""The calendar and the plan of a backtest, by hand."""

import numpy as np
import pandas as pd
import pytest

from bank_marketing.config import BacktestSettings
from bank_marketing.errors import DataError
from bank_marketing.turns import Rows, find_months, plan_by_months, plan_turns


def table(*months):
    """Return a table with the given numbers of rows of each month, in this order."""
    return pd.DataFrame({"month": [name for name, rows in months for _ in range(rows)]})


# Rows 0-9, 10-14, 15-34, 35-39 and 40-49: two years of ten, five, twenty, five and ten calls.
CALENDAR = find_months(table(("may", 10), ("jun", 5), ("mar", 20), ("apr", 5), ("dec", 10)))


def planned(**changes):
    return BacktestSettings(
        **{
            "strategy": "sliding",
            "window_rows": 12,
            "min_train_rows": 10,
            "retrain_rows": None,
            "label_delay_months": 0,
            "max_roc_auc_loss": 0.01,
            **changes,
        }
    )


def test_a_month_begins_where_the_name_changes_and_a_year_where_the_months_start_over():
    assert [(month.year, month.name, *month.rows) for month in CALENDAR] == [
        (1, "may", 0, 10),
        (1, "jun", 10, 15),
        (2, "mar", 15, 35),
        (2, "apr", 35, 40),
        (2, "dec", 40, 50),
    ]


def test_the_same_month_a_year_later_is_another_month():
    months = find_months(table(("may", 2), ("jun", 1), ("may", 3)))

    assert [(month.year, month.name) for month in months] == [(1, "may"), (1, "jun"), (2, "may")]


def test_the_real_table_spans_26_months_of_three_years(real_table):
    months = find_months(real_table)

    # cons.price.idx, which has one value per calendar month, changes at the same rows.
    changes = np.flatnonzero(np.diff(real_table["cons.price.idx"])) + 1
    assert [month.rows.start for month in months] == [0, *changes]
    assert len(months) == 26
    year_starts = {month.year: month.rows.start for month in reversed(months)}
    assert year_starts == {1: 0, 2: 27_690, 3: 39_130}


def test_shuffled_rows_are_refused(contacts):
    with pytest.raises(DataError, match=r"not in the order of the calls: .* before it is split"):
        find_months(contacts.sample(frac=1, random_state=0))


def test_an_unknown_month_is_refused_by_its_name():
    with pytest.raises(DataError, match="'month' must name a month, got Mai; "):
        find_months(table(("Mai", 1), ("jun", 2)))


@pytest.mark.parametrize("strategy", ["sliding", "expanding"])
@pytest.mark.parametrize("retrain_rows", [None, 1, 7, 100])
@pytest.mark.parametrize("delay", [0, 1, 2])
def test_no_row_is_scored_by_a_model_that_saw_it_or_anything_later(strategy, retrain_rows, delay):
    settings = planned(
        strategy=strategy, retrain_rows=retrain_rows, label_delay_months=delay, min_train_rows=5
    )

    turns = plan_turns(CALENDAR, settings)

    assert all(turn.trained.start < turn.trained.stop <= turn.scored.start for turn in turns)


@pytest.mark.parametrize("retrain_rows", [None, 1, 7, 100])
@pytest.mark.parametrize("delay", [0, 1, 2])
def test_every_row_from_the_first_on_is_scored_once(retrain_rows, delay):
    turns = plan_turns(CALENDAR, planned(retrain_rows=retrain_rows, label_delay_months=delay))

    scored = [row for turn in turns for row in range(*turn.scored)]
    assert scored == list(range(turns[0].scored.start, 50))


def test_a_month_is_scored_by_what_was_known_at_its_start():
    turns = plan_turns(CALENDAR, planned())

    # The window holds the last 12 rows, of which there were 10 before June.
    assert [(turn.trained, turn.scored) for turn in turns] == [
        (Rows(0, 10), Rows(10, 15)),
        (Rows(3, 15), Rows(15, 35)),
        (Rows(23, 35), Rows(35, 40)),
        (Rows(28, 40), Rows(40, 50)),
    ]


def test_an_expanding_window_forgets_nothing():
    turns = plan_turns(CALENDAR, planned(strategy="expanding"))

    assert [turn.trained for turn in turns] == [Rows(0, 10), Rows(0, 15), Rows(0, 35), Rows(0, 40)]


def test_answers_of_the_months_of_the_delay_are_not_known():
    turns = plan_turns(CALENDAR, planned(label_delay_months=1, strategy="expanding"))

    # In the third month, those of the second are missing; so it is the first that can be scored.
    assert [(turn.trained, turn.scored) for turn in turns] == [
        (Rows(0, 10), Rows(15, 35)),
        (Rows(0, 15), Rows(35, 40)),
        (Rows(0, 35), Rows(40, 50)),
    ]


def test_retraining_by_rows_starts_as_soon_as_there_are_enough():
    turns = plan_turns(CALENDAR, planned(retrain_rows=15, min_train_rows=12))

    assert [(turn.trained, turn.scored) for turn in turns] == [
        (Rows(0, 12), Rows(12, 27)),
        (Rows(15, 27), Rows(27, 42)),
        (Rows(30, 42), Rows(42, 50)),
    ]


def test_retraining_by_rows_learns_of_delayed_answers_at_the_start_of_a_month_only():
    turns = plan_turns(
        CALENDAR, planned(retrain_rows=10, label_delay_months=1, strategy="expanding")
    )

    # Rows 15 and 25 are in the third month, 35 starts the fourth and 45 is in the fifth.
    assert [turn.trained.stop for turn in turns] == [10, 10, 15, 35]


@pytest.mark.parametrize(
    ("every", "takeovers"), [(1, [10, 15, 35, 40]), (3, [10, 40]), (None, [10])]
)
def test_a_model_stays_until_its_months_are_over(every, takeovers):
    turns = plan_by_months(CALENDAR, planned(), every)

    assert [turn.scored.start for turn in turns] == takeovers
    assert turns[-1].scored.stop == 50


@pytest.mark.parametrize("delay", [0, 1])
def test_a_table_with_too_few_rows_is_refused(delay):
    with pytest.raises(DataError, match="no row of 5 months has 50 rows before it"):
        plan_turns(CALENDAR, planned(min_train_rows=50, label_delay_months=delay))
