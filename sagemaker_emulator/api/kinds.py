"""The kinds of resources, with Amazon's words for one that is missing or already there."""

from collections.abc import Callable

from sagemaker_emulator.api.errors import (
    ResourceInUse,
    ResourceNotFound,
    ServiceError,
    ValidationException,
)
from sagemaker_emulator.api.records import Kind

Refusal = Callable[[str, str], ServiceError]


def _says(error: Callable[[str], ServiceError], words: str) -> Refusal:
    """Make an error from words with `{arn}` and `{name}` in them."""
    return lambda arn, name: error(words.format(arn=arn, name=name))


def _job(resource: str, member: str, title: str) -> Kind:
    return Kind(
        resource,
        member,
        f"{member}Summaries",
        missing=_says(ValidationException, "Requested resource not found."),
        existing=_says(
            ResourceInUse,
            f"{title} names must be unique within an AWS account and region, and a "
            f"{title.lower()} with this name already exists ({{arn}})",
        ),
    )


def _hosted(resource: str, member: str, title: str) -> Kind:
    return Kind(
        resource,
        member,
        f"{member}s",
        missing=_says(ValidationException, f'Could not find {title} "{{arn}}".'),
        existing=_says(ValidationException, f'Cannot create already existing {title} "{{arn}}".'),
    )


TRAINING_JOB = _job("training-job", "TrainingJob", "Training job")
PROCESSING_JOB = _job("processing-job", "ProcessingJob", "Processing job")
TRANSFORM_JOB = _job("transform-job", "TransformJob", "Transform job")
TUNING_JOB = Kind(
    "hyper-parameter-tuning-job",
    "HyperParameterTuningJob",
    "HyperParameterTuningJobSummaries",
    missing=_says(
        ResourceNotFound, "Amazon SageMaker can't find a tuning job with the name {name}."
    ),
    existing=_says(
        ResourceInUse,
        "Hyperparameter tuning job names must be unique within an AWS account and region, and a "
        "hyperparameter tuning job with this name already exists ({arn})",
    ),
)

MODEL = _hosted("model", "Model", "model")
ENDPOINT_CONFIG = _hosted("endpoint-config", "EndpointConfig", "endpoint configuration")
ENDPOINT = _hosted("endpoint", "Endpoint", "endpoint")

PIPELINE = Kind(
    "pipeline",
    "Pipeline",
    "PipelineSummaries",
    missing=_says(ResourceNotFound, "Pipeline '{arn}' does not exist."),
    existing=_says(
        ValidationException,
        "Pipeline names must be unique within an AWS account and region. "
        "Pipeline with name ({name}) already exists.",
    ),
)
PIPELINE_EXECUTION = Kind(
    "pipeline",  # its name is PIPELINE/execution/ID, as in its ARN
    "PipelineExecution",
    "PipelineExecutionSummaries",
    missing=_says(ResourceNotFound, "Pipeline execution '{arn}' does not exist."),
    existing=_says(ResourceInUse, "Pipeline execution '{arn}' already exists."),
)

MODEL_PACKAGE_GROUP = Kind(
    "model-package-group",
    "ModelPackageGroup",
    "ModelPackageGroupSummaryList",
    missing=_says(ValidationException, "ModelPackageGroup {arn} does not exist."),
    existing=_says(ValidationException, "Model Package Group already exists: {arn}"),
)
MODEL_PACKAGE = Kind(
    "model-package",
    "ModelPackage",
    "ModelPackageSummaryList",
    missing=_says(ValidationException, "ModelPackage {arn} does not exist."),
    existing=_says(ValidationException, "Model Package already exists: {arn}"),
)

TRACKING_SERVER = Kind(
    "mlflow-tracking-server",
    "TrackingServer",
    "TrackingServerSummaries",
    missing=_says(ResourceNotFound, "Tracking server {name} does not exist."),
    existing=_says(ResourceInUse, "Tracking server {name} already exists."),
)
