"""The versions of a model that are packages of SageMaker as well: their approval and stages."""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack

from platforms.base import ModelPackage, ModelPackages, ModelVersion
from platforms.factory import model_packages
from registry.history import Event
from registry.zenml_versions import ARCHIVED, STAGING

PACKAGE = "sagemaker_model_package_arn"  # the tag of a version that has one


def packages_of(versions: Sequence[ModelVersion]) -> dict[str, ModelPackage]:
    """Return the packages of all `versions` of a model, by the numbers of these.

    Those that somebody deleted in SageMaker are left out.

    Raises:
        PlatformError: AWS refused or cannot be reached; it is asked only where there are packages.
    """
    packaged = {each.tags[PACKAGE]: each for each in versions if PACKAGE in each.tags}
    groups = {(_region(arn), version.name) for arn, version in packaged.items()}
    return {
        packaged[arn].version: package
        for region, name in groups
        for arn, package in model_packages(region).packages(name).items()
        if arn in packaged
    }


def set_package_stages(packages: Mapping[str, ModelPackage], stages: Mapping[str, str]) -> None:
    """Give each version of `stages` its stage in SageMaker."""
    for number, stage in stages.items():
        arn = packages[number].arn
        _registry_of(arn).set_stage(arn, stage)


def make_challenger(arn: str, versions: Sequence[ModelVersion], undo: ExitStack) -> None:
    """Move a new package to the stage of challengers, and whoever is there out of it."""
    packages = packages_of(versions)
    former = {number: STAGING for number, each in packages.items() if each.stage == STAGING}
    undo.callback(set_package_stages, packages, former)
    set_package_stages(packages, dict.fromkeys(former, ARCHIVED))
    _registry_of(arn).set_stage(arn, STAGING)


def approve_package(package: ModelPackage, event: Event, undo: ExitStack) -> None:
    """Approve a package in SageMaker unless it is approved."""
    if package.approval == "Approved":
        return
    registry = _registry_of(package.arn)
    undo.callback(registry.set_approval, package.arn, package.approval, "not approved after all")
    registry.set_approval(package.arn, "Approved", f"{event.who}: {event.because}")


def delete_package(arn: str) -> None:
    """Remove a package; do nothing if it is gone."""
    _registry_of(arn).delete(arn)


def _registry_of(arn: str) -> ModelPackages:
    return model_packages(_region(arn))


def _region(arn: str) -> str:
    return arn.split(":")[3]
