import json
from typing import Any

import numpy as np
import pandas as pd
import pytest

from bank_marketing import schema
from bank_marketing.encoder import Encoder
from bank_marketing.errors import ModelError

ENCODER = Encoder.from_schema(economic_indicators=False)

CUSTOMER = {
    "age": 40,
    "campaign": 2,
    "pdays": 999,
    "previous": 0,
    "job": "student",
    "marital": "single",
    "education": "high.school",
    "default": "no",
    "housing": "yes",
    "loan": "no",
    "contact": "cellular",
    "month": "may",
    "day_of_week": "mon",
    "poutcome": "nonexistent",
}


def encoded(**changes: Any) -> dict[str, float]:
    row = {name: [value] for name, value in (CUSTOMER | changes).items()}
    return dict(zip(ENCODER.feature_names, ENCODER.encode(row)[0], strict=True))


def test_the_default_features_are_the_59_of_the_workshop():
    assert len(ENCODER.feature_names) == 59
    assert len(set(ENCODER.feature_names)) == 59


def test_economic_indicators_add_five_columns_and_nothing_else():
    economic = Encoder.from_schema(economic_indicators=True)

    added = set(economic.feature_names) - set(ENCODER.feature_names)

    assert added == {"emp.var.rate", "cons.price.idx", "cons.conf.idx", "euribor3m", "nr.employed"}
    assert set(ENCODER.feature_names) <= set(economic.feature_names)


def test_a_row_becomes_its_numbers_its_indicators_and_one_1_per_category():
    features = encoded()

    ones = {name for name, value in features.items() if value == 1}
    assert ones == {
        "no_previous_contact",
        "not_working",
        "job_student",
        "marital_single",
        "education_high.school",
        "default_no",
        "housing_yes",
        "loan_no",
        "contact_cellular",
        "month_may",
        "day_of_week_mon",
        "poutcome_nonexistent",
    }
    assert features["age"] == 40
    assert features["pdays"] == 999


@pytest.mark.parametrize(
    ("changes", "feature", "value"),
    [
        ({"pdays": 6}, "no_previous_contact", 0),
        ({"pdays": 999.0}, "no_previous_contact", 1),
        ({"pdays": np.float32(999)}, "no_previous_contact", 1),
        ({"pdays": None}, "no_previous_contact", 0),
        ({"job": "retired"}, "not_working", 1),
        ({"job": "unemployed"}, "not_working", 1),
        ({"job": "admin."}, "not_working", 0),
    ],
)
def test_indicators_follow_their_column(changes, feature, value):
    assert encoded(**changes)[feature] == value


def test_an_unknown_category_is_all_zeros():
    features = encoded(job="astronaut")

    assert all(value == 0 for name, value in features.items() if name.startswith("job_"))


@pytest.mark.parametrize("missing", [None, float("nan"), pd.NA])
def test_a_missing_cell_counts_as_unknown_where_that_is_a_category(missing):
    assert encoded(job=missing)["job_unknown"] == 1


def test_a_missing_column_counts_as_unknown_where_that_is_a_category():
    row = {name: [value] for name, value in CUSTOMER.items() if name != "job"}

    features = dict(zip(ENCODER.feature_names, ENCODER.encode(row)[0], strict=True))

    assert features["job_unknown"] == 1
    assert features["not_working"] == 0


def test_missing_required_columns_are_all_named():
    row = {name: [value] for name, value in CUSTOMER.items() if name not in {"age", "month"}}

    with pytest.raises(ModelError, match=r"required columns are missing: age, month"):
        ENCODER.encode(row)


@pytest.mark.parametrize("text", ["forty", "40"])
def test_text_in_a_number_column_is_named_even_if_it_reads_as_a_number(text):
    with pytest.raises(
        ModelError, match=f"column 'age' must hold numbers, found the text '{text}'"
    ):
        encoded(age=text)


def test_a_frame_with_numbers_as_text_is_refused(contacts):
    with pytest.raises(ModelError, match="column 'pdays' must hold numbers, found the text '999'"):
        ENCODER.encode(contacts.assign(pdays=contacts["pdays"].astype("str")))


@pytest.mark.parametrize("missing", [None, float("nan"), pd.NA])
def test_a_missing_number_is_nan(missing, contacts):
    ages = contacts["age"].astype("Int64").mask(contacts.index == 0, missing)

    features = ENCODER.encode(contacts.assign(age=ages))

    assert np.isnan(features[:, ENCODER.feature_names.index("age")]).tolist()[:2] == [True, False]


def test_a_frame_and_its_columns_as_lists_give_the_same_features(contacts):
    as_lists = {name: contacts[name].tolist() for name in contacts}

    np.testing.assert_array_equal(ENCODER.encode(contacts), ENCODER.encode(as_lists))


def test_encoding_ignores_the_index_of_the_frame(contacts):
    shuffled = contacts.sample(frac=1, random_state=3)

    expected = ENCODER.encode(contacts)[shuffled.index]

    np.testing.assert_array_equal(ENCODER.encode(shuffled), expected)


def test_an_encoder_survives_json():
    assert Encoder.from_json(ENCODER.to_json()) == ENCODER


@pytest.mark.parametrize("column", sorted(schema.LEAKING_COLUMNS))
def test_a_leaking_column_is_refused_with_the_reason(column):
    parts = json.loads(ENCODER.to_json())
    parts["numbers"].append(column)

    with pytest.raises(ModelError, match=f"'{column}' can never be a feature: .* (call|answer)"):
        Encoder.from_json(json.dumps(parts))


def test_something_else_than_an_encoder_is_refused():
    with pytest.raises(ModelError, match="not an encoder of ours"):
        Encoder.from_json('{"numbers": []}')
