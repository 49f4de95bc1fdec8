"""Register a model in MLflow and ZenML under one number, each side naming the other."""

from collections.abc import Mapping
from contextlib import ExitStack
from uuid import UUID

from zenml import log_metadata
from zenml.client import Client
from zenml.exceptions import EntityExistsError
from zenml.models import ModelVersionArtifactRequest

from bank_marketing.bundle import Bundle
from bank_marketing.errors import PlatformError
from platforms.base import CHALLENGER, CHAMPION, ModelRegistry, ModelVersion, TrackedRun


def register(
    registry: ModelRegistry,
    name: str,
    bundle: Bundle,
    run: TrackedRun,
    *,
    tags: Mapping[str, str],
    artifact_ids: tuple[UUID, ...],
) -> ModelVersion:
    """Make `bundle` the next version of `name` in both registries, or in neither.

    Raises:
        PlatformError: A registry refused; nothing is left behind in the other.
    """
    with ExitStack() as undo:
        version = registry.register(name, bundle, run, tags)
        undo.callback(registry.delete, name, version.version)
        zenml_version_id = _create_in_zenml(version, tags)
        undo.callback(Client().delete_model_version, zenml_version_id)
        _describe_in_zenml(version, zenml_version_id, tags, artifact_ids)
        registry.tag(name, version.version, {"zenml_model_version_id": str(zenml_version_id)})
        registry.set_alias(name, CHALLENGER, version.version)
        undo.pop_all()
    return registry.version(name, version.version)


def crown_if_vacant(registry: ModelRegistry, version: ModelVersion) -> None:
    """Make `version` the champion if the model has none yet.

    What learned from invented customers is crowned only where nobody else would rely on it.
    """
    if version.tags["data_source"] == "synthetic" and not registry.is_local:
        return
    if not any(CHAMPION in other.aliases for other in registry.versions(version.name)):
        registry.set_alias(version.name, CHAMPION, version.version)


def zenml_name(version: str) -> str:
    """Return ZenML's name of a version; a mere number is not allowed there."""
    return f"v{version}"


def _create_in_zenml(version: ModelVersion, tags: Mapping[str, str]) -> UUID:
    client = Client()
    if not client.list_models(name=version.name).items:
        client.create_model(version.name, save_models_to_registry=False)
    try:
        return client.create_model_version(
            version.name,
            zenml_name(version.version),
            tags=[f"data_source={tags['data_source']}"],
        ).id
    except EntityExistsError as error:
        raise PlatformError(
            f"ZenML already has a {zenml_name(version.version)} of model {version.name!r} that "
            "MLflow does not know; remove it with `zenml model version delete "
            f"{version.name} {zenml_name(version.version)}`"
        ) from error


def _describe_in_zenml(
    version: ModelVersion, zenml_id: UUID, tags: Mapping[str, str], artifact_ids: tuple[UUID, ...]
) -> None:
    log_metadata(
        metadata={**tags, "mlflow_model_version": version.version, "mlflow_run_id": version.run_id},
        model_name=version.name,
        model_version=zenml_name(version.version),
    )
    for artifact_id in artifact_ids:
        Client().zen_store.create_model_version_artifact_link(
            ModelVersionArtifactRequest(artifact_version=artifact_id, model_version=zenml_id)
        )
