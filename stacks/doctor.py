"""Everything that a stack needs, checked before a run finds out the hard way."""

import shutil
import sys
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from packaging.requirements import Requirement
from zenml.artifact_stores import LocalArtifactStore
from zenml.client import Client
from zenml.enums import StackComponentType

from bank_marketing.config import Settings
from bank_marketing.errors import PlatformError
from registry.active import active_registry
from stacks import registration
from stacks.files import StackFile
from stacks.store import open_store

LOCK = Path(__file__).parent.parent / "requirements.txt"
MIN_FREE_BYTES = 2 * 2**30  # artifacts of a run take some 5 MB; a full disk corrupts SQLite


class Check(Settings):
    """One thing that was looked at, and the command that mends it."""

    name: str
    ok: bool
    found: str
    remedy: str


def examine(stack: StackFile) -> list[Check]:
    """Check the environment and the stack; later checks need the earlier ones to hold."""
    checks = [_python(), _packages(), _store()]
    if checks[-1].ok:
        checks.append(_registered(stack))
    if checks[-1].ok:
        with registration.using(stack):
            checks.append(_artifact_store())
            if checks[-1].ok:
                checks.append(_tracking())
    return checks


def _python() -> Check:
    found = ".".join(map(str, sys.version_info[:3]))
    return Check(
        name="Python",
        ok=(3, 11) <= sys.version_info[:2] <= (3, 13),
        found=found,
        remedy="install Python 3.11, 3.12 or 3.13, then `make setup PYTHON=python3.12`",
    )


def _packages() -> Check:
    differing = [
        f"{requirement.name} {_installed(requirement.name) or 'missing'}, {requirement.specifier}"
        for requirement in _locked(LOCK.read_text(encoding="utf-8"))
        if not requirement.specifier.contains(_installed(requirement.name) or "0", prereleases=True)
    ]
    return Check(
        name="packages",
        ok=not differing,
        found="; ".join(differing) or "as in requirements.txt",
        remedy="rm -rf .venv && make setup",
    )


def _locked(lock: str) -> Iterator[Requirement]:
    """Yield the requirements of a lock that apply to this platform."""
    for line in lock.splitlines():
        if line[:1].isalnum():
            requirement = Requirement(line.rstrip(" \\"))
            if requirement.marker is None or requirement.marker.evaluate():
                yield requirement


def _installed(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _store() -> Check:
    try:
        open_store()
    except PlatformError as error:
        return Check(name="ZenML store", ok=False, found=str(error), remedy="see the message")
    return Check(name="ZenML store", ok=True, found="answers", remedy="")


def _registered(stack: StackFile) -> Check:
    found = registration.differences(stack)
    return Check(
        name="stack",
        ok=not found,
        found="; ".join(f"{each.component}: {each.statement}" for each in found)
        or f"{stack.name} is registered as its file says",
        remedy="python run.py stack apply",
    )


def _artifact_store() -> Check:
    client = Client()
    (component,) = client.active_stack_model.components[StackComponentType.ARTIFACT_STORE]
    kept = client.list_artifact_versions(artifact_store_id=component.id, size=1).total
    # Asked of ZenML's own artifact store, the path of a lost folder creates an empty one.
    folder = component.configuration.get("path") or LocalArtifactStore.get_default_local_path(
        component.id
    )
    if kept and not Path(folder).is_dir():
        return Check(
            name="artifact store",
            ok=False,
            found=f"{folder} is gone, and {kept} artifacts with it",
            remedy="put the folder back",
        )
    store = Path(Client().active_stack.artifact_store.path)
    free = shutil.disk_usage(store).free
    return Check(
        name="artifact store",
        ok=free >= MIN_FREE_BYTES,
        found=f"{store} has {free / 2**30:.1f} GB free",
        remedy=f"free {MIN_FREE_BYTES / 2**30:.0f} GB, or set artifact_store.config.path",
    )


def _tracking() -> Check:
    try:
        active_registry().versions("any")  # a model that is not there has no versions
    except PlatformError as error:
        return Check(name="MLflow", ok=False, found=str(error), remedy="see the message")
    return Check(name="MLflow", ok=True, found="answers", remedy="")
