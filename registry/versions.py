"""Register a model in every registry of its stack, each one naming the others."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import NamedTuple
from uuid import UUID

from zenml import log_metadata
from zenml.client import Client
from zenml.models import ModelVersionArtifactRequest

from bank_marketing.bundle import Bundle
from bank_marketing.errors import PlatformError
from platforms.base import CHALLENGER, ModelRegistry, ModelVersion, PackagePublisher, TrackedRun
from registry.history import Reason, challenger, champion
from registry.packages import PACKAGE, delete_package, make_challenger
from registry.promotion import carry_out, is_synthetic, plan
from registry.transaction import move_alias, together
from registry.zenml_errors import zenml_errors
from registry.zenml_versions import STAGING, set_stages, stages_of, zenml_name


class Registries(NamedTuple):
    """Where a stack registers beside ZenML: in MLflow, and in SageMaker if it has that."""

    mlflow: ModelRegistry
    sagemaker: PackagePublisher | None


@dataclass(frozen=True)
class Candidate:
    """A model that is to be registered, and what the registries shall say of it.

    `artifact_ids` are what ZenML links to the version; the metrics are few: MLflow's run has all.
    `pages` writes what is kept with the run, by file name, once the version has a number.
    """

    bundle: Bundle
    run: TrackedRun
    tags: Mapping[str, str]
    metrics: Mapping[str, float]
    artifact_ids: tuple[UUID, ...]
    pages: Callable[[ModelVersion], Mapping[str, str]]


def register(registries: Registries, name: str, candidate: Candidate) -> ModelVersion:
    """Make a candidate the next version of `name` and the challenger in every registry, or in none.

    Raises:
        PlatformError: A registry refused; nothing is left behind in the others.
    """
    registry, publisher = registries
    bundle, run, tags = candidate.bundle, candidate.run, candidate.tags
    with together(f"no version of {name!r} was registered") as undo:
        known = registry.versions(name)
        undo.callback(_forget, registry, name, run, known)
        version = registry.register(name, bundle, run, tags)
        stages = stages_of(name)
        zenml_version_id = _create_in_zenml(version, tags, undo)
        names = {"zenml_model_version_id": str(zenml_version_id)}
        if publisher:
            facts = {
                **tags,
                **names,
                "mlflow_model_version": version.version,
                "mlflow_run_id": version.run_id,
                "bundle_sha256": bundle.checksum,
                **{metric: f"{value:.4f}" for metric, value in candidate.metrics.items()},
            }
            names[PACKAGE] = publisher.publish(version, bundle, facts)
            undo.callback(delete_package, names[PACKAGE])
        _describe_in_zenml(version, zenml_version_id, names, candidate)
        registry.tag(name, version.version, names)
        registry.add_pages(run, candidate.pages(registry.version(name, version.version)))
        if publisher:
            make_challenger(names[PACKAGE], registry.versions(name), undo)
        undo.callback(set_stages, name, {v: each for v, each in stages.items() if each == STAGING})
        set_stages(name, {zenml_name(version.version): STAGING})
        move_alias(registry, CHALLENGER, version, challenger(known), undo)
        return registry.version(name, version.version)


def crown_if_vacant(registry: ModelRegistry, version: ModelVersion) -> None:
    """Make `version` the champion if the model has none yet and nobody else would rely on it.

    In a shared registry also the first champion is approved and promoted by a person. A champion
    that learned from invented customers holds its place for the first of real ones only.

    Raises:
        PlatformError: A registry refused; both are as they were.
    """
    if not registry.is_local:
        return
    present = champion(registry.versions(version.name))
    if present is not None and (is_synthetic(version) or not is_synthetic(present)):
        return
    reason = Reason(
        who=f"run {version.tags['zenml_run_name']}",
        when=version.created,
        because="the first version of its kind of data that passed the gate",
    )
    carry_out(registry, plan(registry, version, "promoted", reason))


def _forget(
    registry: ModelRegistry, name: str, run: TrackedRun, known: Sequence[ModelVersion]
) -> None:
    """Delete what `run` registered beside the `known` versions."""
    numbers = {version.version for version in known}
    for version in registry.versions(name):
        if version.run_id == run.run_id and version.version not in numbers:
            registry.delete(name, version.version)


def _create_in_zenml(version: ModelVersion, tags: Mapping[str, str], undo: ExitStack) -> UUID:
    client, name = Client(), zenml_name(version.version)
    with zenml_errors(f"create {name} of {version.name!r}"):
        if not client.list_models(name=version.name).items:
            client.create_model(version.name, save_models_to_registry=False)
        _remove_orphan(version, tags)
        undo.callback(_delete_from_zenml, version)
        return client.create_model_version(
            version.name, name, tags=[f"data_source={tags['data_source']}"]
        ).id


def _remove_orphan(version: ModelVersion, tags: Mapping[str, str]) -> None:
    """Delete ZenML's version of this number: MLflow gave it out anew, so its model is gone.

    Raises:
        PlatformError: It belongs to another stack, whose MLflow may still have it.
    """
    client, name = Client(), zenml_name(version.version)
    for orphan in client.list_model_versions(model=version.name, name=name, hydrate=True).items:
        theirs = orphan.run_metadata.get("zenml_stack")
        if theirs != tags["zenml_stack"]:
            raise PlatformError(
                f"{name} of model {version.name!r} belongs to stack {theirs!r}, and versions of "
                "two stacks cannot share a name; set another registry.model_name"
            )
    _delete_from_zenml(version)


def _delete_from_zenml(version: ModelVersion) -> None:
    """Delete ZenML's version of this number; do nothing if there is none."""
    client, name = Client(), zenml_name(version.version)
    with zenml_errors(f"delete {name} of {version.name!r}"):
        for found in client.list_model_versions(model=version.name, name=name).items:
            client.delete_model_version(found.id)


def _describe_in_zenml(
    version: ModelVersion, zenml_id: UUID, names: Mapping[str, str], candidate: Candidate
) -> None:
    name = zenml_name(version.version)
    with zenml_errors(f"describe {name} of {version.name!r}"):
        log_metadata(
            metadata={
                **candidate.tags,
                **names,
                **candidate.metrics,
                "mlflow_model_version": version.version,
                "mlflow_run_id": version.run_id,
            },
            model_name=version.name,
            model_version=name,
        )
        for artifact_id in candidate.artifact_ids:
            Client().zen_store.create_model_version_artifact_link(
                ModelVersionArtifactRequest(artifact_version=artifact_id, model_version=zenml_id)
            )
