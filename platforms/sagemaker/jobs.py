"""Start a job once, find it again by its name, wait for its end, and stop it if nobody waits.

A name says what a job computes. Whoever asks for the same finds the job that is there, also after
the process that had started it was killed; only one that failed or was stopped is started anew.
"""

import itertools
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

from bank_marketing.errors import PlatformError
from platforms.patience import Patience, patiently
from platforms.sagemaker.session import aws_errors, error_code

Request = Mapping[str, Any]
Described = Mapping[str, Any]

_ACTIVE = {"InProgress", "Stopping"}
_MISSING = {"ValidationException", "ResourceNotFound"}

DEFAULT_PATIENCE = Patience(first_pause=2, longest_pause=20, longest_outage=900)


class Kind(NamedTuple):
    """A kind of job: what the API and we call it, and how long its names may be."""

    member: str
    operation: str
    words: str
    longest_name: int

    @property
    def longest_stem(self) -> int:
        """How long a name may be without the number at its end."""
        return self.longest_name - len("-999")


TRAINING = Kind("TrainingJob", "training_job", "training job", 63)
TUNING = Kind("HyperParameterTuningJob", "hyper_parameter_tuning_job", "tuning job", 32)


@dataclass(frozen=True)
class Jobs:
    """The jobs of one kind, through a client of SageMaker; `began` hears the ARN of each."""

    client: Any
    kind: Kind
    patience: Patience
    began: Callable[[str], None]

    def run(
        self, stem: str, request: Request, told: Callable[[Described], None] = lambda _: None
    ) -> Described:
        """Run what is asked for, or find it running or done; return the description of its end.

        Whatever ends the waiting stops the job, SIGTERM too. Throttling and a lost connection are
        waited out.

        Args:
            stem: Of the name: `stem-1`, or the next number after jobs that failed.
            request: The members of the Create request but the name.
            told: Called with each description.

        Raises:
            PlatformError: AWS refused, or did not answer for `patience.longest_outage`.
            SystemExit: SIGTERM came.
        """
        name, described = self._find(stem)
        with _sigterm_raises(), self._stopped_if_left(name):
            if described is None:
                self._create(name, request)
                described = self.describe(name)
            self.began(described[f"{self.kind.member}Arn"])
            return self._wait(name, told)

    def describe(self, name: str) -> Described:
        """Describe a job.

        Raises:
            PlatformError: There is none, or AWS did not answer for `patience.longest_outage`.
        """
        described: Described = self.call("describe", name)
        return described

    def call(self, verb: str, name: str, **members: Any) -> Any:
        """Call the API operation `verb` of this kind on a job, waiting out what will pass.

        Raises:
            PlatformError: AWS refused, or did not answer for `patience.longest_outage`.
        """
        return patiently(partial(self._call, verb, name, **members), self.patience)

    def _call(self, verb: str, name: str, **members: Any) -> Any:
        operation = getattr(self.client, f"{verb}_{self.kind.operation}")
        with aws_errors(f"{self.kind.words} {name!r}"):
            return operation(**{f"{self.kind.member}Name": name}, **members)

    def _find(self, stem: str) -> tuple[str, Described | None]:
        """Return the first name whose job is free, runs or succeeded, and its description."""
        for number in itertools.count(1):
            name = f"{stem}-{number}"
            try:
                described = self.describe(name)
            except PlatformError as error:
                if error_code(error) not in _MISSING:
                    raise
                return name, None
            if described[f"{self.kind.member}Status"] in ("InProgress", "Completed"):
                return name, described
        raise AssertionError  # never: there is always a next number

    def _create(self, name: str, request: Request) -> None:
        try:
            self.call("create", name, **request)
        except PlatformError as error:
            if error_code(error) != "ResourceInUse":  # ours: the first answer was lost
                raise

    def _wait(self, name: str, told: Callable[[Described], None]) -> Described:
        pauses = self.patience.pauses()
        while True:
            described = self.describe(name)
            told(described)
            if described[f"{self.kind.member}Status"] not in _ACTIVE:
                return described
            time.sleep(next(pauses))

    @contextmanager
    def _stopped_if_left(self, name: str) -> Iterator[None]:
        done = False
        try:
            yield
            done = True
        finally:
            if not done:
                self._stop(name)

    def _stop(self, name: str) -> None:
        try:
            self._call("stop", name)
        except PlatformError as error:
            if error_code(error) not in _MISSING:  # it has ended, or was never created
                raise PlatformError(f"{error}; it may still run, and cost") from error


@contextmanager
def _sigterm_raises() -> Iterator[None]:
    """Let SIGTERM raise SystemExit, so that blocks end in order; only a main thread can."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, _exit)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _exit(number: int, _: object) -> None:
    raise SystemExit(128 + number)
