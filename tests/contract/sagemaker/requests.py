"""Requests to SageMaker as people write them."""

from typing import Any

IMAGE = "123456789012.dkr.ecr.eu-west-1.amazonaws.com/project:1"


def training_request(name: str, role: str, bucket: str, *argv: str, **changes: Any) -> Any:
    """A training job of a container that runs `argv`."""
    request: dict[str, Any] = {
        "TrainingJobName": name,
        "RoleArn": role,
        "AlgorithmSpecification": {
            "TrainingImage": IMAGE,
            "TrainingInputMode": "File",
            "ContainerEntrypoint": list(argv),
        },
        "OutputDataConfig": {"S3OutputPath": f"s3://{bucket}/models"},
        "ResourceConfig": {
            "InstanceType": "ml.m5.large",
            "InstanceCount": 1,
            "VolumeSizeInGB": 5,
        },
        "StoppingCondition": {"MaxRuntimeInSeconds": 60},
    }
    return request | changes


def processing_request(name: str, role: str, *argv: str, **changes: Any) -> Any:
    """A processing job of a container that runs `argv`."""
    request: dict[str, Any] = {
        "ProcessingJobName": name,
        "RoleArn": role,
        "AppSpecification": {"ImageUri": IMAGE, "ContainerEntrypoint": list(argv)},
        "ProcessingResources": {
            "ClusterConfig": {
                "InstanceType": "ml.m5.large",
                "InstanceCount": 1,
                "VolumeSizeInGB": 5,
            }
        },
    }
    return request | changes


def channel(uri: str, **changes: Any) -> Any:
    """An input channel named `train`."""
    source = {"S3DataType": "S3Prefix", "S3Uri": uri, **changes}
    return {"ChannelName": "train", "DataSource": {"S3DataSource": source}}
