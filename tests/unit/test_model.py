import numpy as np
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedKFold, cross_val_score

from bank_marketing.config import ModelSettings
from bank_marketing.model import TermDepositClassifier, labels


@pytest.fixture(scope="module")
def quick(settings) -> ModelSettings:
    return settings.model.model_copy(update={"n_estimators": 20})


@pytest.fixture(scope="module")
def fitted(contacts, settings, quick) -> TermDepositClassifier:
    return TermDepositClassifier(settings.features, quick).fit(contacts, labels(contacts))


def test_scikit_learn_can_cross_validate_the_classifier(contacts, settings, quick):
    classifier = TermDepositClassifier(settings.features, quick)
    folds = StratifiedKFold(3, shuffle=True, random_state=0)  # the rows are in order of time

    scores = cross_val_score(classifier, contacts, labels(contacts), cv=folds, scoring="roc_auc")

    assert scores.min() > 0.6


def test_a_clone_has_the_same_settings_and_is_not_fitted(fitted, contacts):
    copy = clone(fitted)

    assert copy.get_params() == fitted.get_params()
    with pytest.raises(NotFittedError):
        copy.predict_proba(contacts)


def test_probabilities_sum_to_one_and_agree_with_the_prediction(fitted, contacts):
    probabilities = fitted.predict_proba(contacts)

    np.testing.assert_allclose(probabilities.sum(axis=1), 1)
    np.testing.assert_array_equal(fitted.predict(contacts), probabilities[:, 1] >= 0.5)


def test_without_a_validation_set_every_tree_is_grown(fitted):
    assert fitted.bundle_.manifest.trees == 20


def test_early_stopping_keeps_the_best_iteration_on_the_validation_set(contacts, settings):
    train, validation = contacts[:3000], contacts[3000:]
    overfitting = settings.model.model_copy(
        update={"n_estimators": 500, "learning_rate": 0.3, "early_stopping_rounds": 20}
    )
    stopped = TermDepositClassifier(settings.features, overfitting)
    full = TermDepositClassifier(settings.features, overfitting)

    stopped.fit(train, labels(train), eval_set=(validation, labels(validation)))
    full.fit(train, labels(train))

    assert 1 <= stopped.bundle_.manifest.trees < 480
    assert auc(stopped, validation) > auc(full, validation)


def test_a_changed_hyperparameter_changes_the_model(contacts, settings, quick):
    deeper = quick.model_copy(update={"max_depth": quick.max_depth + 2})

    files = [
        TermDepositClassifier(settings.features, model)
        .fit(contacts, labels(contacts))
        .bundle_.files()["xgboost-model"]
        for model in (quick, deeper)
    ]

    assert files[0] != files[1]


def test_labels_are_one_for_subscribers(contacts):
    expected = [1 if answer == "yes" else 0 for answer in contacts["y"]]

    assert labels(contacts).tolist() == expected


def auc(classifier: TermDepositClassifier, frame) -> float:
    return float(roc_auc_score(labels(frame), classifier.predict_proba(frame)[:, 1]))
