"""Shapley values against hand computations, and the customers that are picked by rule."""

import numpy as np
import pandas as pd
import pytest
import xgboost

from bank_marketing.bundle import Bundle, Manifest, Platt
from bank_marketing.encoder import Encoder
from bank_marketing.errors import DataError
from bank_marketing.explanation import Explanation, contributions, explain
from bank_marketing.model import labels, train_bundle
from bank_marketing.schema import Categorical

CONTACT = Categorical("contact", ("cellular", "telephone"))


@pytest.fixture(scope="module")
def bundle(contacts, settings) -> Bundle:
    return train_bundle(contacts[:3000], contacts[3000:], settings.features, settings.model)


@pytest.fixture(scope="module")
def unseen(contacts) -> pd.DataFrame:
    return contacts[3000:]


def explained(bundle, frame, *, threshold=0.12, max_rows=10_000, seed=0):
    return explain(bundle, frame, labels(frame), threshold=threshold, max_rows=max_rows, seed=seed)


def stump(frame, *, numbers=(), categoricals=()) -> Bundle:
    """Grow one split without regularization: its leaves hold G / H = +2 and -2 log-odds.

    From a probability of 1/2, each row has the gradient -1/2 or 1/2 and the hessian 1/4.
    """
    encoder = Encoder(numbers=numbers, indicators=(), categoricals=categoricals)
    matrix = xgboost.DMatrix(
        encoder.encode(frame), label=labels(frame), feature_names=list(encoder.feature_names)
    )
    parameters = {
        "objective": "binary:logistic",
        "base_score": 0.5,
        "max_depth": 1,
        "learning_rate": 1,
        "reg_lambda": 0,
        "min_child_weight": 0,
        "nthread": 1,
    }
    booster = xgboost.train(parameters, matrix, num_boost_round=1)
    return Bundle(encoder, booster, Manifest(hyperparameters={}, trees=1))


@pytest.fixture
def phones() -> pd.DataFrame:
    """Three of four customers have a mobile phone, and these subscribe."""
    return pd.DataFrame(
        {"contact": ["cellular", "cellular", "cellular", "telephone"], "y": ["yes"] * 3 + ["no"]}
    )


def test_contributions_and_base_add_up_to_the_margin(bundle, contacts):
    by_feature, base = contributions(bundle, contacts)

    np.testing.assert_allclose(
        by_feature.sum(axis=1) + base, bundle.margin(contacts), rtol=0, atol=1e-5
    )


def test_contribution_is_the_way_from_the_mean_to_the_leaf(phones):
    explanation = explained(stump(phones, categoricals=(CONTACT,)), phones)

    # Three rows of +2 and one of -2 have the mean 1; from there it is +1 and -3.
    [column] = explanation.columns
    assert explanation.base == pytest.approx(1)
    assert [(p.label, p.rows, p.contribution) for p in column.points] == [
        ("cellular", 3, pytest.approx(1)),
        ("telephone", 1, pytest.approx(-3)),
    ]
    assert column.contribution == pytest.approx((3 * 1 + 3) / 4)
    assert (column.gain, column.direction) == (1, None)


def test_features_that_the_trees_ignore_have_no_effect(phones):
    used, unused = explained(stump(phones, categoricals=(CONTACT,)), phones).features

    assert (used.feature, used.gain, used.direction) == ("contact_cellular", 1, pytest.approx(1))
    assert (unused.contribution, unused.gain, unused.direction) == (0, 0, 0)


def test_a_column_sums_up_all_features_made_from_it(bundle, unseen):
    explanation = explained(bundle, unseen)

    by_feature, _ = contributions(bundle, unseen)
    names = bundle.encoder.feature_names
    own = [names.index("pdays"), names.index("no_previous_contact")]
    [pdays] = [column for column in explanation.columns if column.column == "pdays"]
    assert pdays.contribution == pytest.approx(np.abs(by_feature[:, own].sum(axis=1)).mean())


def test_effects_cover_everything_once_and_come_in_order_of_size(bundle, unseen):
    explanation = explained(bundle, unseen)

    for effects in (explanation.columns, explanation.features):
        sizes = [effect.contribution for effect in effects]
        assert sizes == sorted(sizes, reverse=True)
        assert sum(effect.gain for effect in effects) == pytest.approx(1)
    assert {feature.feature for feature in explanation.features} == set(
        bundle.encoder.feature_names
    )


def test_direction_is_the_rank_correlation_of_value_and_contribution():
    frame = pd.DataFrame({"age": [20, 20, 60, 60], "y": ["yes", "yes", "no", "no"]})

    [age] = explained(stump(frame, numbers=("age",)), frame).columns

    assert age.direction == pytest.approx(-1)


def test_numbers_are_cut_into_even_ranges_and_a_frequent_one_stands_alone():
    ages = [21, 22, 23, 24, 25, *[30] * 11, 41, 42, 43, 44]
    frame = pd.DataFrame({"age": ages, "y": ["yes", "no"] * 10})

    [age] = explained(stump(frame, numbers=("age",)), frame).columns

    # A tenth of 20 rows is 2; the last range ends where the frequent 30 begins.
    assert [(point.label, point.rows) for point in age.points] == [
        ("21 to 22", 2),
        ("23 to 24", 2),
        ("25", 1),
        ("30", 11),
        ("41 to 42", 2),
        ("43 to 44", 2),
    ]


def test_missing_values_are_a_group_of_their_own():
    frame = pd.DataFrame(
        {"age": [20, None, 60], "contact": ["cellular", "telephone", None], "y": ["yes"] * 3}
    )
    model = stump(frame, numbers=("age",), categoricals=(CONTACT,))

    explanation = explained(model, frame)

    for column in explanation.columns:
        assert [point.rows for point in column.points if point.label == "missing"] == [1]
    assert Explanation.model_validate_json(explanation.model_dump_json()) == explanation


def test_spread_holds_the_middle_eighty_percent(bundle, unseen):
    explanation = explained(bundle, unseen)

    by_feature, _ = contributions(bundle, unseen)
    cellular = by_feature[
        unseen["contact"] == "cellular", bundle.encoder.feature_names.index("contact_cellular") :
    ][:, :2].sum(axis=1)
    [column] = [column for column in explanation.columns if column.column == "contact"]
    [point] = [point for point in column.points if point.label == "cellular"]
    assert np.mean((point.low <= cellular) & (cellular <= point.high)) == pytest.approx(
        0.8, abs=0.01
    )


def test_one_customer_is_typical_of_each_outcome_and_one_has_the_highest_score(bundle, unseen):
    explanation = explained(bundle, unseen)

    scores, truth = bundle.probability(unseen), labels(unseen)
    highest, *typical = explanation.customers
    assert highest.highest_score
    assert highest.probability == scores.max()
    assert [customer.outcome for customer in typical] == [
        "true positive",
        "false positive",
        "false negative",
        "true negative",
    ]
    for customer in typical:
        same = scores[
            (truth == truth[customer.row]) & ((scores >= 0.12) == (scores[customer.row] >= 0.12))
        ]
        assert customer.probability == np.sort(same)[(same.size - 1) // 2]


def test_outcomes_that_do_not_occur_are_left_out(bundle, unseen):
    explanation = explained(bundle, unseen, threshold=1)

    assert {customer.outcome for customer in explanation.customers} == {
        "false negative",
        "true negative",
    }


def test_a_customer_carries_its_raw_values_and_the_largest_contribution_first(bundle, unseen):
    explanation = explained(bundle, unseen)

    for customer in explanation.customers:
        raw = unseen.iloc[customer.row]
        moves = [abs(step.log_odds) for step in customer.contributions]
        assert moves == sorted(moves, reverse=True)
        assert sum(step.log_odds for step in customer.contributions) == pytest.approx(
            customer.margin - explanation.base
        )
        assert {step.column: step.value for step in customer.contributions} == {
            step.column: str(raw[step.column]) for step in customer.contributions
        }


def test_calibration_changes_the_probability_and_nothing_else(bundle, unseen):
    calibrated = bundle.with_evidence(calibration=Platt(slope=1, intercept=-1))

    before, after = (explained(model, unseen).customers[0] for model in (bundle, calibrated))

    assert (after.margin, after.contributions) == (before.margin, before.contributions)
    assert after.probability == pytest.approx(1 / (1 + np.exp(1 - before.margin)))


def test_a_sample_is_drawn_by_its_seed_and_keeps_the_rows_places(bundle, unseen):
    first, again, other = (explained(bundle, unseen, max_rows=50, seed=seed) for seed in (1, 1, 2))

    assert first == again != other
    assert first.rows == 50
    scores = bundle.probability(unseen)
    assert all(scores[customer.row] == customer.probability for customer in first.customers)


def test_a_factor_of_the_odds_is_the_exponential_of_the_log_odds(phones):
    explanation = explained(stump(phones, categoricals=(CONTACT,)), phones)

    [step] = explanation.customers[0].contributions
    assert step.odds_factor == pytest.approx(np.e)


@pytest.mark.parametrize(
    ("rows", "truth", "message"),
    [
        (0, 0, r"got 0 rows and labels of shape \(0,\)"),
        (3, 2, r"got 3 rows and labels of shape \(2,\)"),
    ],
)
def test_rows_without_labels_are_refused(bundle, unseen, rows, truth, message):
    with pytest.raises(DataError, match=message):
        explain(
            bundle,
            unseen[:rows],
            labels(unseen[:truth]),
            threshold=0.5,
            max_rows=10,
            seed=0,
        )
