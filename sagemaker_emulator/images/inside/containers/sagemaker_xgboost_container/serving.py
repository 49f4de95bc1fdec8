"""The model container of XGBoost: the built-in algorithm's model, or a user's script."""

import json
import logging
import os
from collections.abc import Sequence
from http import HTTPStatus
from pathlib import Path
from typing import Any

import xgboost as xgb
from model_server import Answer, Model, Question, base_folder, has_script, script_model, serve
from sagemaker_algorithm_toolkit.exceptions import UserError

from sagemaker_xgboost_container.data_utils import (
    CSV,
    csv_dmatrix,
    get_content_type,
    libsvm_dmatrix,
)
from sagemaker_xgboost_container.encoder import decode

_ACCEPTED = ("text/csv", "application/json", "application/jsonlines")


def built_in_model(folder: Path) -> Model:
    """Return the model that the built-in algorithm left in a folder."""
    booster = xgb.Booster()
    booster.load_model(str(folder / "xgboost-model"))
    booster.set_param({"nthread": 1})

    def answer(question: Question) -> Answer:
        if not question.body:
            return Answer(HTTPStatus.NO_CONTENT, b"")
        try:
            kind = get_content_type(question.content_type or None)
            matrix = _matrix(question.body, kind)
        except (UserError, ValueError) as error:
            return Answer(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, str(error).encode())
        try:
            _check_width(kind, matrix.num_col(), booster.num_features())
            scores = booster.predict(matrix, validate_features=False).tolist()
        except (ValueError, xgb.core.XGBoostError) as error:
            message = f"Unable to evaluate payload provided: {error}"
            return Answer(HTTPStatus.BAD_REQUEST, message.encode())
        return _encoded(scores, question.accept)

    return answer


def _matrix(body: bytes, kind: str) -> xgb.DMatrix:
    try:
        text = body.decode().strip()
        return csv_dmatrix(text) if kind == CSV else libsvm_dmatrix(text)
    except ValueError as error:
        raise ValueError(
            f"Loading {kind} data failed with Exception, please ensure data is in {kind} "
            f"format:\n {type(error)}\n {error}"
        ) from error


def _check_width(kind: str, given: int, trained: int) -> None:
    if kind == CSV and given not in (trained, trained - 1):
        raise ValueError(
            f"Feature size of csv inference data {given} is not consistent with feature size of "
            f"trained model {trained}."
        )
    if given > trained + 1:
        raise ValueError(
            f"Feature size of libsvm inference data {given} is larger than feature size of "
            f"trained model {trained}."
        )


def _encoded(scores: Sequence[Any], accept: str) -> Answer:
    """Encode as AWS's containers since version 1.5 do: a csv has a line for each row."""
    kind = accept.partition(";")[0].strip().lower()
    if kind in ("", "*/*"):
        kind = os.environ.get("SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT", "text/csv")
    if kind not in _ACCEPTED:
        message = f"Accept type {accept} is not supported. Please use supported accept types: "
        return Answer(HTTPStatus.NOT_ACCEPTABLE, f"{message}{list(_ACCEPTED)}.".encode())
    records = [{"score": score} for score in scores]
    if kind == "application/json":
        text = json.dumps({"predictions": records})
    elif kind == "application/jsonlines":
        text = "".join(json.dumps(record) + "\n" for record in records)
    else:
        rows = (score if isinstance(score, list) else [score] for score in scores)
        text = "".join(",".join(map(str, row)) + "\n" for row in rows)
    return Answer(HTTPStatus.OK, text.encode(), kind)


def _predict(data: xgb.DMatrix, model: Any) -> Any:
    return model.predict(data, validate_features=False)


def main() -> None:
    """Load the model, then answer until SIGTERM."""
    logging.basicConfig(
        format="[%(asctime)s:%(levelname)s] %(message)s",
        datefmt="%Y-%m-%d:%H:%M:%S",
        level=logging.INFO,
    )
    if has_script():
        serve(script_model(decode, _predict))
    else:
        serve(built_in_model(base_folder() / "model"))


if __name__ == "__main__":
    main()
