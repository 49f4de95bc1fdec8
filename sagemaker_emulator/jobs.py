"""Training and processing jobs: what Amazon does around a container, done here."""

import json
import math
import re
import signal
import time
import traceback
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

from sagemaker_emulator.algorithms import with_metrics
from sagemaker_emulator.cloud import Call, Cloud, Fields, Handler, is_active
from sagemaker_emulator.containers import Command, Container
from sagemaker_emulator.errors import JobError, NotEmulated, ValidationException
from sagemaker_emulator.kinds import PROCESSING_JOB, TRAINING_JOB
from sagemaker_emulator.records import Kind, Record, now
from sagemaker_emulator.storage import (
    LogStreams,
    Metrics,
    download,
    inside,
    keys_under,
    nothing_under,
    packed,
    tail,
    upload,
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

    def __init__(self, cloud: Cloud, record: Record, request: Fields) -> None:
        self.cloud = cloud
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
        while not self.cloud.slots.acquire(timeout=_POLL_S):
            if self.record.stopping.is_set():
                return Outcome("Stopped", "Stopped")
        try:
            return self._run()
        finally:
            self.cloud.slots.release()

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
            containers[0].wait(_POLL_S) if codes[0] is None else time.sleep(_POLL_S)

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


class TrainingJob(Job):
    """A training job; the container's command is `train` unless the request has another."""

    log_group = "/aws/sagemaker/TrainingJobs"

    def __init__(self, cloud: Cloud, record: Record, request: Fields) -> None:
        super().__init__(cloud, record, request)
        definitions = request["AlgorithmSpecification"].get("MetricDefinitions") or []
        self._metrics = Metrics(definitions)
        self._started: datetime | None = None

    @property
    def instances(self) -> int:
        return int(self.request["ResourceConfig"].get("InstanceCount", 1))

    @property
    def image(self) -> str:
        return str(self.request["AlgorithmSpecification"]["TrainingImage"])

    @property
    def argv(self) -> Sequence[str]:
        specification = self.request["AlgorithmSpecification"]
        entry = specification.get("ContainerEntrypoint") or ["train"]
        return [*entry, *(specification.get("ContainerArguments") or [])]

    def variables(self) -> dict[str, str]:
        return {
            "TRAINING_JOB_NAME": self.record.name,
            "TRAINING_JOB_ARN": self.record.arn,
            **super().variables(),
        }

    def heard(self, line: str) -> None:
        self._metrics.read(line)

    def phase(self, secondary: str, message: str) -> None:
        transitions = [dict(each) for each in self.record.fields["SecondaryStatusTransitions"]]
        if transitions:
            transitions[-1]["EndTime"] = now()
        transitions.append({"Status": secondary, "StartTime": now(), "StatusMessage": message})
        fields: dict[str, Any] = {}
        if secondary == "Downloading":
            self._started = now()
            fields["TrainingStartTime"] = self._started
        self.record.update(
            SecondaryStatus=secondary, SecondaryStatusTransitions=transitions, **fields
        )

    def prepare(self, machine: Machine) -> None:
        channels = self.request.get("InputDataConfig") or []
        for name in ("model", "output/data", "input/data", "input/config"):
            (machine.ml / name).mkdir(parents=True, exist_ok=True)
        config = machine.ml / "input" / "config"
        _write(config / "hyperparameters.json", dict(self.request.get("HyperParameters") or {}))
        _write(config / "resourceconfig.json", self._resource_config(machine))
        _write(config / "inputdataconfig.json", {c["ChannelName"]: _channel(c) for c in channels})
        for channel in channels:
            source = channel["DataSource"]["S3DataSource"]
            folder = machine.ml / "input" / "data" / channel["ChannelName"]
            self._fetch(source, folder, self.machines.index(machine))
        checkpoints = self.request.get("CheckpointConfig")
        if checkpoints:
            folder = machine.path(checkpoints.get("LocalPath", "/opt/ml/checkpoints"))
            folder.mkdir(parents=True, exist_ok=True)
            if keys_under(self.cloud, self.record.region, checkpoints["S3Uri"]):
                download(self.cloud, self.record.region, checkpoints["S3Uri"], folder)

    def deliver(self, outcome: Outcome) -> None:
        region, first = self.record.region, self.machines[0]
        base = f"{self.request['OutputDataConfig']['S3OutputPath'].rstrip('/')}/{self.record.name}"
        if outcome.status != "Failed" and any((first.ml / "model").iterdir()):
            archive = packed(first.ml / "model", first.folder / "model.tar.gz")
            uri = f"{base}/output/model.tar.gz"
            upload(self.cloud, region, archive, uri)
            self.record.update(ModelArtifacts={"S3ModelArtifacts": uri})
        if any((first.ml / "output" / "data").iterdir()):
            archive = packed(first.ml / "output" / "data", first.folder / "output.tar.gz")
            upload(self.cloud, region, archive, f"{base}/output/output.tar.gz")
        checkpoints = self.request.get("CheckpointConfig")
        if checkpoints:
            folder = first.path(checkpoints.get("LocalPath", "/opt/ml/checkpoints"))
            upload(self.cloud, region, folder, checkpoints["S3Uri"])

    def failure(self, machine: Machine) -> str:
        path = machine.ml / "output" / "failure"
        return path.read_text(errors="replace").strip() if path.exists() else ""

    def finish(self, outcome: Outcome) -> None:
        self._publish_metrics()
        end = now()
        fields: dict[str, Any] = {"TrainingEndTime": end}
        if self._started:
            seconds = math.ceil((end - self._started).total_seconds())
            fields |= {"TrainingTimeInSeconds": seconds, "BillableTimeInSeconds": seconds}
        self.phase(outcome.secondary, outcome.reason or f"Training job {outcome.status.lower()}")
        self.record.update(**fields)
        super().finish(outcome)

    def _fetch(self, source: Fields, folder: Path, number: int) -> None:
        keys = keys_under(self.cloud, self.record.region, source["S3Uri"])
        if source.get("S3DataDistributionType") == "ShardedByS3Key":
            keys = keys[number :: self.instances]
            if not keys:
                folder.mkdir(parents=True)
                return
        download(self.cloud, self.record.region, source["S3Uri"], folder, keys=keys)

    def _resource_config(self, machine: Machine) -> Fields:
        config = self.request["ResourceConfig"]
        hosts = [each.host for each in self.machines]
        group = {"instance_type": config.get("InstanceType"), "hosts": hosts}
        return {
            "current_host": machine.host,
            "hosts": hosts,
            "network_interface_name": "lo",
            "current_instance_type": config.get("InstanceType"),
            "current_group_name": "homogeneousCluster",
            "instance_groups": [{"instance_group_name": "homogeneousCluster", **group}],
        }

    def _publish_metrics(self) -> None:
        values = {name: values for name, values in self._metrics.values.items() if values}
        self.record.update(
            FinalMetricDataList=[
                {"MetricName": name, "Value": seen[-1][1], "Timestamp": now()}
                for name, seen in values.items()
            ]
        )
        data = [
            {
                "MetricName": name,
                "Dimensions": [{"Name": "TrainingJobName", "Value": self.record.name}],
                "Timestamp": time_seen,
                "Value": value,
            }
            for name, seen in values.items()
            for time_seen, value in seen
        ]
        cloudwatch = self.cloud.client("cloudwatch", self.record.region)
        for start in range(0, len(data), 500):
            cloudwatch.put_metric_data(
                Namespace=self.log_group, MetricData=data[start : start + 500]
            )


class ProcessingJob(Job):
    """A processing job: any command, with folders that come from S3 and go there."""

    log_group = "/aws/sagemaker/ProcessingJobs"

    @property
    def instances(self) -> int:
        return int(self.request["ProcessingResources"]["ClusterConfig"]["InstanceCount"])

    @property
    def image(self) -> str:
        return str(self.request["AppSpecification"]["ImageUri"])

    @property
    def argv(self) -> Sequence[str]:
        specification = self.request["AppSpecification"]
        entry = specification.get("ContainerEntrypoint")
        if not entry:
            raise JobError(
                "ClientError: AppSpecification has no ContainerEntrypoint, and an image's own "
                "entry point is not emulated"
            )
        return [*entry, *(specification.get("ContainerArguments") or [])]

    def heard(self, line: str) -> None:
        """Processing jobs have no metrics."""

    def phase(self, secondary: str, message: str) -> None:  # noqa: ARG002  # shown by training jobs
        if secondary == "Downloading":
            self.record.update(ProcessingStartTime=now())

    def prepare(self, machine: Machine) -> None:
        region, number = self.record.region, self.machines.index(machine)
        config = machine.ml / "config"
        config.mkdir(parents=True, exist_ok=True)
        described = {
            "ProcessingJobArn": self.record.arn,
            "ProcessingJobName": self.record.name,
            **self.request,
        }
        _write(config / "processingjobconfig.json", described)
        hosts = [each.host for each in self.machines]
        _write(config / "resourceconfig.json", {"current_host": machine.host, "hosts": hosts})
        for each in self.request.get("ProcessingInputs") or []:
            source = each["S3Input"]
            keys = keys_under(self.cloud, region, source["S3Uri"])
            if source.get("S3DataDistributionType") == "ShardedByS3Key" and keys:
                keys = keys[number :: self.instances]
            download(
                self.cloud, region, source["S3Uri"], machine.path(source["LocalPath"]), keys=keys
            )
        for output in self._outputs():
            machine.path(output["S3Output"]["LocalPath"]).mkdir(parents=True, exist_ok=True)

    def deliver(self, outcome: Outcome) -> None:
        if outcome.status == "Failed":
            return
        for output in self._outputs():
            target = output["S3Output"]
            for machine in self.machines:
                folder = machine.path(target["LocalPath"])
                upload(self.cloud, self.record.region, folder, target["S3Uri"])

    def failure(self, machine: Machine) -> str:
        path = machine.ml / "output" / "message"
        return path.read_text(errors="replace").strip() if path.exists() else ""

    def finish(self, outcome: Outcome) -> None:
        self.record.update(ProcessingEndTime=now())
        super().finish(outcome)

    def _outputs(self) -> Sequence[Fields]:
        outputs: Sequence[Fields] = self.request.get("ProcessingOutputConfig", {}).get(
            "Outputs", []
        )
        return outputs


_JOBS: dict[Kind, type[Job]] = {TRAINING_JOB: TrainingJob, PROCESSING_JOB: ProcessingJob}


def start_job(
    cloud: Cloud, region: str, kind: Kind, request: Fields, extra: Fields | None = None
) -> Record:
    """Create a job and let it run; `extra` are further members of its Describe answer.

    Raises:
        ServiceError: Amazon would refuse the request.
    """
    _require_sane(cloud, region, kind, request)
    if kind is TRAINING_JOB:
        specification = with_metrics(request["AlgorithmSpecification"])
        request = {**request, "AlgorithmSpecification": specification}
    fields = {name: value for name, value in request.items() if name not in ("Tags", kind.name)} | {
        "SecondaryStatusTransitions": []
    }
    name = str(request[kind.name])
    record = cloud.records.create(
        kind, region, name, {**fields, **(extra or {})}, tags=request.get("Tags")
    )
    record.set_status("InProgress")
    cloud.run(_JOBS[kind](cloud, record, request).run)
    return record


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


def _require_sane(cloud: Cloud, region: str, kind: Kind, request: Fields) -> None:
    cloud.require_role(request["RoleArn"], region)
    if kind is TRAINING_JOB:
        resources, use = request["ResourceConfig"], "training job"
        if "InstanceGroups" in resources:
            raise NotEmulated("a heterogeneous cluster")
        _require_algorithm(request["AlgorithmSpecification"])
        for channel in request.get("InputDataConfig") or []:
            _require_channel(cloud, region, request["RoleArn"], channel)
    else:
        resources, use = request["ProcessingResources"]["ClusterConfig"], "processing job"
        for each in request.get("ProcessingInputs") or []:
            if each.get("S3Input", {}).get("S3DataType") != "S3Prefix":
                raise NotEmulated("input that is not an S3 prefix")
    instance_type = resources.get("InstanceType", "")
    active = sum(
        _machines(record, instance_type)
        for record in cloud.records.all(kind, region)
        if is_active(record)
    )
    cloud.require_quota(instance_type, use, int(resources.get("InstanceCount", 1)), active)


def _require_algorithm(specification: Fields) -> None:
    if specification.get("TrainingInputMode") == "Pipe":
        raise NotEmulated("the input mode Pipe")
    for each in specification.get("MetricDefinitions") or []:
        try:
            re.compile(each["Regex"])
        except re.error as error:
            raise ValidationException(
                f"The regular expression {each['Regex']!r} of metric {each['Name']!r} is invalid: "
                f"{error}"
            ) from error


def _require_channel(cloud: Cloud, region: str, role: str, channel: Fields) -> None:
    source = channel["DataSource"].get("S3DataSource")
    if source is None or source.get("S3DataType") != "S3Prefix":
        raise NotEmulated("input that is not an S3 prefix")
    if channel.get("InputMode") == "Pipe":
        raise NotEmulated("the input mode Pipe")
    if not keys_under(cloud, region, source["S3Uri"]):
        raise ValidationException(nothing_under(source["S3Uri"], region, role))


def _machines(record: Record, instance_type: str) -> int:
    """Return how many machines of a type a job has."""
    if record.kind is TRAINING_JOB:
        resources = record.fields["ResourceConfig"]
    else:
        resources = record.fields["ProcessingResources"]["ClusterConfig"]
    same = resources.get("InstanceType", "") == instance_type
    return int(resources.get("InstanceCount", 1)) if same else 0


def _channel(channel: Fields) -> Fields:
    return {
        "TrainingInputMode": channel.get("InputMode", "File"),
        "ContentType": channel.get("ContentType"),
        "S3DistributionType": channel["DataSource"]["S3DataSource"].get(
            "S3DataDistributionType", "FullyReplicated"
        ),
        "RecordWrapperType": channel.get("RecordWrapperType", "None"),
    }


def _write(path: Path, value: object) -> None:
    path.write_text(json.dumps(value, default=str))


def _create(kind: Kind) -> Handler:
    return lambda cloud, call: {kind.arn: start_job(cloud, call.region, kind, call.request).arn}


def _stop(kind: Kind) -> Handler:
    def stop(cloud: Cloud, call: Call) -> Fields:
        stop_job(cloud.records.get(kind, call.region, call.request[kind.name]))
        return {}

    return stop


OPERATIONS: dict[str, Handler] = {
    **{f"Create{kind.member}": _create(kind) for kind in _JOBS},
    **{f"Stop{kind.member}": _stop(kind) for kind in _JOBS},
}
