"""What happened to a version since it was registered: who, when and why, in one of its tags."""

from collections.abc import Iterator, Sequence
from typing import Annotated, Literal

from pydantic import AwareDatetime, Field, TypeAdapter

from bank_marketing.config import Settings
from platforms.base import CHALLENGER, CHAMPION, ModelVersion

HISTORY = "history"

Action = Literal["promoted", "rolled back", "approved"]


class Reason(Settings):
    """Who changes something, when, and why."""

    who: str
    when: AwareDatetime
    because: Annotated[str, Field(min_length=1)]


class Event(Reason):
    """What happened; `former` is the champion whose place the version took, if there was one."""

    action: Action
    former: str | None

    @property
    def crowns(self) -> bool:
        return self.action != "approved"


_EVENTS = TypeAdapter(tuple[Event, ...])


def history(version: ModelVersion) -> tuple[Event, ...]:
    """Return everything that happened to `version`, oldest first."""
    return _EVENTS.validate_json(version.tags.get(HISTORY, "[]"))


def to_json(events: Sequence[Event]) -> str:
    """Return what `history` reads."""
    return _EVENTS.dump_json(tuple(events)).decode()


def approval(version: ModelVersion) -> Event | None:
    """Return who approved `version` last, if anybody did."""
    approvals = [event for event in history(version) if event.action == "approved"]
    return approvals[-1] if approvals else None


def champion(versions: Sequence[ModelVersion]) -> ModelVersion | None:
    """Return the champion among all `versions` of a model, if there is one."""
    return next((version for version in versions if CHAMPION in version.aliases), None)


def challenger(versions: Sequence[ModelVersion]) -> ModelVersion | None:
    """Return the challenger among all `versions` of a model, if there is one."""
    return next((version for version in versions if CHALLENGER in version.aliases), None)


def former_champions(versions: Sequence[ModelVersion]) -> tuple[str, ...]:
    """Return the numbers of those whose place was taken, the latest first; some may repeat.

    Each event names the champion before it, so that one which was noted, but whose promotion came
    to nothing because the server went away, is not part of the chain.
    """
    return tuple(event.former for event in _reigns(versions) if event.former is not None)


def predecessor(versions: Sequence[ModelVersion]) -> str | None:
    """Return the number of the champion whose place the champion took when it was promoted.

    Not whose it took in a rollback: two rollbacks in a row lead two promotions back.
    """
    current = champion(versions)
    events = history(current) if current else ()
    promotions = [event for event in events if event.action == "promoted"]
    return promotions[-1].former if promotions else None


def _reigns(versions: Sequence[ModelVersion]) -> Iterator[Event]:
    """Follow the champions back through time, by the event that crowned each of them."""
    events = {
        version.version: [event for event in history(version) if event.crowns]
        for version in versions
    }
    current = champion(versions)
    crowned = events[current.version] if current else []
    while crowned:
        latest = max(crowned, key=lambda event: event.when)
        yield latest
        before = events.get(latest.former, []) if latest.former else []
        crowned = [event for event in before if event.when < latest.when]
