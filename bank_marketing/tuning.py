"""Search for hyperparameters: on the training set only, by cross-validation."""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from statistics import fmean
from typing import Literal

import optuna
import pandas as pd
import xgboost
from optuna.distributions import BaseDistribution
from optuna.trial import FrozenTrial, TrialState
from pydantic import ValidationError

from bank_marketing.config import (
    FeatureSettings,
    ModelSettings,
    Range,
    Settings,
    TunedName,
    TuningSettings,
    explain,
)
from bank_marketing.dataset import fingerprint
from bank_marketing.errors import SettingsError
from bank_marketing.folds import Metric, fold_rows, impatient, quickest_first
from bank_marketing.search import Search, TuningProgress, distribution
from bank_marketing.study import ERROR, FOLD_TREES, FOLD_VALUES, open_study, standing
from bank_marketing.workers import start_workers

_MIN_TRIALS_FOR_IMPORTANCES = 20

State = Literal["complete", "pruned", "failed"]

_STATES: dict[TrialState, State] = {
    TrialState.COMPLETE: "complete",
    TrialState.PRUNED: "pruned",
    TrialState.FAIL: "failed",
}


class Trial(Settings):
    """One combination of hyperparameters and what became of it.

    `value` is the mean over the folds; of a pruned trial, over those that were tried. `trees` is
    the mean number at which training stopped. A failed trial has an `error`.
    """

    number: int
    state: State
    hyperparameters: dict[str, int | float]  # XGBoost refuses a depth of 8.0
    value: float | None
    fold_values: tuple[float, ...]
    trees: int | None
    seconds: float
    error: str | None


class Tuning(Settings):
    """What a search found; `model` is the model section with the best trial's values.

    `resumed` counts the trials that an earlier run of the same study had finished. Without trials,
    `model` is the model section itself.
    """

    study: str
    metric: Metric
    folds: int
    search_space: tuple[Range, ...]
    model: ModelSettings
    best: Trial | None
    trials: tuple[Trial, ...]
    resumed: int


def tune(
    train_set: pd.DataFrame,
    features: FeatureSettings,
    model: ModelSettings,
    settings: TuningSettings,
    *,
    study_folder: Path,
    progress: Callable[[TuningProgress], None],
) -> Tuning:
    """Search until `trials` have finished, or for `timeout_s`.

    A study is named by all that its values depend on: the same call continues it, also after the
    process was killed, and counts what it finds there; of more trials than wanted, those that began
    first. `n_estimators` stays the limit that it is, because the final training stops early as
    well.

    With one worker, equal arguments give equal trials. Several processes that begin a trial at the
    same moment may together finish one more than `trials`, which does not count.

    Args:
        train_set: Raw rows with the target; nothing else is ever looked at.
        features: Which columns the model may read.
        model: The values of what is not searched, and of what a starting point leaves open.
        settings: What is searched, how, and for how long.
        study_folder: Where studies are kept unless `settings.storage` names a database.
        progress: Called at least once a second while there are trials to train, and at the end.

    Raises:
        DataError: A class has fewer rows than there are folds.
        SettingsError: The search space allows what a model must not have, a starting point lies
            outside it, or no trial came to an end.
        PlatformError: The database cannot be used, or a process was killed.

    Source:
        J. Bergstra et al., "Algorithms for hyper-parameter optimization", NIPS 2011 (TPE).
    """
    require_legal(settings.search_space, model)
    points = starting_points(settings, model)
    name = _study_name(train_set, features, model, settings)
    if settings.trials == 0:
        return tuning_of(name, model, settings, trials=(), resumed=0)

    rows = fold_rows(train_set, features, folds=settings.folds, seed=settings.seed)
    with open_study(
        name,
        maximize=settings.metric == "roc_auc",
        storage=settings.storage,
        folder=study_folder,
    ) as study:
        for point in points:
            study.enqueue_trial(point, skip_if_exists=True)
        resumed = len(standing(study).finished[: settings.trials])
        if resumed < settings.trials:
            with start_workers(settings.workers) as workers:
                ordered = quickest_first(rows, impatient(model))
                for worker in workers:
                    worker.take(ordered, settings.metric)
                Search(study, model, settings, workers, progress).run()
        trials = tuple(map(_trial, standing(study).finished[: settings.trials]))
    return tuning_of(name, model, settings, trials=trials, resumed=resumed)


def starting_points(settings: TuningSettings, model: ModelSettings) -> list[dict[str, float]]:
    """Return the first trials: the configured points, completed with values of the model section.

    Raises:
        SettingsError: A point lies outside the search space.
    """
    return [_starting_point(point, settings, model) for point in settings.starting_points]


def require_legal(search_space: Sequence[Range], model: ModelSettings) -> None:
    """Refuse a search space with a value that a model must not have.

    Raises:
        SettingsError: Names the value.
    """
    for searched in search_space:
        for value in (searched.low, searched.high):
            try:
                ModelSettings.model_validate(model.model_dump() | {searched.name: value})
            except ValidationError as error:
                raise SettingsError(
                    f"tuning.search_space: {explain(error)}, got {value:g}"
                ) from error


def tuning_of(
    name: str,
    model: ModelSettings,
    settings: TuningSettings,
    *,
    trials: tuple[Trial, ...],
    resumed: int,
) -> Tuning:
    """Return what a search found.

    Raises:
        SettingsError: Trials were wanted, and none came to an end.
    """
    best = _best(trials, settings)
    values = best.hyperparameters if best else {}
    return Tuning(
        study=name,
        metric=settings.metric,
        folds=settings.folds,
        search_space=settings.search_space,
        model=ModelSettings.model_validate(model.model_dump() | values),
        best=best,
        trials=trials,
        resumed=resumed,
    )


def comparable_values(tuning: Tuning) -> dict[int, float]:
    """Return a value by number for each trial that was trained, as if on all folds.

    Some folds are harder than others, and a pruned trial has seen a few: it is given the best
    value, plus the mean by which it differs from the best trial on the folds that it has seen.
    """
    if tuning.best is None:
        return {}
    best = tuning.best.fold_values
    return {
        trial.number: trial.value
        if trial.state == "complete"
        else fmean(best)
        + fmean(value - of_best for value, of_best in zip(trial.fold_values, best, strict=False))
        for trial in tuning.trials
        if trial.state != "failed" and trial.value is not None
    }


def importances(tuning: Tuning) -> dict[str, float]:
    """Return by hyperparameter, highest first, its share of what made trials differ.

    Empty if there are too few trials to tell.

    Source:
        F. Hutter, H. Hoos, K. Leyton-Brown, "An efficient approach for assessing hyperparameter
        importance", ICML 2014 (functional ANOVA).
    """
    values = comparable_values(tuning)
    if len(values) < _MIN_TRIALS_FOR_IMPORTANCES or len(set(values.values())) < 2:
        return {}
    optuna.logging.set_verbosity(optuna.logging.WARNING)  # it announces every study otherwise
    study = optuna.create_study()
    distributions: dict[str, BaseDistribution] = {
        each.name: distribution(each) for each in tuning.search_space
    }
    for trial in tuning.trials:
        if trial.number in values:
            study.add_trial(
                optuna.create_trial(
                    params=trial.hyperparameters,
                    distributions=distributions,
                    value=values[trial.number],
                )
            )
    evaluator = optuna.importance.FanovaImportanceEvaluator(seed=0)
    shares = optuna.importance.get_param_importances(study, evaluator=evaluator)
    return {name: float(share) for name, share in shares.items()}


def _starting_point(
    point: Mapping[TunedName, float], settings: TuningSettings, model: ModelSettings
) -> dict[str, float]:
    values: dict[str, float] = {}
    for each in settings.search_space:
        value = point.get(each.name, getattr(model, each.name))
        if not each.low <= value <= each.high or (each.type == "int" and value % 1):
            raise SettingsError(
                f"a starting point of tuning has {each.name}={value:g}; search_space allows "
                f"{each.type} from {each.low:g} to {each.high:g}: widen it, or name another value"
            )
        values[each.name] = int(value) if each.type == "int" else float(value)
    return values


def _study_name(
    train_set: pd.DataFrame,
    features: FeatureSettings,
    model: ModelSettings,
    settings: TuningSettings,
) -> str:
    """Name a study by what the values of its trials, and the choice of them, depend on."""
    identity = {
        "train_set": fingerprint(train_set),
        "features": features.model_dump(),
        "model": model.model_dump(exclude={"n_jobs"}),
        "tuning": settings.model_dump(include={"folds", "metric", "seed", "search_space"}),
        "xgboost": xgboost.__version__,
        "first_fold": "quickest",
    }
    text = json.dumps(identity, sort_keys=True)
    return f"tuning-{hashlib.sha256(text.encode()).hexdigest()[:16]}"


def _trial(trial: FrozenTrial) -> Trial:
    values = tuple(trial.user_attrs.get(FOLD_VALUES, ()))
    trees = trial.user_attrs.get(FOLD_TREES)
    return Trial(
        number=trial.number,
        state=_STATES[trial.state],
        hyperparameters=trial.params,
        value=fmean(values) if values else None,
        fold_values=values,
        trees=round(fmean(trees)) if trees else None,
        seconds=(trial.duration or timedelta()).total_seconds(),
        error=trial.user_attrs.get(ERROR),
    )


def _best(trials: Sequence[Trial], settings: TuningSettings) -> Trial | None:
    """Return the first of the best trials; none only if none were wanted."""
    complete = {trial.value: trial for trial in reversed(trials) if trial.state == "complete"}
    values = [value for value in complete if value is not None]
    if values:
        return complete[max(values) if settings.metric == "roc_auc" else min(values)]
    if settings.trials == 0:
        return None
    for trial in trials:
        if trial.error:
            raise SettingsError(
                f"none of {len(trials)} trials could be trained; XGBoost on the first: "
                f"{trial.error}; correct tuning.search_space"
            )
    raise SettingsError(
        f"no trial came to an end within {settings.timeout_s:g} s; raise tuning.timeout_s"
    )
