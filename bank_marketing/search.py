"""The loop of a search: which hyperparameters are tried next, and which are given up early."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from statistics import fmean
from typing import NamedTuple

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, FloatDistribution, IntDistribution
from optuna.samplers import TPESampler
from optuna.trial import FrozenTrial, TrialState

from bank_marketing.config import ModelSettings, Range, TuningSettings
from bank_marketing.folds import FoldScore, Metric, impatient
from bank_marketing.study import (
    ERROR,
    FOLD_TREES,
    FOLD_VALUES,
    Ownership,
    drop_copy,
    finish,
    give_back,
    is_copy,
    standing,
)
from bank_marketing.workers import Refusal, Worker, with_answers

# A trial is given up unless it is among the better of those that came through, fold by fold.
_BETTER_SHARE = 0.25
_MIN_PEERS = 4

_TICK_S = 1.0


class TuningProgress(NamedTuple):
    """How far a search is; the time left is a guess, and unknown before the first trial."""

    finished: int
    trials: int
    best_value: float | None
    seconds_left: float | None


@dataclass
class _Attempt:
    """A trial that a worker is at."""

    trial: optuna.Trial
    model: ModelSettings
    scores: list[FoldScore] = field(default_factory=list)

    @property
    def mean(self) -> float:
        return fmean(score.value for score in self.scores)


class Search:
    """Hands folds to workers until there is nothing left to do."""

    def __init__(
        self,
        study: optuna.Study,
        model: ModelSettings,
        settings: TuningSettings,
        workers: Sequence[Worker],
        progress: Callable[[TuningProgress], None],
    ) -> None:
        self._study = study
        self._ownership = Ownership(study)
        self._model = impatient(model)
        self._settings = settings
        self._distributions: dict[str, BaseDistribution] = {
            each.name: distribution(each) for each in settings.search_space
        }
        self._workers = workers
        self._attempts: dict[Worker, _Attempt] = {}
        self._progress = progress
        self._start_s = time.monotonic()
        self._resumed = len(standing(study).finished)

    def run(self) -> None:
        """Work until the trials or the time are used up; give back what is not finished then."""
        deadline = self._start_s + self._settings.timeout_s
        try:
            while (left := deadline - time.monotonic()) > 0:
                self._ownership.show_life()
                self._ownership.free_stalled()
                self._begin_trials()
                finished = standing(self._study).finished
                self._progress(self._so_far(finished, left))
                if len(finished) >= self._settings.trials and not self._attempts:
                    return
                for worker in with_answers(self._attempts, min(_TICK_S, left)):
                    self._take_answer(worker)
        finally:
            for attempt in self._attempts.values():
                give_back(self._study, attempt.trial.number)

    def _begin_trials(self) -> None:
        """Give every idle worker a trial, while there are any to begin."""
        for worker in self._workers:
            while worker not in self._attempts:
                finished, running, copies = standing(self._study)
                begun = len(finished) + len(running)
                if begun >= self._settings.trials:
                    return
                known = {trial.number for trial in (*finished, *running)}
                # Seeded by position, a search that was interrupted goes on as if it had not been.
                position = begun + copies
                self._study.sampler = TPESampler(seed=self._settings.seed + position)
                trial = self._study.ask(self._distributions)
                self._ownership.claim(trial)
                if is_copy(self._study, trial.number, known=known):
                    drop_copy(self._study, trial)
                elif earlier := _equal(trial, finished):
                    self._repeat(trial, earlier)
                else:
                    self._begin(worker, trial)

    def _begin(self, worker: Worker, trial: optuna.Trial) -> None:
        attempt = _Attempt(trial, self._model.model_copy(update=trial.params))
        self._attempts[worker] = attempt
        worker.ask(attempt.model, fold=0)

    def _repeat(self, trial: optuna.Trial, earlier: FrozenTrial) -> None:
        """Finish `trial` as `earlier` was, without training again."""
        for step, mean in earlier.intermediate_values.items():
            trial.report(mean, step)
        for name in (FOLD_VALUES, FOLD_TREES):
            trial.set_user_attr(name, earlier.user_attrs[name])
        value = None if earlier.state == TrialState.PRUNED else earlier.value
        finish(self._study, trial.number, earlier.state, value)

    def _take_answer(self, worker: Worker) -> None:
        attempt = self._attempts[worker]
        answer = worker.answer()
        try:
            if isinstance(answer, Refusal):
                attempt.trial.set_user_attr(ERROR, answer)
                outcome = TrialState.FAIL
            else:
                attempt.scores.append(answer)
                outcome = self._judge(attempt)
        except optuna.exceptions.UpdateFinishedTrialError:  # we stalled, and it was taken from us
            outcome = TrialState.FAIL
        if outcome == TrialState.RUNNING:
            worker.ask(attempt.model, fold=len(attempt.scores))
        else:
            value = attempt.mean if outcome == TrialState.COMPLETE else None
            finish(self._study, attempt.trial.number, outcome, value)
            del self._attempts[worker]

    def _judge(self, attempt: _Attempt) -> TrialState:
        """Record the scores so far, and decide whether the next fold is worth its time."""
        step = len(attempt.scores) - 1
        attempt.trial.report(attempt.mean, step)
        attempt.trial.set_user_attr(FOLD_VALUES, [score.value for score in attempt.scores])
        attempt.trial.set_user_attr(FOLD_TREES, [score.trees for score in attempt.scores])
        if len(attempt.scores) == self._settings.folds:
            return TrialState.COMPLETE
        complete = self._study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
        peers = [trial.intermediate_values[step] for trial in complete]
        hopeless = is_hopeless(attempt.mean, peers, self._settings.metric)
        return TrialState.PRUNED if hopeless else TrialState.RUNNING

    def _so_far(self, finished: Sequence[FrozenTrial], left: float) -> TuningProgress:
        complete = [trial for trial in finished if trial.state == TrialState.COMPLETE]
        values = [trial.value for trial in complete if trial.value is not None]
        best = max if self._settings.metric == "roc_auc" else min
        here = len(finished) - self._resumed
        to_do = max(0, self._settings.trials - len(finished))
        elapsed = time.monotonic() - self._start_s
        return TuningProgress(
            finished=len(finished),
            trials=self._settings.trials,
            best_value=best(values, default=None),
            seconds_left=min(left, elapsed / here * to_do) if here else None,
        )


def _equal(trial: optuna.Trial, finished: Sequence[FrozenTrial]) -> FrozenTrial | None:
    return next(
        (
            earlier
            for earlier in finished
            if earlier.params == trial.params and earlier.state != TrialState.FAIL
        ),
        None,
    )


def is_hopeless(mean: float, peers: Sequence[float], metric: Metric) -> bool:
    """Return whether a trial should be given up before its last fold.

    Folds differ more than trials do, so only means over the same folds are compared.

    Args:
        mean: Of the trial over its first folds.
        peers: Of the trials that came through, over the same folds.
        metric: Says whether high or low values are good.
    """
    if len(peers) < _MIN_PEERS:
        return False
    if metric == "roc_auc":
        return bool(mean < np.quantile(peers, 1 - _BETTER_SHARE))
    return bool(mean > np.quantile(peers, _BETTER_SHARE))


def distribution(searched: Range) -> BaseDistribution:
    """Say to Optuna where it may look."""
    log = searched.scale == "log"
    if searched.type == "int":
        return IntDistribution(int(searched.low), int(searched.high), log=log)
    return FloatDistribution(searched.low, searched.high, log=log)
