"""What every stack needs of the machine that starts a run."""

import shutil
import sys
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from tempfile import gettempdir

from packaging.requirements import Requirement

from stacks.doctor.check import Finding, ok, problem

LOCK = Path(__file__).parent.parent.parent / "requirements.txt"
MIN_FREE_BYTES = 2 * 2**30  # artifacts of a run take some 5 MB; a full disk corrupts SQLite


def python() -> Finding:
    """Look at the version of Python."""
    found = ".".join(map(str, sys.version_info[:3]))
    if (3, 11) <= sys.version_info[:2] <= (3, 13):
        return ok(found)
    return problem(found, "install Python 3.11, 3.12 or 3.13, then `make setup PYTHON=python3.12`")


def packages() -> Finding:
    """Compare what is installed with the lock."""
    differing = [
        f"{requirement.name} {_installed(requirement.name) or 'missing'}, {requirement.specifier}"
        for requirement in _locked(LOCK.read_text(encoding="utf-8"))
        if not requirement.specifier.contains(_installed(requirement.name) or "0", prereleases=True)
    ]
    if differing:
        return problem("; ".join(differing), "rm -rf .venv && make setup")
    return ok("as in requirements.txt")


def disk(folder: Path | None = None) -> Finding:
    """Look at what is free where `folder` is; by default where code is packed for jobs."""
    folder = folder or Path(gettempdir())
    free = shutil.disk_usage(folder).free
    found = f"{folder} has {free / 2**30:.1f} GB free"
    if free >= MIN_FREE_BYTES:
        return ok(found)
    return problem(found, f"free {MIN_FREE_BYTES / 2**30:.0f} GB, or use another disk")


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
