"""Where a registered version came from, from its bundle back to the data."""

from collections.abc import Iterator

from bank_marketing.config import Settings
from platforms.base import ModelRegistry, ModelVersion
from registry.lineage import GIT_COMMIT, JUDGED_AGAINST, require_lineage
from registry.packages import PACKAGE


class DataAncestry(Settings):
    """The table that a version learned from; see `DataOrigin`.

    The edition is None for a version from before it was recorded.
    """

    source: str
    edition: str | None
    uri: str | None
    sha256: str
    fingerprint: str
    rows: int | None


class Ancestry(Settings):
    """All that a version came from.

    `parents` are the champions at the time, each the one that the version before it was judged
    against: the nearest first.
    """

    name: str
    version: str
    aliases: tuple[str, ...]
    created: str
    bundle_uri: str
    mlflow_run_id: str
    mlflow_run_name: str
    zenml_run_id: str
    zenml_run_name: str
    zenml_model_version_id: str
    sagemaker_model_package_arn: str | None
    stack: str
    git_commit: str
    data: DataAncestry
    parameters: dict[str, str]
    parents: tuple[str, ...]


def trace(registry: ModelRegistry, version: ModelVersion) -> Ancestry:
    """Gather what the registries and the tracked run say of how `version` came about.

    Raises:
        PlatformError: As `require_lineage`, or its run was deleted.
    """
    require_lineage(version)
    run, tags = registry.run_facts(version.run_id), version.tags
    return Ancestry(
        name=version.name,
        version=version.version,
        aliases=version.aliases,
        created=version.created,
        bundle_uri=version.bundle_uri,
        mlflow_run_id=version.run_id,
        mlflow_run_name=run.name,
        zenml_run_id=tags["zenml_run_id"],
        zenml_run_name=tags["zenml_run_name"],
        zenml_model_version_id=tags["zenml_model_version_id"],
        sagemaker_model_package_arn=tags.get(PACKAGE),
        stack=tags["zenml_stack"],
        git_commit=tags[GIT_COMMIT],
        data=DataAncestry(
            source=tags["data_source"],
            edition=tags.get("data_edition"),
            uri=run.data_uri,
            sha256=tags["data_sha256"],
            fingerprint=tags["data_fingerprint"],
            rows=run.data_rows,
        ),
        parameters=dict(sorted(run.parameters.items())),
        parents=tuple(_parents(registry, version)),
    )


def _parents(registry: ModelRegistry, version: ModelVersion) -> Iterator[str]:
    """Follow the champions back as far as they are still registered."""
    registered = {each.version: each for each in registry.versions(version.name)}
    parent = version.tags.get(JUDGED_AGAINST)
    while parent:
        yield parent
        parent = registered[parent].tags.get(JUDGED_AGAINST) if parent in registered else None
