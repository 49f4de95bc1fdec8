"""Training and processing jobs as the API knows them."""

import re
from typing import NamedTuple

from sagemaker_emulator.api.cloud import Call, Cloud, Fields, Handler, is_active
from sagemaker_emulator.api.errors import NotEmulated, ValidationException
from sagemaker_emulator.api.kinds import PROCESSING_JOB, TRAINING_JOB
from sagemaker_emulator.api.records import Kind, Record
from sagemaker_emulator.jobs.algorithms import with_metrics
from sagemaker_emulator.jobs.job import Job, stop_job
from sagemaker_emulator.jobs.processing import ProcessingJob
from sagemaker_emulator.jobs.storage import (
    keys_under,
    nothing_under,
)
from sagemaker_emulator.jobs.training import TrainingJob

_JOBS: dict[Kind, type[Job]] = {TRAINING_JOB: TrainingJob, PROCESSING_JOB: ProcessingJob}


def start_job(
    cloud: Cloud,
    region: str,
    kind: Kind,
    request: Fields,
    *,
    extra: Fields | None = None,
    by_job: bool = False,
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
    with cloud.records.locked():
        _require_quota(cloud, region, kind, request)
        record = cloud.records.create(
            kind, region, name, {**fields, **(extra or {})}, tags=request.get("Tags")
        )
        record.set_status("InProgress")
    cloud.run(_JOBS[kind](cloud, record, request, by_job=by_job).run)
    return record


def _require_sane(cloud: Cloud, region: str, kind: Kind, request: Fields) -> None:
    cloud.require_role(request["RoleArn"], region)
    if kind is PROCESSING_JOB:
        _require_files(request)
        return
    if "InstanceGroups" in request["ResourceConfig"]:
        raise NotEmulated("a heterogeneous cluster")
    _require_algorithm(request["AlgorithmSpecification"])
    for channel in request.get("InputDataConfig") or []:
        _require_channel(cloud, region, request["RoleArn"], channel)


def _require_files(request: Fields) -> None:
    for each in request.get("ProcessingInputs") or []:
        if each.get("S3Input", {}).get("S3DataType") != "S3Prefix":
            raise NotEmulated("input that is not an S3 prefix")
    for each in request.get("ProcessingOutputConfig", {}).get("Outputs", []):
        if "S3Output" not in each:
            raise NotEmulated("output that does not go to S3")


def _require_quota(cloud: Cloud, region: str, kind: Kind, request: Fields) -> None:
    machines = _machines(kind, request)
    active = sum(
        _machines(kind, record.fields).number
        for record in cloud.records.all(kind, region)
        if is_active(record) and _machines(kind, record.fields).type == machines.type
    )
    use = "training job" if kind is TRAINING_JOB else "processing job"
    cloud.require_quota(machines.type, use, machines.number, active)


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


class _Machines(NamedTuple):
    type: str
    number: int


def _machines(kind: Kind, request: Fields) -> _Machines:
    """Return what a job runs on, from its request or its record."""
    if kind is TRAINING_JOB:
        resources = request["ResourceConfig"]
    else:
        resources = request["ProcessingResources"]["ClusterConfig"]
    return _Machines(resources.get("InstanceType", ""), int(resources.get("InstanceCount", 1)))


def _create(kind: Kind) -> Handler:
    def create(cloud: Cloud, call: Call) -> Fields:
        job = start_job(cloud, call.region, kind, call.request, by_job=call.by_job)
        return {kind.arn: job.arn}

    return create


def _stop(kind: Kind) -> Handler:
    def stop(cloud: Cloud, call: Call) -> Fields:
        stop_job(cloud.records.get(kind, call.region, call.request[kind.name]))
        return {}

    return stop


OPERATIONS: dict[str, Handler] = {
    **{f"Create{kind.member}": _create(kind) for kind in _JOBS},
    **{f"Stop{kind.member}": _stop(kind) for kind in _JOBS},
}
