"""Who is the champion: decided in every registry together, with who, when and why."""

from contextlib import ExitStack
from dataclasses import dataclass

from bank_marketing.errors import PlatformError
from platforms.base import CHAMPION, ModelPackage, ModelRegistry, ModelVersion
from registry.history import (
    HISTORY,
    Action,
    Event,
    Reason,
    approval,
    challenger,
    champion,
    former_champions,
    history,
    predecessor,
    to_json,
)
from registry.lineage import require_lineage
from registry.packages import approve_package, packages_of, set_package_stages
from registry.transaction import move_alias, together
from registry.zenml_versions import (
    copy_history,
    has_history,
    set_stages,
    stage_changes,
    stages_of,
    zenml_name,
)


@dataclass(frozen=True)
class Promotion:
    """What is left to do until `version` is the champion in every registry.

    `former` is the champion in MLflow, which may be the version itself; `event` is None where the
    history knows already how it became that. `stages` are to be set in ZenML, where they are now
    `stages_before`, and `package_stages` in SageMaker, where the model has these `packages`.
    """

    version: ModelVersion
    former: ModelVersion | None
    event: Event | None
    stages: dict[str, str]
    stages_before: dict[str, str]
    packages: dict[str, ModelPackage]
    package_stages: dict[str, str]
    history_is_copied: bool

    @property
    def moves_alias(self) -> bool:
        return self.former is None or self.former.version != self.version.version

    @property
    def events(self) -> tuple[Event, ...]:
        """The history of the version once the promotion is carried out."""
        return (*history(self.version), *([self.event] if self.event else []))

    @property
    def changes(self) -> tuple[str, ...]:
        """Everything that is left to do, in words; nothing if the version reigns already."""
        number = self.version.version
        found = [
            f"ZenML: {name} from {self.stages_before[name]} to {stage}"
            for name, stage in self.stages.items()
        ]
        for name, stage in self.package_stages.items():
            package = self.packages[name]
            found.append(f"SageMaker: {package.short_name} from {package.stage} to {stage}")
        if self.event:
            event = f"{self.event.action} by {self.event.who}: {self.event.because}"
            found.append(f"MLflow: history of version {number}: {event}")
        if self.moves_alias:
            origin = f"version {self.former.version}" if self.former else "nobody"
            found.append(f"MLflow: {CHAMPION} from {origin} to version {number}")
        if self.event or not self.history_is_copied:
            found.append(f"ZenML: history of {zenml_name(number)}")
        return tuple(found)


def plan_promotion(registry: ModelRegistry, name: str, wanted: str, reason: Reason) -> Promotion:
    """Return what makes version or alias `wanted` the champion.

    Raises:
        PlatformError: As `plan`, there is no such version, or others would rely on one that nobody
            has approved.
    """
    version = registry.version(name, wanted)
    number = version.version
    promotion = plan(registry, version, "promoted", reason)
    if not registry.is_local and approval(version) is None:
        raise PlatformError(
            f"version {number} of {name!r} is not approved, which a shared registry demands; "
            "approve it with `model approve`"
        )
    return promotion


def plan_rollback(
    registry: ModelRegistry, name: str, wanted: str | None, reason: Reason
) -> Promotion:
    """Return what makes a former champion the champion again: by default, the one before.

    Raises:
        PlatformError: As `plan`, there is none before, or `wanted` never was the champion.
    """
    versions = registry.versions(name)
    wanted = wanted or predecessor(versions)
    if wanted is None:
        raise PlatformError(
            f"the history of {name!r} knows no {CHAMPION} before the present one; see `model list`"
        )
    version = registry.version(name, wanted)
    if version.version not in former_champions(versions):
        raise PlatformError(
            f"version {version.version} of {name!r} never was the {CHAMPION}, so that nothing can "
            "be rolled back to it; promote it with `model promote`"
        )
    return plan(registry, version, "rolled back", reason)


def plan(
    registry: ModelRegistry, version: ModelVersion, action: Action, reason: Reason
) -> Promotion:
    """Return what makes `version` the champion.

    Raises:
        PlatformError: As `require_lineage`, ZenML does not have the version, or others would rely
            on one that learned from invented customers.
    """
    require_lineage(version)
    name, crowned = version.name, zenml_name(version.version)
    if is_synthetic(version) and not registry.is_local:
        raise PlatformError(
            f"version {version.version} of {name!r} learned from synthetic customers and can be "
            f"the {CHAMPION} in a registry of this machine only; train on real data"
        )
    stages = stages_of(name)
    versions = registry.versions(name)
    packages = packages_of(versions)
    if crowned not in stages:
        raise PlatformError(
            f"ZenML has no {crowned} of model {name!r}, which MLflow has; was it deleted there, or "
            "registered with another ZenML server?"
        )
    package = packages.get(version.version)
    if package and package.approval != "Approved":
        raise PlatformError(
            f"SageMaker has {package.short_name} as {package.approval}; approve it with "
            "`model approve`"
        )
    former = champion(versions)
    reigns = former is not None and former.version == version.version
    known = reigns and any(event.crowns for event in history(version))
    rival = challenger(versions)
    event = Event(
        action=action,
        former=former.version if former and not reigns else None,
        **dict(reason),
    )
    return Promotion(
        version=version,
        former=former,
        event=None if known else event,
        stages=stage_changes(
            stages,
            champion=crowned,
            challenger=zenml_name(rival.version) if rival else None,
        ),
        stages_before=stages,
        packages=packages,
        package_stages=stage_changes(
            {number: each.stage for number, each in packages.items()},
            champion=version.version,
            challenger=rival.version if rival else None,
        ),
        history_is_copied=has_history(name, version.version, history(version)),
    )


def carry_out(registry: ModelRegistry, promotion: Promotion) -> None:
    """Do all that `promotion` says, or nothing of it.

    The alias in MLflow is what decides: a process that is killed before it has moved leaves the
    former champion, one killed after it the new one, and promoting the champion does the rest.

    Raises:
        PlatformError: A registry refused; says whether every registry is as it was.
    """
    version, former = promotion.version, promotion.former
    name, number = version.name, version.version
    with together(f"version {number} did not become the {CHAMPION}") as undo:
        before = {each: promotion.stages_before[each] for each in promotion.stages}
        undo.callback(set_stages, name, before)
        set_stages(name, promotion.stages)
        packages = promotion.packages
        undo.callback(
            set_package_stages,
            packages,
            {each: packages[each].stage for each in promotion.package_stages},
        )
        set_package_stages(packages, promotion.package_stages)
        if promotion.event:
            _note(registry, version, promotion.event, undo)
        if promotion.moves_alias:
            move_alias(registry, CHAMPION, version, former, undo)
        # The last, because ZenML cannot forget it again.
        copy_history(name, number, promotion.events)


def approve(registry: ModelRegistry, name: str, wanted: str, reason: Reason) -> Event:
    """Approve version or alias `wanted`, and return the approval: an earlier one if there is one.

    Also after an earlier approval its package is approved, if SageMaker has that otherwise.

    Raises:
        PlatformError: There is no such version, or a registry refused.
    """
    version = registry.version(name, wanted)
    earlier = approval(version)
    event = earlier or Event(action="approved", former=None, **dict(reason))
    with together(f"version {version.version} was not approved") as undo:
        for package in packages_of([version]).values():
            approve_package(package, event, undo)
        if earlier is None:
            _note(registry, version, event, undo)
            copy_history(name, version.version, (*history(version), event))
    return event


def is_synthetic(version: ModelVersion) -> bool:
    """Say whether `version` learned from invented customers."""
    return version.tags.get("data_source") == "synthetic"


def _note(registry: ModelRegistry, version: ModelVersion, event: Event, undo: ExitStack) -> None:
    """Add `event` to the history in MLflow."""
    name, number = version.name, version.version
    if HISTORY in version.tags:
        undo.callback(registry.tag, name, number, {HISTORY: version.tags[HISTORY]})
    else:
        undo.callback(registry.remove_tag, name, number, HISTORY)
    registry.tag(name, number, {HISTORY: to_json((*history(version), event))})
