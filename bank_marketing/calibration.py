"""Making probabilities true: of those who get 20 %, one in five should subscribe."""

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold

from bank_marketing.bundle import Bundle, Isotonic, Platt
from bank_marketing.config import CalibrationSettings, Settings
from bank_marketing.errors import DataError
from bank_marketing.model import labels
from bank_marketing.resampling import FloatArray, log_losses

Method = Literal["none", "platt", "isotonic"]
Labels = NDArray[np.integer[Any]]
Folds = Sequence[tuple[NDArray[np.intp], NDArray[np.intp]]]  # other rows, and those held out

_FOLDS = 5
_UNCALIBRATED = Platt(slope=1.0, intercept=0.0)


class CalibrationTrial(Settings):
    """What a method costs on rows that it was not fitted on: log loss in nats per row.

    `gain` is how much less that is than without calibration.
    """

    method: Method
    log_loss: float
    gain: float
    gain_standard_error: float


class CalibrationChoice(Settings):
    """The method that was taken; `trials` is empty where the configuration had named it."""

    method: Method
    rows: int
    trials: tuple[CalibrationTrial, ...]


def calibrate(
    bundle: Bundle, validation_set: pd.DataFrame, settings: CalibrationSettings
) -> tuple[Bundle, CalibrationChoice]:
    """Return the model with its calibration fitted on the validation set, and why this one.

    Early stopping has seen these rows before, and the threshold is chosen on them after. What is
    measured on them is therefore kinder than what new rows will show: the log losses of the trials
    can be compared with each other, which early stopping favours alike, but only the test set tells
    how well the calibration holds. The price of a fourth set would be fewer rows for all of them.

    Raises:
        DataError: `auto` has fewer rows of a class than it has folds.
    """
    margins, answers = bundle.margin(validation_set), labels(validation_set)
    if settings.method == "auto":
        choice = choose_method(margins, answers, seed=settings.seed)
    else:
        choice = CalibrationChoice(method=settings.method, rows=answers.size, trials=())
    fitted = fit_calibration(choice.method, margins, answers)
    return bundle.with_evidence(calibration=fitted), choice


def choose_method(margins: FloatArray, labels: Labels, *, seed: int) -> CalibrationChoice:
    """Take the method with the lowest cross-validated log loss.

    A gain within its own standard error is a tie, and a tie is won by no calibration.

    Args:
        margins: Log-odds before calibration, shape (n,).
        labels: 0 or 1, shape (n,).
        seed: Draws the folds. Rows are in the order of the calls, and a fold of consecutive
            positives and consecutive negatives would mix different times of a market that moves.

    Raises:
        DataError: There are fewer rows of a class than folds.

    Source:
        L. Breiman et al., *Classification and Regression Trees*, 1984, section 3.4.3 (the rule of
        one standard error).
    """
    rarest = min(np.count_nonzero(labels == 0), np.count_nonzero(labels == 1))
    if rarest < _FOLDS:
        raise DataError(
            f"calibration.method=auto needs {_FOLDS} rows of each class in the validation set, "
            f"got {rarest}; use more rows, or set calibration.method=none"
        )
    drawn = StratifiedKFold(_FOLDS, shuffle=True, random_state=seed)
    folds = tuple(drawn.split(margins, labels))
    without = _losses("none", margins, labels, folds)
    trials = tuple(
        _trial(method, margins, labels, folds, without) for method in ("platt", "isotonic")
    )
    worthwhile = [trial for trial in trials if trial.gain > trial.gain_standard_error]
    best = max(worthwhile, key=lambda trial: trial.gain, default=None)
    return CalibrationChoice(
        method="none" if best is None else best.method,
        rows=labels.size,
        trials=(
            CalibrationTrial(
                method="none", log_loss=without.mean(), gain=0.0, gain_standard_error=0.0
            ),
            *trials,
        ),
    )


def fit_calibration(method: Method, margins: FloatArray, labels: Labels) -> Platt | Isotonic | None:
    """Fit a map from log-odds to probabilities that never turns the order of two rows round.

    No probability becomes 0 or 1: with m positives and n negatives Platt's targets,
    (m + 1) / (m + 2) and 1 / (n + 2), stand for the labels, and bound the isotonic map.

    Args:
        method: `none` gives None.
        margins: Log-odds before calibration, shape (m + n,).
        labels: 0 or 1, shape (m + n,).
    """
    positives = np.count_nonzero(labels)
    low, high = 1 / (labels.size - positives + 2), (positives + 1) / (positives + 2)
    match method:
        case "none":
            return None
        case "platt":
            return _fit_platt(margins, np.where(labels == 1, high, low))
        case "isotonic":
            return _fit_isotonic(margins, labels, low, high)


def _fit_platt(margins: FloatArray, targets: FloatArray) -> Platt:
    # scikit-learn takes classes only: a row of target t is one positive of weight t, and one
    # negative of weight 1 - t.
    regression = LogisticRegression(C=np.inf, solver="newton-cholesky", tol=1e-10)
    regression.fit(
        np.tile(margins, 2)[:, np.newaxis],
        np.repeat([1, 0], margins.size),
        sample_weight=np.concatenate([targets, 1 - targets]),
    )
    slope, intercept = float(regression.coef_[0, 0]), float(regression.intercept_[0])
    if slope < 0:  # the margins say nothing, so that the best order-keeping map is constant
        base_rate = targets.mean()
        return Platt(slope=0.0, intercept=float(np.log(base_rate / (1 - base_rate))))
    return Platt(slope, intercept)


def _fit_isotonic(margins: FloatArray, labels: Labels, low: float, high: float) -> Isotonic:
    regression = IsotonicRegression(y_min=low, y_max=high).fit(margins, labels)
    return Isotonic(
        tuple(regression.X_thresholds_.tolist()), tuple(regression.y_thresholds_.tolist())
    )


def _trial(
    method: Method, margins: FloatArray, labels: Labels, folds: Folds, without: FloatArray
) -> CalibrationTrial:
    losses = _losses(method, margins, labels, folds)
    gains = without - losses
    return CalibrationTrial(
        method=method,
        log_loss=losses.mean(),
        gain=gains.mean(),
        gain_standard_error=gains.std(ddof=1) / gains.size**0.5,
    )


def _losses(method: Method, margins: FloatArray, labels: Labels, folds: Folds) -> FloatArray:
    """Return the log loss of each row, shape (n,), by a map that was fitted without it."""
    probabilities = np.empty(margins.size)
    for rest, fold in folds:
        fitted = fit_calibration(method, margins[rest], labels[rest]) or _UNCALIBRATED
        probabilities[fold] = fitted.probability(margins[fold])
    return log_losses(np.where(labels == 1, probabilities, 1 - probabilities))
