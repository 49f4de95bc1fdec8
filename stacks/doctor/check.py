"""What a check is, and how one follows another."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal, NamedTuple

from bank_marketing.config import Settings
from bank_marketing.errors import ProjectError

State = Literal["ok", "problem", "unknown"]


class Check(Settings):
    """One thing that was looked at, and what mends it; `unknown` is no all-clear.

    Only what was not looked at, because another thing has to be mended first, has no remedy.
    """

    name: str
    state: State
    found: str
    remedy: str


class Finding(NamedTuple):
    """What a look at one thing showed."""

    state: State
    found: str
    remedy: str = ""


@dataclass(frozen=True)
class Look:
    """How to look at one thing, which makes no sense if one of `needs` is a problem."""

    name: str
    look: Callable[[], Finding]
    needs: tuple[str, ...] = ()


def ok(found: str) -> Finding:
    """Say that all is well."""
    return Finding("ok", found)


def problem(found: str, remedy: str) -> Finding:
    """Say what is wrong, and what mends it."""
    return Finding("problem", found, remedy)


def unknown(found: str, remedy: str = "see the message") -> Finding:
    """Say why it could not be checked."""
    return Finding("unknown", f"could not be checked: {found}", remedy)


def look_at(looks: Iterable[Look]) -> list[Check]:
    """Look at one thing after another; a vendor that refuses to tell leaves its check unknown."""
    missing: set[str] = set()
    checks = []
    for each in looks:
        lacking = next((need for need in each.needs if need in missing), None)
        if lacking is None:
            finding = _finding(each)
        else:
            finding = Finding("unknown", f"not looked at: {lacking!r} has to be ok first")
        if lacking is not None or finding.state == "problem":
            missing.add(each.name)
        checks.append(Check(name=each.name, **finding._asdict()))
    return checks


def _finding(each: Look) -> Finding:
    try:
        return each.look()
    except ProjectError as error:
        return unknown(str(error))
