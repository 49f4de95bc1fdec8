"""Which implementation stands behind each interface."""

from platforms.base import Executions, ModelRegistry


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
