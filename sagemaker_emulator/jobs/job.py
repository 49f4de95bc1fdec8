"""A job from its request to its end: what Amazon does around a container, done here."""

import json
import signal
import time
import traceback
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from sagemaker_emulator.api.cloud import Cloud, Fields
from sagemaker_emulator.api.errors import JobError, ValidationException
from sagemaker_emulator.api.records import Record
from sagemaker_emulator.images.containers import Command, Container
from sagemaker_emulator.jobs.storage import (
    LogStreams,
    inside,
    tail,
)

_POLL_S = 0.02
_LONGEST_REASON = 1024
_DAY_S = 86_400
_KILLED = (
    "ClientError: Please use an instance type with more memory, "
    "or reduce the size of job data processed on an instance."
)


class Machine(NamedTuple):
    """One instance of a job: its host name, its folder, and what /opt/ml is there."""

    host: str
    folder: Path

    @property
    def ml(self) -> Path:
        return self.folder / "ml"

    def path(self, seen: str) -> Path:
        """Return where a path that the container sees lies here.

        Raises:
            JobError: It lies outside of /opt/ml.
        """
        if not Path(seen).is_relative_to("/opt/ml"):
            raise JobError(f"ClientError: {seen} lies outside of /opt/ml, which is not emulated")
        return inside(self.ml, Path(seen).relative_to("/opt/ml"))


class Outcome(NamedTuple):
    """How a job ended; `reason` says why it failed or was stopped by Amazon."""

    status: str
    secondary: str
    reason: str | None = None


class Job(ABC):
    """A job from its request to its end, in a thread of its own."""

    log_group: str

    def __init__(self, cloud: Cloud, record: Record, request: Fields, *, by_job: bool) -> None:
        self.cloud = cloud
        self.slots = cloud.slots_of_jobs if by_job else cloud.slots
        self.record = record
        self.request = request
        hosts = [f"algo-{number}" for number in range(1, self.instances + 1)]
        folder = cloud.work / "jobs" / record.region / record.kind.resource / record.name
        self.machines = [Machine(host, folder / host) for host in hosts]
        self.addresses = cloud.containers.addresses(hosts)

    @property
    @abstractmethod
    def instances(self) -> int: ...

    @property
    @abstractmethod
    def image(self) -> str: ...

    @property
    @abstractmethod
    def argv(self) -> Sequence[str]: ...

    @abstractmethod
    def prepare(self, machine: Machine) -> None:
        """Lay out what the container finds."""

    @abstractmethod
    def deliver(self, outcome: Outcome) -> None:
        """Bring away what the containers left."""

    @abstractmethod
    def failure(self, machine: Machine) -> str:
        """Return what the container said of its failure, if anything."""

    @abstractmethod
    def heard(self, line: str) -> None:
        """Take note of a line that a container wrote."""

    @abstractmethod
    def phase(self, secondary: str, message: str) -> None:
        """Show how far the job is, in the words of a training job's secondary status."""

    def run(self) -> None:
        """Run the job to its end; nothing is raised."""
        try:
            self.finish(self._outcome())
        except Exception as error:  # the outermost loop of a job: a job must not stay InProgress
            traceback.print_exc()
            Job.finish(self, Outcome("Failed", "Failed", f"InternalServerError: {error}"))

    def finish(self, outcome: Outcome) -> None:
        """Show how the job ended."""
        self.cloud.running.pop(self.record.arn, None)
        fields = {"FailureReason": outcome.reason[:_LONGEST_REASON]} if outcome.reason else {}
        self.record.end(outcome.status, **fields)

    def _outcome(self) -> Outcome:
        try:
            return self._run_in_slot()
        except JobError as error:
            return Outcome("Failed", "Failed", str(error))

    def _run_in_slot(self) -> Outcome:
        self.phase("Starting", "Preparing the instances")
        while not self.slots.acquire(timeout=_POLL_S):
            if self.record.stopping.is_set():
                return Outcome("Stopped", "Stopped")
        try:
            return self._run()
        finally:
            self.slots.release()

    def _run(self) -> Outcome:
        environment = self.cloud.images.environment(self.image)
        self.phase("Downloading", "Downloading input data")
        for machine in self.machines:
            for name in ("ml", "app"):
                (machine.folder / name).mkdir(parents=True, exist_ok=True)
            self.prepare(machine)
        if self.record.stopping.is_set():
            return Outcome("Stopped", "Stopped")

        self.phase("Training", "Image download completed. The containers are running.")
        role = self.request.get("RoleArn")
        variables = self.cloud.container_variables(self.record.region, role) | self.variables()
        with self._streams():
            containers = [
                self.cloud.containers.start(environment, self._command(machine, variables))
                for machine in self.machines
            ]
            self.cloud.running[self.record.arn] = containers
            outcome = self._watch(containers)
        self.phase("Uploading", "Uploading what the containers left")
        self.deliver(outcome)
        return outcome

    def variables(self) -> dict[str, str]:
        """Return the environment variables that the job gives to its containers."""
        return {name: str(value) for name, value in self.request.get("Environment", {}).items()}

    def _command(self, machine: Machine, variables: Mapping[str, str]) -> Command:
        others = {host: self.addresses[host] for host in self.addresses if host != machine.host}
        hosts = {machine.host: self.addresses[machine.host], **others}
        return Command(self.argv, variables, machine.folder, hosts)

    def _streams(self) -> LogStreams:
        stamp = int(time.time() * 1000)
        files = {
            f"{self.record.name}/{machine.host}-{stamp}": machine.folder / "log"
            for machine in self.machines
        }
        logs = self.cloud.client("logs", self.record.region)
        return LogStreams(logs, self.log_group, files, self.heard)

    def _watch(self, containers: Sequence[Container]) -> Outcome:
        """Wait until the containers have ended, or should."""
        limit = self.request.get("StoppingCondition", {}).get("MaxRuntimeInSeconds", _DAY_S)
        end = time.monotonic() + limit
        while True:
            codes = [container.exit_code for container in containers]
            failed = next((number for number, code in enumerate(codes) if code), None)
            if self.record.stopping.is_set():
                self._end(containers)
                return Outcome("Stopped", "Stopped")
            if failed is not None:
                self._end(containers, grace_s=0)
                return self._failed(self.machines[failed], codes[failed])
            if all(code == 0 for code in codes):
                return Outcome("Completed", "Completed")
            if time.monotonic() > end:
                self._end(containers)
                return Outcome(
                    "Stopped",
                    "MaxRuntimeExceeded",
                    f"The job ran longer than MaxRuntimeInSeconds, {limit} s, and was stopped.",
                )
            if codes[0] is None:
                containers[0].wait(_POLL_S)
            else:
                time.sleep(_POLL_S)

    def _end(self, containers: Sequence[Container], *, grace_s: float | None = None) -> None:
        """Ask the containers to end, then make them."""
        grace_s = self.cloud.stop_grace_s if grace_s is None else grace_s
        for container in containers:
            container.kill(signal.SIGTERM)
        end = time.monotonic() + grace_s
        for container in containers:
            if container.wait(max(0, end - time.monotonic())) is None:
                container.kill(signal.SIGKILL)
                container.wait()

    def _failed(self, machine: Machine, code: int | None) -> Outcome:
        if code == 128 + signal.SIGKILL:
            return Outcome("Failed", "Failed", f"{_KILLED}, exit code: {code}")
        said = self.failure(machine) or tail(machine.folder / "log")
        return Outcome("Failed", "Failed", f"AlgorithmError: {said}, exit code: {code}")


def stop_job(record: Record) -> None:
    """Ask a job to end.

    Raises:
        ValidationException: It has ended.
    """
    if not record.ask_to_stop():
        raise ValidationException(
            f"The request was rejected because the {record.kind.resource} is in status "
            f"{record.status}."
        )


def write_json(path: Path, value: object) -> None:
    path.write_text(json.dumps(value, default=str))
