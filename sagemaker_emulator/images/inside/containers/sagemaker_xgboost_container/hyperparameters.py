"""Which hyperparameters the built-in algorithm takes, and in which range.

Source: https://docs.aws.amazon.com/sagemaker/latest/dg/xgboost_hyperparameters.html and the
behaviour of https://github.com/aws/sagemaker-xgboost-container.
"""

from collections.abc import Callable, Mapping

from sagemaker_algorithm_toolkit.exceptions import UserError

Value = int | float | str | list[str]

_INTEGERS = {
    "num_round": "[1, +inf)",
    "csv_weights": "[0, 1]",
    "early_stopping_rounds": "[1, +inf)",
    "verbosity": "[0, 3]",
    "nthread": "[1, +inf)",
    "max_depth": "[0, +inf)",
    "refresh_leaf": "[0, 1]",
    "max_leaves": "[0, +inf)",
    "max_bin": "[0, +inf)",
    "one_drop": "[0, 1]",
    "num_class": "[2, +inf)",
    "seed": "(-2147483648, 2147483647)",
    "num_parallel_tree": "[1, +inf)",
}
_NUMBERS = {
    "eta": "[0, 1]",
    "gamma": "[0, +inf)",
    "min_child_weight": "[0, +inf)",
    "max_delta_step": "[0, +inf)",
    "subsample": "(0, 1]",
    "colsample_bytree": "(0, 1]",
    "colsample_bylevel": "(0, 1]",
    "colsample_bynode": "(0, 1]",
    "lambda": "[0, +inf)",
    "alpha": "[0, +inf)",
    "sketch_eps": "(0, 1)",
    "scale_pos_weight": "(0, +inf)",
    "rate_drop": "[0, 1]",
    "skip_drop": "[0, 1]",
    "lambda_bias": "[0, 1]",
    "tweedie_variance_power": "(1, 2)",
    "base_score": "[0, +inf)",
    "aft_loss_distribution_scale": "(0, +inf)",
    "huber_slope": "[0, +inf)",
}
_BINARY = ["binary:logistic", "binary:logitraw", "binary:hinge"]
_MULTI = ["multi:softmax", "multi:softprob"]
_RANK = ["rank:pairwise", "rank:ndcg", "rank:map"]
_CATEGORIES = {
    "booster": ["gbtree", "gblinear", "dart"],
    "tree_method": ["auto", "exact", "approx", "hist", "gpu_hist"],
    "dsplit": ["row", "col"],
    "process_type": ["default", "update"],
    "grow_policy": ["depthwise", "lossguide"],
    "predictor": ["auto", "cpu_predictor", "gpu_predictor"],
    "sample_type": ["uniform", "weighted"],
    "normalize_type": ["tree", "forest"],
    "aft_loss_distribution": ["normal", "logistic", "extreme"],
    "save_model_on_termination": ["false"],  # what "true" asks for is not emulated
    "objective": [
        *_BINARY,
        "count:poisson",
        *_MULTI,
        *_RANK,
        *("reg:absoluteerror", "reg:gamma", "reg:linear", "reg:logistic", "reg:pseudohubererror"),
        *("reg:squarederror", "reg:squaredlogerror", "reg:tweedie", "survival:aft", "survival:cox"),
    ],
}
_FREE = ("monotone_constraints", "interaction_constraints", "updater")  # XGBoost checks them
_METRICS = [
    *("aft-nloglik", "auc", "aucpr", "cox-nloglik", "error", "gamma-deviance", "gamma-nloglik"),
    *("interval-regression-accuracy", "logloss", "mae", "map", "mape", "merror", "mlogloss"),
    *("mphe", "ndcg", "poisson-nloglik", "rmse", "rmsle", "tweedie-nloglik"),
]
_ALIASES = {
    "learning_rate": "eta",
    "min_split_loss": "gamma",
    "reg_lambda": "lambda",
    "reg_alpha": "alpha",
}


def validate(given: Mapping[str, str]) -> dict[str, Value]:
    """Return the hyperparameters as numbers, words and lists.

    Raises:
        UserError: One is missing, unknown or out of its range.
    """
    named = {_ALIASES.get(name, name): value for name, value in given.items()}
    if "num_round" not in named:
        raise UserError("Missing required hyperparameter: num_round")
    values = {name: _parsed(name, str(value)) for name, value in named.items()}
    objective = str(values.get("objective", "reg:squarederror"))
    if objective in _MULTI and "num_class" not in values:
        raise UserError("Require input for parameter 'num_class' for multi-classification")
    metrics = values.get("eval_metric", [])
    if isinstance(metrics, list) and "auc" in metrics and objective not in _BINARY + _MULTI + _RANK:
        raise UserError("Metric 'auc' can only be applied for classification and ranking problems.")
    return values


def _parsed(name: str, text: str) -> Value:
    for ranges, number in ((_INTEGERS, int), (_NUMBERS, float)):
        if name in ranges:
            return _number(name, text, number, ranges[name])
    if name in _CATEGORIES and text not in _CATEGORIES[name]:
        raise UserError(f"Hyperparameter {name}: {text} is not in {_CATEGORIES[name]}")
    if name in _CATEGORIES or name in _FREE:
        return text
    if name == "eval_metric":
        return _metrics(name, text.split(","))
    if name == "_tuning_objective_metric":
        return _metrics(name, [text.split(":")[-1]])
    raise UserError(f"Extraneous hyperparameter found: {name}")


def _number(
    name: str, text: str, number: Callable[[str], int | float], interval: str
) -> int | float:
    try:
        value = number(text)
    except ValueError as error:
        raise UserError(
            f"Hyperparameter {name}: could not parse value (caused by {type(error).__name__})"
        ) from error
    low, high = (float(limit) for limit in interval[1:-1].split(","))
    above = value >= low if interval[0] == "[" else value > low
    below = value <= high if interval[-1] == "]" else value < high
    if not (above and below):
        raise UserError(f"Hyperparameter {name}: {value} is not in {interval}")
    return value


def _metrics(name: str, metrics: list[str]) -> list[str]:
    for metric in metrics:
        known, at, threshold = metric.partition("@")
        if known not in _METRICS or (at and known not in ("error", "ndcg", "map")):
            raise UserError(f"Hyperparameter {name}: value {metrics} not in range {_METRICS}")
        if at:
            _number(f"{name} {known}@t", threshold.rstrip("-"), float, "[0, +inf)")
    return metrics
