"""Faults on request, and a record of every call that was made."""

import threading
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from sagemaker_emulator.api.errors import ServiceError


@dataclass(frozen=True)
class RecordedCall:
    """A call: the operation as botocore names it, on what, and by whom.

    `service` is the name in the signature. `caller` is the ARN of the role for a job, else the
    access key. `error` is the code of a refusal by SageMaker or by a fault, else empty.
    """

    service: str
    operation: str
    resource: str
    caller: str
    error: str


@dataclass
class Fault:
    """What goes wrong when an operation is called.

    Args:
        operation: A name, or `*` for all of the service.
        caller: Only calls by this access key, or this role of a job; by anyone if empty.
        nth: Only this call of those that fit, counted from 1; every one if none.
        for_s: Ends after this time; never if none.
        delay_s: How long the call waits first.
        code: The error that it then answers; none for a delay alone.
    """

    service: str
    operation: str = "*"
    caller: str = ""
    nth: int | None = None
    for_s: float | None = None
    delay_s: float = 0
    code: str = ""
    message: str = ""
    status: int = 400
    seen: int = 0
    since: float = field(default_factory=time.monotonic)

    def strikes(self, service: str, operation: str, caller: str) -> bool:
        """Count a call, and say whether it is to go wrong."""
        if service != self.service or self.operation not in ("*", operation):
            return False
        if self.caller not in ("", caller):
            return False
        if self.for_s is not None and time.monotonic() - self.since > self.for_s:
            return False
        self.seen += 1
        return self.nth in (None, self.seen)


class Faults:
    """The faults that are asked for."""

    def __init__(self) -> None:
        self._faults: list[Fault] = []
        self._lock = threading.Lock()

    def add(self, fault: Fault) -> None:
        with self._lock:
            self._faults.append(fault)

    def clear(self) -> None:
        with self._lock:
            self._faults.clear()

    def strike(self, service: str, operation: str, caller: str) -> None:
        """Let a call wait or fail if it is asked for.

        Raises:
            ServiceError: The call is to fail.
        """
        with self._lock:
            striking = [
                fault for fault in self._faults if fault.strikes(service, operation, caller)
            ]
        for fault in striking:
            time.sleep(fault.delay_s)
            if fault.code:
                raise ServiceError(fault.code, fault.message, status=fault.status)


class Recorder:
    """Remembers calls, for tests of least privilege."""

    def __init__(self) -> None:
        self._calls: list[RecordedCall] = []
        self._lock = threading.Lock()

    def add(self, call: RecordedCall) -> None:
        with self._lock:
            self._calls.append(call)

    def calls(self) -> list[Mapping[str, Any]]:
        with self._lock:
            return [asdict(call) for call in self._calls]
