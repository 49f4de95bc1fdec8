"""What the active stack offers to steps: its model registry, and a place for studies."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

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


@contextmanager
def study_folder() -> Iterator[Path]:
    """Yield where unfinished searches are kept: beside local artifacts, so that they can go on.

    A job elsewhere has no such place; there `tuning.storage` makes a search outlive it.
    """
    store = Client().active_stack.artifact_store
    if store.config.is_local:
        folder = Path(store.path) / "studies"
        folder.mkdir(exist_ok=True)
        yield folder
    else:
        with TemporaryDirectory() as folder_name:
            yield Path(folder_name)


def _tracker() -> MLFlowExperimentTracker:
    stack = Client().active_stack
    tracker = stack.experiment_tracker
    if not isinstance(tracker, MLFlowExperimentTracker):
        raise PlatformError(f"stack {stack.name!r} has no MLflow experiment tracker")
    return tracker
