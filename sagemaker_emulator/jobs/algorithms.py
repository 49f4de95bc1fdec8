"""What Amazon adds to a request for an algorithm of its own: the metrics that it writes."""

import re
from typing import Any

from sagemaker_emulator.api.cloud import Fields

_XGBOOST = re.compile(r"\.dkr\.ecr\.[\w.-]+/sagemaker-xgboost:")

# https://docs.aws.amazon.com/sagemaker/latest/dg/xgboost-tuning.html
_XGBOOST_METRICS = (
    *("accuracy", "auc", "aucpr", "error", "f1", "logloss", "mae", "map"),
    *("merror", "mlogloss", "mse", "ndcg", "rmse"),
)
_NUMBER = r"([-+]?[0-9]*\.?[0-9]+(?:[eE][-+]?[0-9]+)?)"


def with_metrics(specification: Fields) -> dict[str, Any]:
    """Return an AlgorithmSpecification with the metrics of the built-in algorithm, if it is one."""
    given = specification.get("MetricDefinitions")
    if given or not _XGBOOST.search(specification.get("TrainingImage", "")):
        return dict(specification)
    return {
        **specification,
        "MetricDefinitions": [
            {
                "Name": f"{data}:{metric}",
                "Regex": rf".*\[[0-9]+\].*(?:#011|\t){data}-{metric}:{_NUMBER}.*",
            }
            for data in ("train", "validation")
            for metric in _XGBOOST_METRICS
        ],
    }
