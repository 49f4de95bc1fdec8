"""The built-in algorithm: trains on csv or libsvm channels with nothing but hyperparameters."""

import json
import logging
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import xgboost as xgb
from sagemaker_algorithm_toolkit.exceptions import AlgorithmError, UserError

from sagemaker_xgboost_container import distributed
from sagemaker_xgboost_container.data_utils import get_dmatrix
from sagemaker_xgboost_container.hyperparameters import Value, validate

MODEL_NAME = "xgboost-model"

_KINDS = {"train": "training", "validation": "validation"}


class _Rounds(xgb.callback.TrainingCallback):
    """Prints a line a round, as it looks in CloudWatch: AWS's logs write a tab as `#011`.

    XGBoost keeps callbacks in a set and skips those that come after one which stops, so this one
    also holds the early stopping: the last round is always printed.
    """

    def __init__(self, stopping: xgb.callback.EarlyStopping | None) -> None:
        self._next = stopping or xgb.callback.TrainingCallback()

    def before_training(self, model: Any) -> Any:
        return self._next.before_training(model)

    def after_iteration(self, model: Any, epoch: int, evals_log: dict[str, dict[str, Any]]) -> bool:
        if xgb.collective.get_rank() == 0:
            scores = [
                f"#011{data}-{metric}:{values[-1]:.5f}"
                for data, metrics in evals_log.items()
                for metric, values in metrics.items()
            ]
            sys.stdout.write(f"[{epoch}]{''.join(scores)}\n")
            sys.stdout.flush()
        return self._next.after_iteration(model, epoch, evals_log)

    def after_training(self, model: Any) -> Any:
        return self._next.after_training(model)


def run(base: Path) -> None:
    """Train on the channels under `base`, which is `/opt/ml` in a container; save the model.

    Raises:
        UserError: A hyperparameter, a channel or the data is wrong.
        AlgorithmError: XGBoost refused them.
    """
    config = base / "input" / "config"
    parameters = validate(_read(config / "hyperparameters.json"))
    channels = _read(config / "inputdataconfig.json")
    resources = _read(config / "resourceconfig.json")
    _check_channels(channels)
    weights = int(str(parameters.pop("csv_weights", 0)))
    matrices = {
        name: _matrix(base / "input" / "data" / name, channels["train"], weights)
        for name in _KINDS
        if name in channels
    }
    hosts = resources["hosts"]
    job: dict[str, Any] = {"parameters": parameters, "matrices": matrices, "folder": base / "model"}
    if len(hosts) == 1:
        for name, matrix in matrices.items():
            if matrix is None:
                folder = base / "input" / "data" / name
                raise UserError(f"No data in {_KINDS[name]} channel path {folder}")
        logging.info("Single node training.")
        train_job(**job, is_master=True)
        return
    logging.info("Distributed node training with %d hosts: %s", len(hosts), hosts)
    distributed.wait_hostname_resolution(hosts)
    distributed.rabit_run(
        train_job,
        job,
        include_in_training=None not in matrices.values(),
        hosts=hosts,
        current_host=resources["current_host"],
        update_rabit_args=True,
    )


def train_job(
    parameters: dict[str, Value],
    matrices: Mapping[str, xgb.DMatrix],
    folder: Path,
    is_master: bool,
) -> None:
    """Train on this machine's rows, and save the model if it is the one that should."""
    parameters = dict(parameters)
    rounds = int(str(parameters.pop("num_round")))
    parameters.pop("save_model_on_termination", None)
    patience = int(str(parameters.pop("early_stopping_rounds", 0)))
    objective_metric = _strings(parameters.pop("_tuning_objective_metric", []))
    metrics = _strings(parameters.get("eval_metric", []))
    if objective_metric:
        parameters["eval_metric"] = sorted({*objective_metric, *metrics})
    stopping = None
    if patience and (objective_metric or metrics) and "validation" in matrices:
        metric = (objective_metric or metrics)[-1]
        stopping = xgb.callback.EarlyStopping(
            rounds=patience, metric_name=metric, data_name="validation", save_best=True
        )
    for name, matrix in matrices.items():
        logging.info("%s matrix has %d rows", name.capitalize(), matrix.num_row())
    try:
        booster = xgb.train(
            parameters,
            matrices["train"],
            rounds,
            evals=[(matrix, name) for name, matrix in matrices.items()],
            callbacks=[_Rounds(stopping)],
            verbose_eval=False,
        )
    except xgb.core.XGBoostError as error:
        raise AlgorithmError(f"XGB train call failed with exception:\n {error}") from error
    if is_master:
        folder.mkdir(parents=True, exist_ok=True)
        booster.save_model(str(folder / MODEL_NAME))


def _check_channels(channels: Mapping[str, object]) -> None:
    if "train" not in channels:
        raise UserError("Missing required channel: train")
    for name in channels:
        if name not in (*_KINDS, "code"):
            raise UserError(f"Extraneous channel found: {name}")


def _matrix(folder: Path, channel: Mapping[str, str], csv_weights: int) -> xgb.DMatrix | None:
    pipe = channel.get("TrainingInputMode") == "Pipe"
    return get_dmatrix(folder, channel.get("ContentType"), csv_weights, is_pipe=pipe)


def _read(path: Path) -> Any:
    return json.loads(path.read_text()) if path.exists() else {}


def _strings(value: Value) -> list[str]:
    return value if isinstance(value, list) else []
