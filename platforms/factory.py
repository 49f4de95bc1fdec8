"""Which implementation stands behind each interface."""

from collections.abc import Callable

from platforms.base import (
    Executions,
    JobPlace,
    ModelPackages,
    ModelRegistry,
    PackagePublisher,
    TrainingJobs,
)


def model_registry(tracking_uri: str) -> ModelRegistry:
    """Return the registry behind an MLflow tracking URI."""
    from platforms.mlflow_registry import MlflowRegistry  # importing mlflow takes a second

    return MlflowRegistry(tracking_uri)


def executions() -> Executions:
    """Return what runs in SageMaker."""
    from platforms.sagemaker.executions import SageMakerExecutions  # boto3 takes half a second

    return SageMakerExecutions()


def mlflow_version(tracking_uri: str) -> str:
    """Return the version of the MLflow server that answers at a tracking URI."""
    from platforms.mlflow_registry import server_version

    return server_version(tracking_uri)


def sagemaker_training_jobs(
    place: JobPlace, began: Callable[[str], None] = lambda _: None
) -> TrainingJobs:
    """Return jobs that SageMaker runs at `place`, with the credentials of the environment.

    `began` is called with the ARN of each one.
    """
    from platforms.sagemaker.session import client  # boto3 takes half a second
    from platforms.sagemaker.training_jobs import SageMakerTrainingJobs

    return SageMakerTrainingJobs(
        place, client("sagemaker", place.region), client("s3", place.region), began=began
    )


def model_packages(region: str) -> ModelPackages:
    """Return SageMaker's registry in `region`."""
    from platforms.sagemaker.model_packages import SageMakerModelPackages
    from platforms.sagemaker.session import client  # boto3 takes half a second

    return SageMakerModelPackages(client("sagemaker", region))


def package_publisher(place: JobPlace) -> PackagePublisher:
    """Return what makes packages of models, whose files it keeps at `place`."""
    from platforms.sagemaker.model_packages import SageMakerPackagePublisher
    from platforms.sagemaker.session import client  # boto3 takes half a second

    return SageMakerPackagePublisher(
        place, client("sagemaker", place.region), client("s3", place.region)
    )
