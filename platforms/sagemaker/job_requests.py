"""Requests for training and tuning jobs: settings in, members of the API out; nothing is called."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from bank_marketing.config import ModelSettings, Range, TuningSettings
from bank_marketing.folds import ROUNDS_BETWEEN_CHECKS, Metric
from bank_marketing.model import booster_parameters
from platforms.base import JobPlace
from platforms.sagemaker.job_files import SCRIPT

TREES_METRIC = "cv-trees"

_SHORTEST_TUNING_S = 120  # Amazon's own limit
_NUMBER = r"([-+0-9.eE]+)"


class Channel(NamedTuple):
    """An input of a job: the prefix in S3 whose objects it finds in a folder of this name."""

    name: str
    uri: str
    content_type: str | None = None


def hyperparameters(model: ModelSettings) -> dict[str, str]:
    """Return the model section under XGBoost's own names, as the texts that the API takes."""
    values = {
        **booster_parameters(model),
        "num_round": model.n_estimators,
        "early_stopping_rounds": model.early_stopping_rounds,
    }
    return {name: str(value) for name, value in values.items()}


def script_hyperparameters(code_uri: str) -> dict[str, str]:
    """Return what makes Amazon's container run our script."""
    return {"sagemaker_program": SCRIPT, "sagemaker_submit_directory": code_uri}


def objective(metric: Metric) -> str:
    return f"cv-{metric}"


def fold_metric(fold: int) -> str:
    return f"fold-{fold}"


def training_request(
    place: JobPlace, parameters: Mapping[str, str], channels: Sequence[Channel]
) -> dict[str, Any]:
    """Return the members of CreateTrainingJob but the name and checkpoints' place."""
    return {
        "AlgorithmSpecification": {"TrainingImage": place.image, "TrainingInputMode": "File"},
        "HyperParameters": dict(parameters),
        "Tags": _tags(place),
        **_job(place, channels),
    }


def tuning_request(
    place: JobPlace,
    parameters: Mapping[str, str],
    channel: Channel,
    settings: TuningSettings,
) -> dict[str, Any]:
    """Return the members of CreateHyperParameterTuningJob but the name and checkpoints' place.

    The search itself is Amazon's, which takes no starting points.
    """
    searched = {each.name for each in settings.search_space}
    metrics = [objective(settings.metric), TREES_METRIC, *map(fold_metric, range(settings.folds))]
    return {
        "HyperParameterTuningJobConfig": {
            "Strategy": "Bayesian",
            "HyperParameterTuningJobObjective": {
                "Type": "Maximize" if settings.metric == "roc_auc" else "Minimize",
                "MetricName": objective(settings.metric),
            },
            "ResourceLimits": {
                "MaxNumberOfTrainingJobs": settings.trials,
                "MaxParallelTrainingJobs": min(settings.workers, settings.trials),
                "MaxRuntimeInSeconds": max(_SHORTEST_TUNING_S, round(settings.timeout_s)),
            },
            "ParameterRanges": parameter_ranges(settings.search_space),
            "TrainingJobEarlyStoppingType": "Off",
            "RandomSeed": settings.seed,
        },
        "TrainingJobDefinition": {
            "StaticHyperParameters": {
                **{name: text for name, text in parameters.items() if name not in searched},
                "metric": settings.metric,
                "rounds_between_checks": str(ROUNDS_BETWEEN_CHECKS),
            },
            "AlgorithmSpecification": {
                "TrainingImage": place.image,
                "TrainingInputMode": "File",
                "MetricDefinitions": [
                    {"Name": name, "Regex": f"{name}={_NUMBER};"} for name in metrics
                ],
            },
            **_job(place, [channel]),
        },
        "Tags": _tags(place),
    }


def parameter_ranges(search_space: Sequence[Range]) -> dict[str, list[dict[str, str]]]:
    """Say to SageMaker where it may look."""
    ranges: dict[str, list[dict[str, str]]] = {
        "IntegerParameterRanges": [],
        "ContinuousParameterRanges": [],
    }
    for each in search_space:
        whole = each.type == "int"
        ranges["IntegerParameterRanges" if whole else "ContinuousParameterRanges"].append(
            {
                "Name": each.name,
                "MinValue": str(int(each.low) if whole else each.low),
                "MaxValue": str(int(each.high) if whole else each.high),
                "ScalingType": "Logarithmic" if each.scale == "log" else "Linear",
            }
        )
    return ranges


def _job(place: JobPlace, channels: Sequence[Channel]) -> dict[str, Any]:
    """Return what training jobs and the definition of those of a tuning job share."""
    stopping = {"MaxRuntimeInSeconds": place.max_runtime_s}
    if place.spot:  # it counts the wait for an instance as well
        stopping["MaxWaitTimeInSeconds"] = 2 * place.max_runtime_s
    network = {
        "VpcConfig": {
            "Subnets": list(place.subnets),
            "SecurityGroupIds": list(place.security_group_ids),
        }
    }
    return {
        "RoleArn": place.role,
        "InputDataConfig": [_channel(channel) for channel in channels],
        "OutputDataConfig": {"S3OutputPath": f"{place.output_uri}/jobs"},
        "ResourceConfig": {
            "InstanceType": place.instance_type,
            "InstanceCount": 1,
            "VolumeSizeInGB": place.volume_gb,
        },
        "StoppingCondition": stopping,
        "EnableManagedSpotTraining": place.spot,
        **(network if place.subnets else {}),
    }


def _channel(channel: Channel) -> dict[str, Any]:
    described: dict[str, Any] = {
        "ChannelName": channel.name,
        "DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": channel.uri}},
    }
    if channel.content_type:
        described["ContentType"] = channel.content_type
    return described


def _tags(place: JobPlace) -> list[dict[str, str]]:
    return [{"Key": key, "Value": value} for key, value in place.tags.items()]
