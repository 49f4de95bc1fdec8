"""The model registry of the active stack."""

from zenml.client import Client
from zenml.integrations.mlflow.experiment_trackers import MLFlowExperimentTracker

from bank_marketing.errors import PlatformError
from platforms.base import ModelRegistry
from platforms.factory import model_registry


def active_registry() -> ModelRegistry:
    """Return the registry beside the active stack's experiment tracker.

    Raises:
        PlatformError: The stack tracks no experiments.
    """
    _tracker().configure_mlflow()
    return model_registry(tracking_uri())


def tracking_uri() -> str:
    """Return where the active stack's MLflow is.

    Raises:
        PlatformError: The stack tracks no experiments.
    """
    return _tracker().get_tracking_uri()


def _tracker() -> MLFlowExperimentTracker:
    stack = Client().active_stack
    tracker = stack.experiment_tracker
    if not isinstance(tracker, MLFlowExperimentTracker):
        raise PlatformError(f"stack {stack.name!r} has no MLflow experiment tracker")
    return tracker
