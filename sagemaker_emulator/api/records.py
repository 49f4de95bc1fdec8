"""What exists: every resource as the members of its Describe answer, in memory."""

import secrets
import string
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, TypeVar

from sagemaker_emulator.api import shapes
from sagemaker_emulator.api.errors import ServiceError

ACCOUNT = "123456789012"

T = TypeVar("T")


def now() -> datetime:
    return datetime.now(UTC)


def random_text(length: int, letters: str = string.ascii_letters + string.digits) -> str:
    """Return the random part of a name that Amazon makes."""
    return "".join(secrets.choice(letters) for _ in range(length))


@dataclass(frozen=True)
class Kind:
    """A kind of resource; the names of its members follow from `member` as Amazon forms them.

    `summary` is the name of the list in the answer of its List operation. `missing` and `existing`
    make the error for a resource that is not there, or already is, from its ARN and name.
    """

    resource: str
    member: str
    summary: str
    missing: Callable[[str, str], ServiceError]
    existing: Callable[[str, str], ServiceError]

    @property
    def name(self) -> str:
        return f"{self.member}Name"

    @property
    def arn(self) -> str:
        return f"{self.member}Arn"

    @property
    def status(self) -> str:
        return f"{self.member}Status"


@dataclass
class Record:
    """One resource: the members of its Describe answer, and its tags.

    `done` is set once nothing about it will change any more; `stopping` asks what runs to end.
    """

    kind: Kind
    region: str
    name: str
    arn: str
    fields: dict[str, Any]
    tags: dict[str, str]
    done: threading.Event = field(default_factory=threading.Event)
    stopping: threading.Event = field(default_factory=threading.Event)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def status(self) -> str:
        return str(self.fields.get(self.kind.status, ""))

    def update(self, **fields: Any) -> None:
        """Change members of the Describe answer; one by one readers see old or new, never half."""
        self.fields |= fields | {"LastModifiedTime": now()}

    def set_status(self, status: str, **fields: Any) -> None:
        self.update(**{self.kind.status: status}, **fields)

    def end(self, status: str, **fields: Any) -> None:
        """Show how it ended; nothing changes after that."""
        with self._lock:
            self.set_status(status, **fields)
            self.done.set()

    def ask_to_stop(self) -> bool:
        """Ask what runs to end; return whether anything did."""
        with self._lock:
            if self.done.is_set():
                return False
            self.set_status("Stopping")
            self.stopping.set()
            return True


class Records:
    """All resources of all regions of one account."""

    def __init__(self) -> None:
        self._records: dict[tuple[str, str, str], Record] = {}
        self._lock = threading.RLock()

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep others from creating and deleting."""
        with self._lock:
            yield

    def create(
        self,
        kind: Kind,
        region: str,
        name: str,
        fields: Mapping[str, Any],
        *,
        tags: list[dict[str, str]] | None = None,
        path: str | None = None,
    ) -> Record:
        """Add a resource, with the members of its Describe answer besides name, ARN and times.

        `path` is what stands behind the slash of the ARN, if not the name.

        Raises:
            ServiceError: There is one of this name.
        """
        arn = f"arn:aws:sagemaker:{region}:{ACCOUNT}:{kind.resource}/{path or name}"
        stamped = {kind.name: name, kind.arn: arn, "CreationTime": now(), "LastModifiedTime": now()}
        record = Record(kind, region, name, arn, {**fields, **stamped}, as_tags(tags))
        with self._lock:
            if (kind.resource, region, name) in self._records:
                raise kind.existing(arn, name)
            self._records[kind.resource, region, name] = record
        return record

    def get(self, kind: Kind, region: str, name: str) -> Record:
        """Return a resource by its name or ARN.

        Raises:
            ServiceError: There is none.
        """
        found = self.find(kind, region, name)
        if found is None:
            arn = f"arn:aws:sagemaker:{region}:{ACCOUNT}:{kind.resource}/{name}"
            raise kind.missing(name if name.startswith("arn:") else arn, name)
        return found

    def find(self, kind: Kind, region: str, name: str) -> Record | None:
        if name.startswith("arn:"):
            return next((each for each in self.all(kind, region) if each.arn == name), None)
        with self._lock:
            return self._records.get((kind.resource, region, name))

    def all(self, kind: Kind | None = None, region: str | None = None) -> list[Record]:
        """Return the resources of a kind, or all, oldest first."""
        with self._lock:
            return [
                record
                for record in self._records.values()
                if kind in (None, record.kind) and region in (None, record.region)
            ]

    def by_arn(self, arn: str) -> Record | None:
        return next((record for record in self.all() if record.arn == arn), None)

    def delete(self, record: Record) -> None:
        with self._lock:
            self._records.pop((record.kind.resource, record.region, record.name), None)


def as_tags(tags: list[dict[str, str]] | None) -> dict[str, str]:
    return {tag["Key"]: tag["Value"] for tag in tags or []}


def page(
    records: list[Record], request: Mapping[str, Any], *, status_member: str | None = None
) -> tuple[list[Record], str | None]:
    """Filter, sort and cut a listing as the List operations do.

    Returns:
        The records of the page, and the token of the next one.
    """
    kept = [record for record in records if _matches(record, request, status_member)]
    kept.sort(key=lambda each: _sort_key(each, request.get("SortBy", "CreationTime")))
    if request.get("SortOrder", "Descending") == "Descending":
        kept.reverse()
    return cut(kept, request)


def cut(items: list[T], request: Mapping[str, Any]) -> tuple[list[T], str | None]:
    """Return the items of the page that is asked for, and the token of the next one."""
    start, size = int(request.get("NextToken") or 0), request.get("MaxResults", 100)
    following = start + size
    return items[start:following], str(following) if following < len(items) else None


def summaries(
    operation: str, kind: Kind, records: list[Record], request: Mapping[str, Any]
) -> dict[str, Any]:
    """Answer a List operation."""
    chosen, token = page(records, request, status_member=kind.status)
    fields = {kind.summary: [record.fields for record in chosen], "NextToken": token}
    return shapes.answer(operation, fields)


def _matches(record: Record, request: Mapping[str, Any], status_member: str | None) -> bool:
    text = request.get("NameContains") or request.get("PipelineNamePrefix") or ""
    created = record.fields["CreationTime"].timestamp()
    wanted = request.get("StatusEquals")
    return (
        text in record.name
        and (wanted is None or record.fields.get(status_member or "") == wanted)
        and created >= _seconds(request.get("CreationTimeAfter"), 0)
        and created <= _seconds(request.get("CreationTimeBefore"), float("inf"))
    )


def _seconds(value: float | str | None, default: float) -> float:
    """Read a time as botocore sends it: seconds since 1970, or ISO 8601."""
    if value is None:
        return default
    return datetime.fromisoformat(value).timestamp() if isinstance(value, str) else float(value)


def _sort_key(record: Record, by: str) -> Any:
    if by == "Name":
        return record.name
    if by == "Status":
        return record.status
    return record.fields["CreationTime"]
