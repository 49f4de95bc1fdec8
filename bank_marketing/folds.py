"""Cross-validation of the booster, made cheap for a search that repeats it hundreds of times."""

from dataclasses import dataclass, replace
from math import ceil
from typing import Literal, NamedTuple

import numpy as np
import pandas as pd
import xgboost
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedKFold
from xgboost.core import XGBoostError

from bank_marketing.config import FeatureSettings, ModelSettings
from bank_marketing.encoder import Encoder
from bank_marketing.errors import DataError
from bank_marketing.model import booster_parameters, labels

Metric = Literal["log_loss", "roc_auc"]

# Asking after every round whether to stop takes as long as a third of the training.
ROUNDS_BETWEEN_CHECKS = 5


class FoldScore(NamedTuple):
    """The metric on the rows held out, and the number of trees at which it was measured."""

    value: float
    trees: int


@dataclass(frozen=True)
class FoldedRows:
    """A training set, encoded once and cut into folds.

    `features` leaves the zeros of one-hot columns out: XGBoost grows the same trees from them, in
    two thirds of the time.
    """

    features: csr_matrix
    labels: NDArray[np.int8]  # 0 or 1, shape (rows,)
    fold: NDArray[np.int8]  # in which each row is held out, shape (rows,)


class EarlyStop(NamedTuple):
    """Where training stopped: the log loss and log-odds of the rows held out at the best check."""

    loss: float
    margins: NDArray[np.float32]
    trees: int


class _Fold(NamedTuple):
    train: xgboost.QuantileDMatrix
    held_out: xgboost.DMatrix
    held_out_labels: NDArray[np.int8]


def fold_rows(
    train_set: pd.DataFrame, features: FeatureSettings, *, folds: int, seed: int
) -> FoldedRows:
    """Encode `train_set` and draw its folds, each with the same share of positives.

    Raises:
        DataError: A class has fewer rows than there are folds.
    """
    y = labels(train_set)
    rarest = min(np.count_nonzero(y), np.count_nonzero(y == 0))
    if rarest < folds:
        raise DataError(
            f"the rarest class of the training set has {rarest} rows; {folds} folds need at least "
            "one each: lower tuning.folds or use more rows"
        )
    encoder = Encoder.from_schema(economic_indicators=features.economic_indicators)
    encoded = encoder.encode(train_set)
    fold = np.empty(len(y), dtype=np.int8)
    drawn = StratifiedKFold(folds, shuffle=True, random_state=seed).split(encoded, y)
    for number, (_, held_out) in enumerate(drawn):
        fold[held_out] = number
    return FoldedRows(without_zeros(encoded, numbers=len(encoder.numbers)), y, fold)


def quickest_first(rows: FoldedRows, model: ModelSettings) -> FoldedRows:
    """Number the folds by how many trees `model` grows before it stops early, fewest first.

    Most trials of a search see the first fold only. One fold says as much about a trial as
    another, but some keep training going for twice as long.
    """
    validation = CrossValidation(rows, "log_loss")
    try:
        trees = [validation.score(model, fold).trees for fold in range(rows.fold.max() + 1)]
    except XGBoostError:  # trials will say what it refuses
        return rows
    rank = np.argsort(np.argsort(trees, kind="stable")).astype(np.int8)
    return replace(rows, fold=rank[rows.fold])


class CrossValidation:
    """Scores hyperparameters on one fold at a time; a fold's matrices are built once."""

    def __init__(self, rows: FoldedRows, metric: Metric) -> None:
        self._rows = rows
        self._metric = metric
        self._folds: dict[int, _Fold] = {}

    def score(self, model: ModelSettings, fold: int) -> FoldScore:
        """Train without the rows of `fold`, and stop early on them, by their log loss.

        Raises:
            xgboost.core.XGBoostError: XGBoost refuses the hyperparameters.
        """
        train, held_out, y = self._matrices(fold)
        best = stop_early(model, train, held_out, y)
        value = best.loss if self._metric == "log_loss" else roc_auc_score(y, best.margins)
        return FoldScore(float(value), best.trees)

    def _matrices(self, fold: int) -> _Fold:
        if fold not in self._folds:
            features, y = self._rows.features, self._rows.labels
            held_out = self._rows.fold == fold
            self._folds[fold] = _Fold(
                xgboost.QuantileDMatrix(features[~held_out], label=y[~held_out], nthread=1),
                xgboost.DMatrix(features[held_out], nthread=1),
                y[held_out],
            )
        return self._folds[fold]


def stop_early(
    model: ModelSettings,
    train: xgboost.DMatrix,
    held_out: xgboost.DMatrix,
    y: NDArray[np.int8],
) -> EarlyStop:
    """Grow trees until no check of the last `early_stopping_rounds` found a lower log loss.

    There is a check for every `ROUNDS_BETWEEN_CHECKS` rounds.

    Raises:
        xgboost.core.XGBoostError: XGBoost refuses the hyperparameters.
    """
    booster = xgboost.Booster(booster_parameters(model), [train, held_out])
    best = EarlyStop(np.inf, np.zeros(len(y), dtype=np.float32), 0)
    for trees in range(1, model.n_estimators + 1):
        booster.update(train, trees - 1)
        if trees % ROUNDS_BETWEEN_CHECKS and trees < model.n_estimators:
            continue
        margins = booster.predict(held_out, output_margin=True)  # adds the new trees only
        loss = _log_loss(y, margins)
        if loss < best.loss:
            best = EarlyStop(loss, margins, trees)
        elif trees - best.trees >= model.early_stopping_rounds:
            break
    return best


def impatient(model: ModelSettings) -> ModelSettings:
    """Return how `model` is trained to find its trees: with one thread and half the patience.

    What the second half of it finds is a small part of what trials differ by, and costs a quarter
    of the trees.
    """
    patience = ceil(model.early_stopping_rounds / 2)
    return model.model_copy(update={"n_jobs": 1, "early_stopping_rounds": patience})


def without_zeros(encoded: NDArray[np.float32], *, numbers: int) -> csr_matrix:
    """Store `encoded` without the zeros of all but the first `numbers` columns."""
    stored = encoded != 0
    stored[:, :numbers] = True
    ends = np.cumsum(stored.sum(axis=1))
    return csr_matrix(
        (encoded[stored], np.nonzero(stored)[1], np.concatenate([[0], ends])), shape=encoded.shape
    )


def with_missing_zeros(features: csr_matrix) -> NDArray[np.float32]:
    """Return `features` with NaN for what is not stored, which XGBoost takes for the same."""
    dense = np.full(features.shape, np.nan, dtype=np.float32)
    rows = np.repeat(np.arange(features.shape[0]), np.diff(features.indptr))
    dense[rows, features.indices] = features.data
    return dense


def _log_loss(y: NDArray[np.int8], margins: NDArray[np.float32]) -> float:
    """Return the mean log loss, in nats, of log-odds."""
    return float(np.mean(np.logaddexp(0, np.where(y == 1, -margins, margins))))
