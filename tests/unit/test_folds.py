"""One fold of the cross-validation: what it trains on, and what it measures."""

import numpy as np
import pytest
from sklearn.metrics import log_loss, roc_auc_score

from bank_marketing.errors import DataError
from bank_marketing.folds import CrossValidation, FoldedRows, fold_rows, quickest_first
from bank_marketing.model import TermDepositClassifier, labels


@pytest.fixture(scope="module")
def rows(contacts, settings) -> FoldedRows:
    return fold_rows(contacts, settings.features, folds=4, seed=3)


@pytest.fixture(scope="module")
def quick(settings):
    return settings.model.model_copy(update={"n_estimators": 20, "early_stopping_rounds": 50})


def test_every_row_is_held_out_once_and_positives_are_spread_evenly(rows, contacts):
    positives = [rows.labels[rows.fold == fold].sum() for fold in range(4)]

    assert np.bincount(rows.fold).tolist() == [len(contacts) / 4] * 4
    assert max(positives) - min(positives) <= 1


def test_equal_seeds_draw_equal_folds(rows, contacts, settings):
    again = fold_rows(contacts, settings.features, folds=4, seed=3)
    other = fold_rows(contacts, settings.features, folds=4, seed=4)

    assert np.array_equal(again.fold, rows.fold)
    assert not np.array_equal(other.fold, rows.fold)


@pytest.mark.parametrize("metric", ["log_loss", "roc_auc"])
def test_a_fold_scores_what_the_final_training_would(rows, contacts, settings, quick, metric):
    held_out = rows.fold == 1
    train, test = contacts[~held_out], contacts[held_out]
    measure = {"log_loss": log_loss, "roc_auc": roc_auc_score}[metric]

    score = CrossValidation(rows, metric).score(quick, fold=1)

    equally_long = quick.model_copy(update={"n_estimators": score.trees})
    classifier = TermDepositClassifier(settings.features, equally_long).fit(train, labels(train))
    expected = measure(labels(test), classifier.predict_proba(test)[:, 1])
    assert score.value == pytest.approx(expected, abs=1e-6)


def test_training_stops_when_the_rows_held_out_no_longer_gain(rows, settings):
    overfitting = settings.model.model_copy(
        update={"n_estimators": 2_000, "early_stopping_rounds": 20, "learning_rate": 0.5}
    )

    score = CrossValidation(rows, "log_loss").score(overfitting, fold=0)

    full = overfitting.model_copy(update={"n_estimators": 300, "early_stopping_rounds": 300})
    assert score.trees < 300
    assert score == CrossValidation(rows, "log_loss").score(full, fold=0)


def test_the_rows_held_out_are_not_trained_on(rows, quick):
    flipped = np.where(rows.fold == 0, 1 - rows.labels, rows.labels).astype(np.int8)
    without_patience = quick.model_copy(update={"n_estimators": 5})

    true, false = (
        CrossValidation(FoldedRows(rows.features, y, rows.fold), "roc_auc").score(
            without_patience, fold=0
        )
        for y in (rows.labels, flipped)
    )

    # The same model, so that every pair it had in the right order is now in the wrong one.
    assert false.value == pytest.approx(1 - true.value)


def test_the_folds_on_which_training_stops_soonest_come_first(rows, settings):
    model = settings.model.model_copy(update={"early_stopping_rounds": 10, "learning_rate": 0.1})

    ordered = quickest_first(rows, model)

    trees = [CrossValidation(ordered, "log_loss").score(model, fold).trees for fold in range(4)]
    assert trees == sorted(trees)
    assert len(set(trees)) > 1


def test_reordered_folds_hold_the_same_rows(rows, quick):
    ordered = quickest_first(rows, quick)

    # Each fold has one number before and one after.
    assert len(set(zip(rows.fold, ordered.fold, strict=True))) == 4
    assert set(ordered.fold) == {0, 1, 2, 3}


def test_folds_keep_their_order_if_xgboost_refuses_the_model(rows, quick):
    beyond_single_precision = quick.model_copy(update={"gamma": 1e300})

    ordered = quickest_first(rows, beyond_single_precision)

    assert np.array_equal(ordered.fold, rows.fold)


def test_a_class_with_fewer_rows_than_folds_is_refused(contacts, settings):
    few = contacts.drop(contacts.index[contacts["y"] == "yes"][3:])

    with pytest.raises(DataError, match="has 3 rows; 4 folds"):
        fold_rows(few, settings.features, folds=4, seed=1)
