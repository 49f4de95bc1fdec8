"""What a SageMaker job runs in Amazon's XGBoost container: the final training, or one trial.

The channels `train` and `validation` ask for a model, the channel `folds` for a cross-validation.
Rows come encoded, as `rows.npz`; hyperparameters under XGBoost's names. Both kinds of work leave
checkpoints, and go on from them on the next spot instance.
"""

import json
import os
import signal
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import xgboost

ROWS_FILE = "rows.npz"
MODEL_FILE = "xgboost-model"
CHECKPOINTS = Path("/opt/ml/checkpoints")

_ROUNDS_BETWEEN_CHECKPOINTS = 100
_ENDED_BY_SIGTERM = 128 + signal.SIGTERM


class Plan(NamedTuple):
    """How to train; `metric` and `rounds_between_checks` are of a cross-validation."""

    num_round: int
    early_stopping_rounds: int
    metric: str
    rounds_between_checks: int
    parameters: dict[str, Any]

    @classmethod
    def of(cls, hyperparameters: Mapping[str, Any]) -> "Plan":
        """Read a job's hyperparameters; what is not ours is XGBoost's."""
        values = dict(hyperparameters)
        return cls(
            num_round=int(values.pop("num_round")),
            early_stopping_rounds=int(values.pop("early_stopping_rounds")),
            metric=str(values.pop("metric", "")),
            rounds_between_checks=int(values.pop("rounds_between_checks", 1)),
            parameters=values,
        )


Rows = Mapping[str, Any]  # arrays by name: features, labels, and names of features or folds


class Score(NamedTuple):
    """A fold's metric on the rows held out, and the number of trees at which it was measured."""

    value: float
    trees: int


def main() -> None:
    try:
        work()
    except xgboost.core.XGBoostError as error:
        # Amazon's toolkit looks for the name of a built-in error, and reports what comes after it.
        sys.exit(f"ValueError: {str(error).splitlines()[0]}")


def work() -> None:
    """Do what the channels ask for; the environment is that of Amazon's toolkit."""
    plan = Plan.of(json.loads(os.environ["SM_HPS"]))
    checkpoints = CHECKPOINTS / os.environ["TRAINING_JOB_NAME"]  # trials share the folder above
    stopping = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stopping.set())
    if "SM_CHANNEL_FOLDS" in os.environ:
        cross_validate(plan, _rows("FOLDS"), checkpoints, stopping)
        return
    booster = train(plan, _rows("TRAIN"), _rows("VALIDATION"), checkpoints, stopping)
    (Path(os.environ["SM_MODEL_DIR"]) / MODEL_FILE).write_bytes(booster.save_raw("ubj"))


def train(
    plan: Plan, rows: Rows, validation: Rows, checkpoints: Path, stopping: threading.Event
) -> xgboost.Booster:
    """Grow trees until the log loss of `validation` says stop; return those up to its best.

    Raises:
        SystemExit: `stopping` was set; the next job with these checkpoints goes on from here.
    """
    matrix = _matrix(plan, rows)
    watched = _matrix(plan, validation, reference=matrix)
    checkpoint = checkpoints / MODEL_FILE
    booster = xgboost.Booster(
        plan.parameters,
        [matrix, watched],
        model_file=bytearray(checkpoint.read_bytes()) if checkpoint.exists() else None,
    )
    while not _is_grown(booster, plan):
        trees = booster.num_boosted_rounds()
        booster.update(matrix, trees)
        _, _, told = booster.eval_set([(watched, "validation")], trees).rpartition(":")
        _say(f"[{trees}] validation-logloss={told};")
        if trees == 0 or float(told) < float(booster.attr("best_score") or "nan"):
            # As xgboost.train notes it, in the model itself: so a checkpoint is one file.
            booster.set_attr(best_score=str(float(told)), best_iteration=str(trees))
        if stopping.is_set() or (trees + 1) % _ROUNDS_BETWEEN_CHECKPOINTS == 0:
            _write(checkpoint, bytes(booster.save_raw("ubj")))
        if stopping.is_set():
            sys.exit(_ENDED_BY_SIGTERM)
    return booster[: booster.best_iteration + 1]


def cross_validate(
    plan: Plan, rows: Rows, checkpoints: Path, stopping: threading.Event
) -> list[Score]:
    """Score the hyperparameters on each fold, and say the mean where SageMaker reads it.

    Raises:
        SystemExit: `stopping` was set; the next job with these checkpoints skips the folds done.
    """
    checkpoint = checkpoints / "folds.json"
    done = json.loads(checkpoint.read_text()) if checkpoint.exists() else []
    scores = [Score(*score) for score in done]
    for fold in range(int(rows["fold"].max()) + 1):
        if fold >= len(scores):
            scores.append(score_fold(plan, rows, fold))
            _write(checkpoint, json.dumps(scores).encode())
        _say(f"fold-{fold}={scores[fold].value!r}; trees={scores[fold].trees};")
        if stopping.is_set():
            sys.exit(_ENDED_BY_SIGTERM)
    mean = sum(score.value for score in scores) / len(scores)
    trees = sum(score.trees for score in scores) / len(scores)
    _say(f"cv-{plan.metric}={mean!r}; cv-trees={round(trees)};")
    return scores


def score_fold(plan: Plan, rows: Rows, fold: int) -> Score:
    """Train without the rows of `fold`, and stop early on them, by their log loss."""
    features, labels, held_out = rows["features"], rows["labels"], rows["fold"] == fold
    train = xgboost.QuantileDMatrix(features[~held_out], label=labels[~held_out], nthread=1)
    test, y = xgboost.DMatrix(features[held_out], nthread=1), labels[held_out]
    booster = xgboost.Booster(plan.parameters, [train, test])
    best, best_loss = (0, np.zeros(len(y), np.float32)), np.inf
    for trees in range(1, plan.num_round + 1):
        booster.update(train, trees - 1)
        if trees % plan.rounds_between_checks and trees < plan.num_round:
            continue
        margins = booster.predict(test, output_margin=True)
        loss = log_loss(y, margins)
        if loss < best_loss:
            best, best_loss = (trees, margins), loss
        elif trees - best[0] >= plan.early_stopping_rounds:
            break
    value = best_loss if plan.metric == "log_loss" else roc_auc(y, best[1])
    return Score(float(value), best[0])


def log_loss(y: Any, margins: Any) -> float:
    """Return the mean log loss, in nats, of log-odds."""
    return float(np.mean(np.logaddexp(0, np.where(y == 1, -margins, margins))))


def roc_auc(y: Any, margins: Any) -> float:
    """Return how often a positive has the higher score of a pair; a tie counts half."""
    _, place, counts = np.unique(margins, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[place]
    positives = int(np.count_nonzero(y == 1))
    above = ranks[y == 1].sum() - positives * (positives + 1) / 2
    return float(above / (positives * (len(y) - positives)))


def _is_grown(booster: xgboost.Booster, plan: Plan) -> bool:
    trees = booster.num_boosted_rounds()
    if trees in (0, plan.num_round):
        return trees == plan.num_round
    return trees - 1 - booster.best_iteration >= plan.early_stopping_rounds


def _matrix(
    plan: Plan, rows: Rows, reference: xgboost.DMatrix | None = None
) -> xgboost.QuantileDMatrix:
    return xgboost.QuantileDMatrix(
        rows["features"],
        label=rows["labels"],
        feature_names=rows["names"].tolist(),
        ref=reference,
        nthread=int(plan.parameters.get("nthread", 0)),
    )


def _rows(channel: str) -> Rows:
    path = Path(os.environ[f"SM_CHANNEL_{channel}"]) / ROWS_FILE
    with np.load(path, allow_pickle=False) as arrays:
        return dict(arrays)


def _write(path: Path, content: bytes) -> None:
    """Replace a file in one move: what SageMaker copies away is never half of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    partial.write_bytes(content)
    partial.replace(path)


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
