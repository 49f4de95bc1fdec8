"""What the active stack offers to steps: registries, jobs, and a place for studies."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from zenml import get_step_context, log_metadata
from zenml.client import Client
from zenml.integrations.mlflow.experiment_trackers import MLFlowExperimentTracker

from bank_marketing.errors import PlatformError
from platforms.base import JobPlace, ModelRegistry, PackagePublisher, TrainingJobs
from platforms.factory import model_registry, package_publisher, sagemaker_training_jobs
from registry.lineage import JOB_PLACE, SUBMITTED_BY
from registry.zenml_errors import zenml_errors


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
    with zenml_errors("the active stack"):
        store = Client().active_stack.artifact_store
    if store.config.is_local:
        folder = Path(store.path) / "studies"
        folder.mkdir(exist_ok=True)
        yield folder
    else:
        with TemporaryDirectory() as folder_name:
            yield Path(folder_name)


def training_jobs() -> TrainingJobs:
    """Return where the current step submits training and tuning jobs; they write beside its run.

    Raises:
        PlatformError: The run's stack has no SageMaker.
    """
    place = _job_place()
    if place is None:
        raise PlatformError(
            "this run's stack submits no SageMaker jobs: use `--stack sagemaker` or "
            "`--stack sagemaker-emulated`, or tuning.backend=optuna and training.backend=step"
        )
    return sagemaker_training_jobs(place, _remember)


def active_publisher() -> PackagePublisher | None:
    """Return what makes packages of the current step's models, if its stack has SageMaker."""
    place = _job_place()
    return package_publisher(place) if place else None


def _job_place() -> JobPlace | None:
    """Return where the current step's run submits jobs and keeps their files, if it does."""
    run = get_step_context().pipeline_run
    text = run.config.extra.get(JOB_PLACE)
    if not text:
        return None
    place = JobPlace.model_validate_json(text)
    uri = f"{place.output_uri.rstrip('/')}/{run.id}"
    return place.model_copy(update={"output_uri": uri})


def _remember(job_arn: str) -> None:
    """Keep with the run what its current step has submitted, which costs and may outlive it."""
    context = get_step_context()
    log_metadata(
        metadata={f"{SUBMITTED_BY}{context.step_run.name}": job_arn},
        run_id_name_or_prefix=context.pipeline_run.id,
    )


def _tracker() -> MLFlowExperimentTracker:
    with zenml_errors("the active stack"):
        stack = Client().active_stack
    tracker = stack.experiment_tracker
    if not isinstance(tracker, MLFlowExperimentTracker):
        raise PlatformError(f"stack {stack.name!r} has no MLflow experiment tracker")
    return tracker
