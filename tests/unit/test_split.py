from itertools import combinations

import pandas as pd
import pytest

from bank_marketing.config import SplitSettings
from bank_marketing.errors import DataError
from bank_marketing.split import split

RANDOM = SplitSettings(strategy="random", validation=0.2, test=0.1, seed=42)
TEMPORAL = RANDOM.model_copy(update={"strategy": "temporal"})


def table(answers: list[str]) -> pd.DataFrame:
    return pd.DataFrame({"call": range(len(answers)), "y": answers})


@pytest.fixture
def calls() -> pd.DataFrame:
    return table(["no", "no", "no", "no", "yes"] * 20)


def test_every_row_is_in_exactly_one_set(calls):
    parts = split(calls, RANDOM)

    assert [len(part) for part in parts] == [70, 20, 10]
    assert sorted(call for part in parts for call in part["call"]) == list(range(100))


def test_a_random_split_keeps_the_share_of_positives(calls):
    parts = split(calls, RANDOM)

    assert [(part["y"] == "yes").mean() for part in parts] == pytest.approx([0.2, 0.2, 0.2])


def test_a_random_split_depends_on_the_seed_only(calls):
    other = split(calls, RANDOM.model_copy(update={"seed": 7}))

    assert split(calls, RANDOM).test.equals(split(calls, RANDOM).test)
    assert not split(calls, RANDOM).test.equals(other.test)


def test_a_temporal_split_keeps_the_order_and_holds_out_the_latest(calls):
    train, validation, test = split(calls, TEMPORAL)

    assert train["call"].tolist() == list(range(70))
    assert validation["call"].tolist() == list(range(70, 90))
    assert test["call"].tolist() == list(range(90, 100))


@pytest.mark.parametrize(
    ("answers", "message"),
    [
        (["no"] * 50, "rarest class of 'y' has 0 rows"),
        (["no"] * 50 + ["yes"] * 2, "rarest class of 'y' has 2 rows; 3 sets need at least one"),
    ],
)
def test_too_few_rows_of_a_class_are_named(answers, message):
    with pytest.raises(DataError, match=message):
        split(table(answers), RANDOM)


@pytest.mark.parametrize("name", ["test", "validation"])
def test_a_random_set_too_small_for_both_classes_is_refused(calls, name):
    with pytest.raises(DataError, match=f"the {name} set of 0 rows holds one class only"):
        split(calls, RANDOM.model_copy(update={name: 0.00001}))


def test_a_row_stays_in_its_set_when_others_go(contacts):
    fewer = contacts.drop(index=contacts.index[::80])

    before, after = split(contacts, RANDOM), split(fewer, RANDOM)

    seen = set(before.train.itertuples(index=False))
    moved = [row for row in after.test.itertuples(index=False) if row in seen]
    assert len(after.test) > 300
    assert len(moved) <= 5  # those at the edge between the sets


def test_exact_copies_are_in_one_set(contacts):
    twice = pd.concat([contacts, contacts], ignore_index=True)

    parts = split(twice, RANDOM)

    for one, other in combinations((set(part.itertuples(index=False)) for part in parts), 2):
        assert one & other == set()


def test_a_temporal_test_set_of_one_class_is_refused():
    with pytest.raises(DataError, match="the test set of 10 rows holds one class only"):
        split(table(["yes", "no"] * 45 + ["no"] * 10), TEMPORAL)
