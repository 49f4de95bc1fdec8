"""What production would have seen: the past replayed in the order of the calls.

A model is trained on the rows whose answers were known at the time, scores the rows that came
next, and gives way to the next model. No row is ever scored by a model that has seen it, or
anything later. The hyperparameters have: they were chosen on rows of the whole calendar.
"""

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from math import ceil
from typing import Literal, NamedTuple, TypeAlias

import numpy as np
import pandas as pd
import xgboost
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from bank_marketing.comparison import compare_roc_auc, roc_auc
from bank_marketing.config import (
    BacktestSettings,
    EvaluationSettings,
    FeatureSettings,
    ModelSettings,
    Settings,
    SplitSettings,
)
from bank_marketing.encoder import Encoder
from bank_marketing.errors import DataError
from bank_marketing.evaluation import Interval, percentile_interval
from bank_marketing.folds import impatient, stop_early, without_zeros
from bank_marketing.model import booster_parameters, labels
from bank_marketing.resampling import resampled_score_metrics
from bank_marketing.split import draw_lots, drawn_for_validation
from bank_marketing.turns import (
    CADENCES,
    Month,
    Rows,
    Turn,
    find_months,
    plan_by_months,
    plan_turns,
)

_ONE_TRAINING = "That is with one model.seed; with another the answer may differ."

Metrics = dict[str, Interval]
Baseline = Literal["never_retrained", "logistic_regression"]
Features: TypeAlias = csr_matrix
Answers = NDArray[np.int8]
Scores = NDArray[np.float64]
Scorer = Callable[[Features], Scores]
Measure = Callable[[Answers, Scores], Metrics]


class Period(Settings):
    """One month of calls, each scored by the model in use at the time.

    `trainings` counts the models that took over within the month. `metrics` and `baselines`, the
    ROC-AUC of each, are None where all answers are the same.
    """

    year: int
    month: str
    rows: int
    positives: int
    trainings: int
    metrics: Metrics | None
    baselines: dict[Baseline, float] | None


class Cadence(Settings):
    """What retraining every so many months would have reached on the same rows.

    `months` is None for the first model alone; `difference` is to retraining every month.
    """

    months: int | None
    trainings: int
    roc_auc: Interval
    difference: Interval

    @property
    def name(self) -> str:
        if self.months is None:
            return "never"
        return "every month" if self.months == 1 else f"every {self.months} months"


class Backtest(Settings):
    """The replay of one way to retrain; `metrics` and `baselines` are over all scored rows."""

    settings: BacktestSettings
    confidence: float
    rows: int
    positives: int
    trainings: int
    metrics: Metrics
    baselines: dict[Baseline, Metrics]
    periods: tuple[Period, ...]
    cadences: tuple[Cadence, ...]

    @property
    def roc_auc_within_months(self) -> float | None:
        """Return the share of ordered pairs among those of a subscriber and another of one month.

        Pooled ROC-AUC also counts pairs of different months, which differ in much more than their
        customers. None if no month has both answers.
        """
        judged = [(each.metrics["roc_auc"].value, each) for each in self.periods if each.metrics]
        pairs = [each.positives * (each.rows - each.positives) for _, each in judged]
        if not pairs:
            return None
        return float(np.average([value for value, _ in judged], weights=pairs))

    @property
    def needed_cadence(self) -> Cadence:
        """Return the rarest retraining that surely loses no more than is accepted.

        Sure of other customers, that is: another seed trains other models.
        """
        return next(each for each in reversed(self.cadences) if self._is_accepted(each))

    def _is_accepted(self, cadence: Cadence) -> bool:
        return cadence.difference.low >= -self.settings.max_roc_auc_loss

    @property
    def answer(self) -> str:
        """Say how often this model must be retrained, and why."""
        needed = self.needed_cadence
        reached = f"reaches ROC-AUC {needed.roc_auc.in_words()}"
        if needed is self.cadences[-1]:
            return (
                f"This model need not be retrained: the first {reached}. "
                f"It {self._compared(needed)} is ruled out. {_ONE_TRAINING}"
            )
        rarer = self.cadences[self.cadences.index(needed) + 1]
        return (
            f"Retrain this model {needed.name}: it then {reached}. Retrained {rarer.name}, "
            f"it {self._compared(rarer)} cannot be ruled out. {_ONE_TRAINING}"
        )

    def _compared(self, cadence: Cadence) -> str:
        return (
            f"differs by {cadence.difference.in_words('+.3f')} from retraining every month, where "
            f"a loss of more than {self.settings.max_roc_auc_loss:g}"
        )


class _Examples(NamedTuple):
    """Rows to learn from; `lots` decide which are held out if they are drawn."""

    features: Features  # shape (rows, features), see `folds.without_zeros`
    answers: Answers  # 0 or 1, shape (rows,)
    lots: NDArray[np.uint64]  # shape (rows,), see `split.draw_lots`

    def part(self, rows: Rows) -> "_Examples":
        return self.chosen(np.arange(*rows))

    def chosen(self, rows: NDArray[np.int_]) -> "_Examples":
        return _Examples(self.features[rows], self.answers[rows], self.lots[rows])

    def held_out(self, split: SplitSettings) -> NDArray[np.bool_]:
        """Return which rows `split` holds out for validation, shape (rows,)."""
        if split.strategy == "random":
            return drawn_for_validation(self.lots, self.answers, split)
        rows = len(self.answers)
        return np.arange(rows) >= rows - ceil(split.validation * rows)


class _Replay(NamedTuple):
    """What came true from row `start` on, and what was foreseen; arrays of equal shape."""

    start: int
    answers: Answers
    ours: Scores
    rivals: dict[Baseline, Scores]

    def part(self, rows: Rows) -> "_Replay":
        at = slice(max(0, rows.start - self.start), rows.stop - self.start)
        rivals = {name: scores[at] for name, scores in self.rivals.items()}
        return _Replay(max(rows.start, self.start), self.answers[at], self.ours[at], rivals)


def backtest(
    data: pd.DataFrame,
    features: FeatureSettings,
    model: ModelSettings,
    settings: BacktestSettings,
    evaluation: EvaluationSettings,
    split: SplitSettings,
) -> Backtest:
    """Replay the calls of `data`, which are in the order of time and hold the target.

    Each model finds its number of trees as the pipeline does: on the rows of its window that
    `split` would hold out for validation. It then grows as many from the whole window.

    Scoring starts as soon as `min_train_rows` answers are known. The metrics are those of
    `evaluate` that read the scores alone, as the trees give them: nothing here depends on a
    threshold, and a calibration for each window would change how rows of different months rank. The
    baselines score the same rows: the first model without its successors, and logistic regression
    trained whenever ours is.

    Raises:
        DataError: The rows are not in the order of time or too few, or a model would have to learn
            from answers that are all the same.

    Source:
        L. Tashman, "Out-of-sample tests of forecasting accuracy: an analysis and review",
        International Journal of Forecasting 16, 2000 (rolling origin, windows).
    """
    months = find_months(data)
    turns = plan_turns(months, settings)
    cadences = {every: plan_by_months(months, settings, every) for every in CADENCES}

    encoder = Encoder.from_schema(economic_indicators=features.economic_indicators)
    encoded = without_zeros(encoder.encode(data), numbers=len(encoder.numbers))
    examples = _Examples(encoded, labels(data), draw_lots(data, split))
    grow = partial(_grow_trees, model=impatient(model), split=split)
    trees = _train_all([turns, *cadences.values()], examples, grow)
    linear = _train_all([turns], examples, _fit_line)

    by_cadence = {every: _score(plan, trees, examples) for every, plan in cadences.items()}
    replay = _Replay(
        start=turns[0].scored.start,
        answers=examples.answers[turns[0].scored.start :],
        ours=_score(turns, trees, examples),
        rivals={
            "never_retrained": by_cadence[None],
            "logistic_regression": _score(turns, linear, examples),
        },
    )
    measure = partial(_measure, evaluation=evaluation)
    return Backtest(
        settings=settings,
        confidence=evaluation.confidence,
        rows=replay.answers.size,
        positives=int(replay.answers.sum()),
        trainings=len(turns),
        metrics=measure(replay.answers, replay.ours),
        baselines={name: measure(replay.answers, rival) for name, rival in replay.rivals.items()},
        periods=tuple(
            _period(month, turns, replay.part(month.rows), measure)
            for month in months
            if month.rows.stop > replay.start
        ),
        cadences=tuple(
            _cadence(every, len(plan), replay.answers, by_cadence, evaluation.confidence)
            for every, plan in cadences.items()
        ),
    )


def _train_all(
    plans: Iterable[Sequence[Turn]], examples: _Examples, train: Callable[[_Examples], Scorer]
) -> dict[Rows, Scorer]:
    """Train once on each window of the plans, which share many of them."""
    windows = sorted({turn.trained for plan in plans for turn in plan})
    for window in windows:
        _require_both_classes(window, examples)
    with ThreadPoolExecutor(os.cpu_count()) as threads:  # XGBoost trains outside Python's lock
        return dict(zip(windows, threads.map(train, map(examples.part, windows)), strict=True))


def _grow_trees(examples: _Examples, model: ModelSettings, split: SplitSettings) -> Scorer:
    """Find the number of trees on the rows held out, then grow as many from all rows.

    The latest rows, of which a drifting market leaves few like them, are thus learned from.
    """
    is_held_out = examples.held_out(split)
    held_out = examples.chosen(np.flatnonzero(is_held_out))
    trees = stop_early(
        model,
        _matrix(examples.chosen(np.flatnonzero(~is_held_out))),
        xgboost.DMatrix(held_out.features, nthread=1),
        held_out.answers,
    ).trees
    booster = xgboost.train(booster_parameters(model), _matrix(examples), trees)

    def score(features: Features) -> Scores:
        probabilities = booster.predict(xgboost.DMatrix(features, nthread=1))
        return np.asarray(probabilities, dtype=np.float64)

    return score


def _matrix(examples: _Examples) -> xgboost.QuantileDMatrix:
    return xgboost.QuantileDMatrix(examples.features, label=examples.answers, nthread=1)


def _fit_line(examples: _Examples) -> Scorer:
    line = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1_000))
    line.fit(examples.features.toarray(), examples.answers)

    def score(features: Features) -> Scores:
        probabilities: Scores = line.predict_proba(features.toarray())[:, 1]
        return probabilities

    return score


def _require_both_classes(window: Rows, examples: _Examples) -> None:
    answers = examples.part(window).answers
    if answers.min() == answers.max():
        raise DataError(
            f"the answers of rows {window.start} to {window.stop - 1} are all the same, so that "
            "no model can learn from them; enlarge backtest.window_rows or min_train_rows"
        )


def _score(turns: Sequence[Turn], models: Mapping[Rows, Scorer], examples: _Examples) -> Scores:
    """Score the rows of all turns, each with the model of its turn."""
    return np.concatenate(
        [models[turn.trained](examples.part(turn.scored).features) for turn in turns]
    )


def _measure(answers: Answers, scores: Scores, *, evaluation: EvaluationSettings) -> Metrics:
    values = resampled_score_metrics(answers, scores, evaluation)
    return {
        name: percentile_interval(samples, evaluation.confidence)
        for name, samples in values.items()
    }


def _period(month: Month, turns: Sequence[Turn], replay: _Replay, measure: Measure) -> Period:
    positives = int(replay.answers.sum())
    judged = 0 < positives < replay.answers.size
    return Period(
        year=month.year,
        month=month.name,
        rows=replay.answers.size,
        positives=positives,
        trainings=sum(month.rows.start <= turn.scored.start < month.rows.stop for turn in turns),
        metrics=measure(replay.answers, replay.ours) if judged else None,
        baselines={
            name: float(roc_auc_score(replay.answers, scores))
            for name, scores in replay.rivals.items()
        }
        if judged
        else None,
    )


def _cadence(
    every: int | None,
    trainings: int,
    answers: Answers,
    scores: Mapping[int | None, Scores],
    confidence: float,
) -> Cadence:
    compared = compare_roc_auc(answers, scores[every], scores[1], confidence=confidence)
    return Cadence(
        months=every,
        trainings=trainings,
        roc_auc=roc_auc(answers, scores[every]).interval(confidence),
        difference=compared.difference,
    )
