"""What differs between this machine and AWS, as interfaces and plain values."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

from bank_marketing.bundle import Bundle
from bank_marketing.config import FeatureSettings, ModelSettings, Settings, TuningSettings
from bank_marketing.dataset import DataOrigin
from bank_marketing.errors import PlatformError

if TYPE_CHECKING:  # a second to import, for signatures alone
    import pandas as pd

    from bank_marketing.search import TuningProgress
    from bank_marketing.tuning import State, Tuning

CHAMPION = "champion"
CHALLENGER = "challenger"

# Our script in Amazon's XGBoost container, or what Amazon made of XGBoost.
TrainingAlgorithm = Literal["script", "built-in"]


class JobPlace(Settings):
    """Where and on what the SageMaker jobs run that a step submits.

    `output_uri` is an S3 prefix of this run alone; `image` is Amazon's XGBoost container. `tags`
    are on all that is created; those called project and user begin the names of jobs.
    """

    region: str
    role: str
    output_uri: str
    image: str
    instance_type: str
    volume_gb: int
    max_runtime_s: int
    spot: bool
    subnets: tuple[str, ...]
    security_group_ids: tuple[str, ...]
    tags: dict[str, str]


JobState = Literal["running", "stopping", "stopped", "failed", "succeeded"]


class Job(Settings):
    """One job of SageMaker and the step that it runs.

    A job that was refused has no `arn`; the step of one that runs a whole pipeline is "".
    """

    step: str
    arn: str | None
    state: JobState
    reason: str | None
    log_url: str | None

    @property
    def region(self) -> str:
        return self.arn.split(":")[3] if self.arn else ""


class Charge(Settings):
    """What a job is billed for: an instance by the second."""

    type: Literal["processing", "training"]
    instance_type: str
    seconds: float


class Execution(Settings):
    """All jobs of a pipeline run, in the order in which they began."""

    state: JobState
    reason: str | None
    jobs: tuple[Job, ...]

    @property
    def has_ended(self) -> bool:
        return self.state in {"stopped", "failed", "succeeded"}


class Executions(Protocol):
    """What runs elsewhere on behalf of a pipeline run, named by an ARN.

    Every method raises `PlatformError` when AWS refuses, `OutageError` when it cannot be reached.
    """

    def describe(self, arn: str) -> Execution:
        """Return the state of an execution and of every job in it."""

    def stop(self, arn: str) -> None:
        """Ask for its end; do nothing if it has ended."""

    def charge(self, job: Job) -> Charge | None:
        """Return what a job is billed for, once it has ended."""

    def log_tail(self, job: Job) -> tuple[str, ...]:
        """Return the last lines that a job wrote, oldest first."""


class OutageError(PlatformError):
    """Nobody answered, or it was asked too often: the same call may succeed later."""


class ModelNotFoundError(PlatformError):
    """The registry holds no such model or version."""

    def __init__(self, name: str, version: str) -> None:
        super().__init__(f"model {name!r} has no version {version!r}; see `model list`")


class RunNotFoundError(PlatformError):
    """The tracking server holds no such run; one that is gone may have registered a version."""

    def __init__(self, run_id: str) -> None:
        super().__init__(f"MLflow has no run {run_id!r}: was it deleted?")


class TrackedRun(Settings):
    """Where a run is kept by the tracking server."""

    experiment_id: str
    run_id: str
    tracking_uri: str


class ModelVersion(Settings):
    """One registered version of a model; `created` is in ISO 8601, UTC.

    `bundle_uri` is the folder with the three files of its bundle.
    """

    name: str
    version: str
    aliases: tuple[str, ...]
    run_id: str
    bundle_uri: str
    created: str
    tags: dict[str, str]


@dataclass(frozen=True)
class RunRecord:
    """What one pipeline run leaves in the tracking server; `pages` are texts by file name."""

    parameters: Mapping[str, str]
    metrics: Mapping[str, float]
    tags: Mapping[str, str]
    data: DataOrigin
    pages: Mapping[str, str]


class RunFacts(Settings):
    """What a finished run says of itself; the data set's are None where none was recorded."""

    name: str
    parameters: dict[str, str]
    metrics: dict[str, float]
    data_uri: str | None
    data_rows: int | None


@dataclass(frozen=True)
class TrialRecord:
    """One trial of a search, to be kept as a run below the run that it belongs to."""

    name: str
    parameters: Mapping[str, float]
    metrics: Mapping[str, float]
    state: "State"


class TrainingJobs(Protocol):
    """Training and tuning in jobs that a step submits and waits for.

    A job belongs to the run: asked for again it is found, not repeated, and it is stopped if
    waiting for it ends early. Every method raises `PlatformError` when the service refuses, stays
    away, or the job fails.
    """

    def train(
        self,
        train_set: "pd.DataFrame",
        validation_set: "pd.DataFrame",
        features: FeatureSettings,
        model: ModelSettings,
        algorithm: TrainingAlgorithm,
    ) -> Bundle:
        """Train on one set and stop early on the other; both hold the target column."""

    def tune(
        self,
        train_set: "pd.DataFrame",
        features: FeatureSettings,
        model: ModelSettings,
        settings: TuningSettings,
        progress: "Callable[[TuningProgress], None]",
    ) -> "Tuning":
        """Search as `bank_marketing.tuning.tune` does: on the same folds, for the same metric.

        `settings.trials` is 1 at least. No trial is given up early, and starting points have no
        effect.

        Raises:
            DataError: A class has fewer rows than there are folds.
            SettingsError: The search space allows what a model must not have, or no trial came to
                an end in time.
        """


Approval = Literal["PendingManualApproval", "Approved", "Rejected"]


class ModelPackage(Settings):
    """A version of a model as SageMaker's registry has it; `stage` is "none" until it is set."""

    arn: str
    approval: Approval
    stage: str

    @property
    def short_name(self) -> str:
        """The name of its group and its number there."""
        return self.arn.partition("/")[2]


class ModelPackages(Protocol):
    """SageMaker's registry, from which its endpoints and other accounts take models.

    Every method raises `PlatformError` when AWS refuses or cannot be reached.
    """

    def packages(self, name: str) -> Mapping[str, ModelPackage]:
        """Return each package of the model `name` by its ARN; none if the model is unknown."""

    def set_approval(self, arn: str, approval: Approval, because: str) -> None:
        """Say whether a package may be deployed."""

    def set_stage(self, arn: str, stage: str) -> None:
        """Put a package in a stage of its life."""

    def delete(self, arn: str) -> None:
        """Remove a package; do nothing if it is gone."""


class PackagePublisher(Protocol):
    """Makes packages of bundles; raises `PlatformError` when AWS refuses or cannot be reached."""

    def publish(self, version: ModelVersion, bundle: Bundle, facts: Mapping[str, str]) -> str:
        """Store `bundle` as a package of the version's model, and return its ARN.

        It waits for approval; `facts` are kept with it.
        """


class ModelRegistry(Protocol):
    """Where runs are recorded and models registered.

    Every method raises `PlatformError` when the server refuses or cannot be reached.
    """

    @property
    def is_local(self) -> bool:
        """Whether nobody else sees what is registered here."""

    def active_run(self) -> TrackedRun:
        """Return the run that the orchestrator has opened for the current step."""

    def record(self, run: TrackedRun, record: RunRecord) -> None:
        """Add `record` to the run; the same record twice changes nothing."""

    def add_pages(self, run: TrackedRun, pages: Mapping[str, str]) -> None:
        """Keep texts by file name with the run; a text of the same name is replaced."""

    def record_trials(self, run: TrackedRun, trials: Sequence[TrialRecord]) -> None:
        """Keep each trial as a child of `run`; one that is there already is not added again.

        A child that an earlier call could not complete is completed.
        """

    def run_facts(self, run_id: str) -> RunFacts:
        """Return what a run recorded.

        Raises:
            RunNotFoundError: There is no such run, or `run_id` is empty.
        """

    def register(
        self, name: str, bundle: Bundle, run: TrackedRun, tags: Mapping[str, str]
    ) -> ModelVersion:
        """Store `bundle` with `run`, the active one, as the next version of `name`."""

    def versions(self, name: str) -> tuple[ModelVersion, ...]:
        """Return every version of `name`, newest first; none if the model is unknown."""

    def version(self, name: str, version_or_alias: str) -> ModelVersion:
        """Return one version.

        Raises:
            ModelNotFoundError: There is none.
        """

    def load(self, name: str, version_or_alias: str) -> Bundle:
        """Return the model of one version.

        Raises:
            ModelNotFoundError: There is none.
            ModelError: What is stored is no bundle of ours.
        """

    def set_alias(self, name: str, alias: str, version: str) -> None:
        """Point `alias` to `version`, away from any other."""

    def remove_alias(self, name: str, alias: str) -> None:
        """Point `alias` to no version; do nothing if it does not."""

    def tag(self, name: str, version: str, tags: Mapping[str, str]) -> None:
        """Add `tags` to a version."""

    def remove_tag(self, name: str, version: str, key: str) -> None:
        """Remove one tag of a version; do nothing if it has no such tag."""

    def delete(self, name: str, version: str) -> None:
        """Remove a version and its aliases; do nothing if it is gone."""
