"""Which run, data, code and stack a result came from, as tags for either registry."""

from hashlib import sha256

from zenml import get_step_context

from bank_marketing.champion import Champion
from bank_marketing.config import Settings
from bank_marketing.dataset import DataOrigin, DataSource
from bank_marketing.errors import PlatformError
from platforms.base import ModelRegistry, ModelVersion
from registry.history import champion

# What the command line knows of a run and its steps do not; travels in the pipeline's `extra`.
GIT_COMMIT = "git_commit"
TRAINING_KEY = "training_key"
JUDGED_AGAINST = "judged_against"
JOB_PLACE = "job_place"  # a `JobPlace` as JSON, where steps can submit SageMaker jobs
# Before the name of a step: metadata of the run, the ARN of the job that the step waits for.
SUBMITTED_BY = "submitted by "

# What is asked of a registered version; others of its tags came later than the first versions.
_REQUIRED = (
    "zenml_run_id",
    "zenml_run_name",
    "zenml_model_version_id",
    "zenml_stack",
    "data_source",
    "data_sha256",
    "data_fingerprint",
    GIT_COMMIT,
)


def training_key(source: DataSource, settings: Settings, code_version: str) -> str:
    """Return what is equal for two runs that compute the same."""
    digest = sha256()
    for part in (source.model_dump_json(), settings.model_dump_json(), code_version):
        digest.update(sha256(part.encode()).digest())
    return digest.hexdigest()


def opponent(registry: ModelRegistry, name: str, key: str) -> Champion | None:
    """Return the champion that a run is to be judged against; None if there is none.

    A repetition of the run that made the champion is judged as it was then, unless that opponent
    was deleted. Else it would have to beat itself, and nothing of it could come from the cache.
    """
    versions = registry.versions(name)
    present = champion(versions)
    if present is None:
        return None
    is_repeated = present.tags.get(TRAINING_KEY) == key
    version = present.tags[JUDGED_AGAINST] if is_repeated else present.version
    if version and version not in {each.version for each in versions}:
        version = present.version
    return Champion(name=name, version=version) if version else None


def require_lineage(version: ModelVersion) -> None:
    """Refuse a version that does not tell where it came from.

    Raises:
        PlatformError: It was not, or not wholly, registered by a run of ours; names what it lacks.
    """
    missing = [tag for tag in _REQUIRED if tag not in version.tags]
    if missing:
        raise PlatformError(
            f"version {version.version} of {version.name!r} does not tell where it came from: it "
            f"has no tag {', '.join(missing)}"
        )


def lineage_tags(data: DataOrigin) -> dict[str, str]:
    """Return the tags of everything that the current step's run leaves behind."""
    run = get_step_context().pipeline_run
    return {
        "zenml_run_id": str(run.id),
        "zenml_run_name": run.name,
        "zenml_stack": run.stack.name if run.stack else "",
        "data_source": data.origin,
        "data_edition": data.edition,
        "data_sha256": data.sha256,
        "data_fingerprint": data.fingerprint,
        **{key: run.config.extra[key] for key in (GIT_COMMIT, TRAINING_KEY, JUDGED_AGAINST)},
    }
