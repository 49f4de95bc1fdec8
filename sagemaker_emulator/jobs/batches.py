"""How a transform job cuts files into requests, and puts the answers together."""

import csv
import io
import re
from collections.abc import Callable, Iterator
from typing import NamedTuple, Self

from sagemaker_emulator.api.cloud import Fields
from sagemaker_emulator.api.errors import JobError, NotEmulated

_MB = 2**20
_STRATEGIES = {"MULTI_RECORD": "MultiRecord", "SINGLE_RECORD": "SingleRecord"}

Columns = Callable[[list[str]], list[str]]


class Plan(NamedTuple):
    """How files are cut into requests; `limit` is the size of a request, 0 for any."""

    by_line: bool
    many: bool
    limit: int
    concurrent: int

    @classmethod
    def of(cls, request: Fields, parameters: Fields) -> Self:
        """Read a plan from a job's request, and for the rest from what its container advises."""
        strategy = parameters.get("BatchStrategy", "MULTI_RECORD")
        advised = {**parameters, "BatchStrategy": _STRATEGIES.get(strategy, strategy)}
        asked = {**advised, **request}
        return cls(
            by_line=request["TransformInput"].get("SplitType", "None") == "Line",
            many=asked["BatchStrategy"] == "MultiRecord",
            limit=int(asked.get("MaxPayloadInMB", 6)) * _MB,
            concurrent=int(asked.get("MaxConcurrentTransforms") or 1),
        )

    def batches(self, body: bytes) -> Iterator[list[bytes]]:
        """Cut a file into the records of each request.

        Raises:
            JobError: A record is larger than a request may be.
        """
        records = [body]
        if self.by_line:
            lines = (line.rstrip(b"\r") for line in body.split(b"\n"))
            records = [line for line in lines if line]
        batch: list[bytes] = []
        size = 0
        for record in records:
            if self.limit and len(record) > self.limit:
                raise JobError(
                    f"ClientError: a record of {len(record)} bytes exceeds MaxPayloadInMB, "
                    f"{self.limit // _MB}"
                )
            size += len(record) + 1
            if batch and (not self.many or (self.limit and size > self.limit)):
                yield batch
                batch, size = [], len(record) + 1
            batch.append(record)
        if batch:
            yield batch


class Processing(NamedTuple):
    """What is done to the records of a request and to their answers.

    Args:
        sent_columns: What the model gets; none for all, untouched.
        kept_columns: What is written; none for all, untouched.
        joined: Whether an answer is written behind its record.
        by_line: Whether an answer ends with the end of a line.
    """

    sent_columns: Columns | None
    kept_columns: Columns | None
    joined: bool
    by_line: bool

    @classmethod
    def of(cls, request: Fields) -> Self:
        processing = request.get("DataProcessing") or {}
        return cls(
            sent_columns=columns(processing.get("InputFilter", "$")),
            kept_columns=columns(processing.get("OutputFilter", "$")),
            joined=processing.get("JoinSource") == "Input",
            by_line=request["TransformOutput"].get("AssembleWith") == "Line",
        )

    def sent(self, records: list[bytes]) -> bytes:
        """Return the body of a request."""
        if self.sent_columns is None:
            return b"\n".join(records)
        return b"\n".join(_reshape(record, self.sent_columns) for record in records)

    def written(self, records: list[bytes], body: bytes) -> bytes:
        """Return what is written for an answer.

        Raises:
            ValueError: It has not one line for each record.
        """
        if not self.joined and self.kept_columns is None:
            return body + b"\n" if self.by_line and not body.endswith(b"\n") else body
        answers = body.splitlines()
        if len(answers) != len(records):
            raise ValueError(f"{len(records)} records got {len(answers)} answers")
        lines = answers
        if self.joined:
            lines = [b",".join(pair) for pair in zip(records, answers, strict=True)]
        if self.kept_columns is not None:
            lines = [_reshape(line, self.kept_columns) for line in lines]
        return b"".join(line + b"\n" for line in lines)


def columns(path: str) -> Columns | None:
    """Read a JSONPath that chooses columns: `$[0]`, `$[0,2]`, `$[1:]`, `$[:-1]`; none for `$`.

    Raises:
        NotEmulated: It is of another form.
    """
    if path == "$":
        return None
    found = re.fullmatch(r"\$\[(?:(-?\d*):(-?\d*)|(-?\d+(?:,-?\d+)*))\]", path)
    if found is None:
        raise NotEmulated(f"the filter {path!r}")
    first, last, chosen = found.groups()
    if chosen:
        numbers = [int(number) for number in chosen.split(",")]
        return lambda fields: [fields[number] for number in numbers]
    bounds = slice(*(int(bound) if bound else None for bound in (first, last)))
    return lambda fields: fields[bounds]


def _reshape(line: bytes, choose: Columns) -> bytes:
    """Keep columns of a line of csv."""
    fields = next(csv.reader([line.decode()]), [])
    written = io.StringIO()
    csv.writer(written, lineterminator="").writerow(choose(fields))
    return written.getvalue().encode()
