"""The script of SageMaker jobs trains and cross-validates what the step itself would."""

import threading

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from bank_marketing.folds import (
    ROUNDS_BETWEEN_CHECKS,
    CrossValidation,
    fold_rows,
    with_missing_zeros,
)
from bank_marketing.model import bundle_of, encode, train_bundle
from platforms.sagemaker.job_requests import hyperparameters
from sagemaker_jobs import train as script

NEVER = threading.Event()


class AfterSome(threading.Event):
    """Set from the moment that it was asked about often enough: the middle of a training."""

    def __init__(self, times: int) -> None:
        super().__init__()
        self._times = times

    def is_set(self) -> bool:
        self._times -= 1
        return self._times < 0


@pytest.fixture(scope="module")
def model(settings):
    return settings.model.model_copy(update={"n_estimators": 300, "early_stopping_rounds": 20})


@pytest.fixture(scope="module")
def sets(contacts):
    return contacts[:3000], contacts[3000:]


@pytest.fixture(scope="module")
def rows(sets, settings):
    return [encode(each, settings.features)._asdict() for each in sets]


@pytest.fixture(scope="module")
def folded(contacts, settings):
    return fold_rows(contacts, settings.features, folds=3, seed=1)


@pytest.fixture(scope="module")
def fold_arrays(folded):
    return {
        "features": with_missing_zeros(folded.features),
        "labels": folded.labels,
        "fold": folded.fold,
    }


def plan(model, **more):
    return script.Plan.of(hyperparameters(model) | more)


def searching(model, metric):
    return plan(model, metric=metric, rounds_between_checks=str(ROUNDS_BETWEEN_CHECKS))


def test_the_model_is_byte_for_byte_the_one_that_the_step_trains(
    model, sets, rows, settings, tmp_path
):
    booster = script.train(plan(model), *rows, tmp_path, NEVER)

    trained = bundle_of(bytes(booster.save_raw("ubj")), settings.features, model)
    assert trained.files() == train_bundle(*sets, settings.features, model).files()


@pytest.mark.parametrize("metric", ["log_loss", "roc_auc"])
def test_a_trial_has_the_fold_values_of_a_search_in_the_step(
    model, folded, fold_arrays, metric, tmp_path
):
    scores = script.cross_validate(searching(model, metric), fold_arrays, tmp_path, NEVER)

    validation = CrossValidation(folded, metric)
    expected = [validation.score(model, fold) for fold in range(3)]
    assert [tuple(score) for score in scores] == [tuple(score) for score in expected]


def test_an_interrupted_cross_validation_goes_on_where_it_was(model, fold_arrays, tmp_path, capsys):
    search = searching(model, "log_loss")
    whole = script.cross_validate(search, fold_arrays, tmp_path / "whole", NEVER)
    with pytest.raises(SystemExit):
        script.cross_validate(search, fold_arrays, tmp_path / "spot", AfterSome(1))
    stored = (tmp_path / "spot" / "folds.json").read_text()
    capsys.readouterr()

    resumed = script.cross_validate(search, fold_arrays, tmp_path / "spot", NEVER)

    assert stored.count("[") == 3  # a list of two scores
    assert resumed == whole
    mean = sum(score.value for score in whole) / 3
    assert f"cv-log_loss={mean!r};" in capsys.readouterr().out


def test_an_interrupted_training_goes_on_where_it_was(model, rows, tmp_path, capsys):
    # Drawing rows and columns goes on with other numbers, which XGBoost does not save.
    certain = plan(model.model_copy(update={"subsample": 1.0, "colsample_bytree": 1.0}))
    whole = script.train(certain, *rows, tmp_path / "whole", NEVER)
    with pytest.raises(SystemExit) as ended:
        script.train(certain, *rows, tmp_path / "spot", AfterSome(10))
    begun = capsys.readouterr().out.count("[0] ")

    resumed = script.train(certain, *rows, tmp_path / "spot", NEVER)

    assert ended.value.code == 143  # as a process that SIGTERM ended
    assert (begun, capsys.readouterr().out.count("[0] ")) == (2, 0)
    assert resumed.save_raw("ubj") == whole.save_raw("ubj")


def test_a_job_with_the_checkpoint_of_the_last_round_trains_no_further(model, rows, tmp_path):
    done = plan(model.model_copy(update={"n_estimators": 100, "early_stopping_rounds": 100}))
    whole = script.train(done, *rows, tmp_path, NEVER)

    again = script.train(done, *rows, tmp_path, AfterSome(0))

    assert again.save_raw("ubj") == whole.save_raw("ubj")


def test_roc_auc_counts_a_tie_half():
    y, margins = np.array([0, 1, 0, 1, 1, 0]), np.array([0.1, 0.4, 0.4, 0.8, 0.2, 0.2])

    assert script.roc_auc(y, margins) == roc_auc_score(y, margins)
