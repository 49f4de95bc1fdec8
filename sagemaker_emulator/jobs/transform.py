"""Transform jobs: a model's container answers for whole files, in batches."""

import csv
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from sagemaker_emulator.api.cloud import Call, Cloud, Fields, Handler, is_active
from sagemaker_emulator.api.errors import JobError, NotEmulated, ValidationException
from sagemaker_emulator.api.kinds import MODEL, TRANSFORM_JOB
from sagemaker_emulator.api.records import Record, now
from sagemaker_emulator.hosting.serving import Model, ModelServer, NoAnswerError
from sagemaker_emulator.images.containers import Container
from sagemaker_emulator.jobs.batches import Plan, Processing, columns
from sagemaker_emulator.jobs.job import Job, Machine, Outcome, stop_job
from sagemaker_emulator.jobs.storage import (
    below,
    inside,
    keys_under,
    nothing_under,
    split_uri,
    upload,
)

_LARGEST_MB = 100  # MaxConcurrentTransforms times MaxPayloadInMB: API reference
_STARTUP_TIMEOUT_S = 600
_RETRIES = 3  # API reference of ModelClientConfig, as is the time
_TIMEOUT_S = 600
_STOPPED = Outcome("Stopped", "Stopped")


class TransformJob(Job):
    """A transform job; one container works for all of its instances."""

    log_group = "/aws/sagemaker/TransformJobs"

    def __init__(
        self, cloud: Cloud, record: Record, request: Fields, model: Model, *, by_job: bool
    ) -> None:
        self._model = model
        self._server = ModelServer()
        super().__init__(cloud, record, {**request, "RoleArn": model.role}, by_job=by_job)
        self._processing = Processing.of(request)
        client = request.get("ModelClientConfig") or {}
        self._tries = 1 + client.get("InvocationsMaxRetries", _RETRIES)
        self._timeout_s = client.get("InvocationsTimeoutInSeconds", _TIMEOUT_S)
        types = {
            "Content-Type": request["TransformInput"].get("ContentType"),
            "Accept": request["TransformOutput"].get("Accept"),
        }
        self._headers = {name: value for name, value in types.items() if value}

    @property
    def instances(self) -> int:
        return 1

    @property
    def image(self) -> str:
        return self._model.image

    @property
    def argv(self) -> Sequence[str]:
        return self.cloud.images.environment(self.image).serve

    def variables(self) -> dict[str, str]:
        return {
            "SAGEMAKER_BIND_TO_PORT": str(self._server.port),
            "SAGEMAKER_BATCH": "true",
            **self._model.variables,
            **super().variables(),
        }

    def heard(self, line: str) -> None:
        """Transform jobs have no metrics."""

    def phase(self, secondary: str, message: str) -> None:  # noqa: ARG002  # shown by training jobs
        if secondary == "Downloading":
            self.record.update(TransformStartTime=now())

    def prepare(self, machine: Machine) -> None:
        self._model.lay_out(self.cloud, self.record.region, machine.folder)

    def deliver(self, outcome: Outcome) -> None:
        if outcome.status == "Completed":
            target = self.request["TransformOutput"]["S3OutputPath"]
            upload(self.cloud, self.record.region, self._output, target)

    def failure(self, machine: Machine) -> str:  # noqa: ARG002  # only their own log says why
        return ""

    def finish(self, outcome: Outcome) -> None:
        self.record.update(TransformEndTime=now())
        super().finish(outcome)

    @property
    def _output(self) -> Path:
        return self.machines[0].folder / "output"

    def _watch(self, containers: Sequence[Container]) -> Outcome:
        """Let the container answer for every file, then end it."""
        try:
            if not self._is_healthy(containers[0]):
                return _STOPPED
            return self._transform()
        finally:
            self._end(containers)

    def _is_healthy(self, container: Container) -> bool:
        """Wait for the container; say no if the job is stopped meanwhile."""
        end = time.monotonic() + _STARTUP_TIMEOUT_S
        while not self._server.is_healthy_within(1, container):
            if self.record.stopping.is_set():
                return False
            if container.exit_code is not None or time.monotonic() > end:
                raise JobError(
                    "AlgorithmError: Model container failed to respond to ping; Ensure /ping "
                    "endpoint is valid and returns an HTTP 200 status code"
                )
        return True

    def _transform(self) -> Outcome:
        plan = Plan.of(self.request, self._server.parameters())
        region = self.record.region
        uri = self.request["TransformInput"]["DataSource"]["S3DataSource"]["S3Uri"]
        bucket, prefix = split_uri(uri)
        keys = [key for key in keys_under(self.cloud, region, uri) if not key.endswith("/")]
        if not keys:
            raise JobError(f"ClientError: {nothing_under(uri, region, self._model.role)}")
        pool = ThreadPoolExecutor(plan.concurrent)
        try:
            for key in keys:
                body = self.cloud.client("s3", region).get_object(Bucket=bucket, Key=key)["Body"]
                answer = partial(self._answer, f"{bucket}/{key}")
                parts = list(pool.map(answer, plan.batches(body.read())))
                path = inside(self._output, f"{below(key, prefix)}.out")
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(b"".join(parts))
        except JobError:
            if self.record.stopping.is_set():
                return _STOPPED
            raise
        finally:
            pool.shutdown(cancel_futures=True)
        return Outcome("Completed", "Completed")

    def _answer(self, source: str, records: list[bytes]) -> bytes:
        """Return what is to be written for the records of a request."""
        try:
            body = self._invoke(source, self._processing.sent(records))
            return self._processing.written(records, body)
        except (csv.Error, IndexError, ValueError) as error:
            raise self._failed_data(source, "ClientError", str(error)) from error

    def _invoke(self, source: str, body: bytes) -> bytes:
        said = ""
        for _ in range(self._tries):
            if self.record.stopping.is_set():
                raise JobError("the job is stopped")  # which `_transform` finds out by itself
            try:
                answer = self._server.invoke(body, self._headers, self._timeout_s)
            except NoAnswerError as error:
                said = str(error)
                continue
            if answer.status < 400:
                return answer.body
            said = f"Bad HTTP status received from algorithm: {answer.status}\n" + (
                answer.body.decode(errors="replace")
            )
            if answer.status < 500:
                raise self._failed_data(source, "ClientError", said)
        raise self._failed_data(source, "AlgorithmError", said)

    def _failed_data(self, source: str, whose: str, said: str) -> JobError:
        """Write what went wrong into the job's data log, as Amazon does; return the reason."""
        stamp = int(time.time() * 1000)
        logs = self.cloud.client("logs", self.record.region)
        stream = f"{self.record.name}/{self.machines[0].host}-{stamp}/data-log"
        logs.create_log_stream(logGroupName=self.log_group, logStreamName=stream)
        events = [
            {"timestamp": stamp, "message": f"[sagemaker logs]: {source}: {line}"}
            for line in said.splitlines()
            if line.strip()
        ]
        logs.put_log_events(logGroupName=self.log_group, logStreamName=stream, logEvents=events)
        return JobError(f"{whose}: See job logs for more information")


def _create(cloud: Cloud, call: Call) -> Fields:
    request = call.request
    _require_emulated(request)
    payload = request.get("MaxPayloadInMB", 6) * max(request.get("MaxConcurrentTransforms", 1), 1)
    if payload > _LARGEST_MB:
        raise ValidationException(
            f"MaxConcurrentTransforms * MaxPayloadInMB must not exceed {_LARGEST_MB} MB."
        )
    model = cloud.records.get(MODEL, call.region, request["ModelName"]).fields["Model"]
    with cloud.records.locked():
        _require_quota(cloud, call)
        record = cloud.records.create(
            TRANSFORM_JOB,
            call.region,
            request["TransformJobName"],
            {name: value for name, value in request.items() if name != "Tags"},
            tags=request.get("Tags"),
        )
        record.set_status("InProgress")
    cloud.run(TransformJob(cloud, record, request, model, by_job=call.by_job).run)
    return {"TransformJobArn": record.arn}


def _require_quota(cloud: Cloud, call: Call) -> None:
    resources = call.request["TransformResources"]
    active = sum(
        record.fields["TransformResources"]["InstanceCount"]
        for record in cloud.records.all(TRANSFORM_JOB, call.region)
        if is_active(record)
        and record.fields["TransformResources"]["InstanceType"] == resources["InstanceType"]
    )
    cloud.require_quota(
        resources["InstanceType"], "transform job", resources["InstanceCount"], active
    )


def _require_emulated(request: Fields) -> None:
    source = request["TransformInput"]
    split = source.get("SplitType", "None")
    if source["DataSource"].get("S3DataSource", {}).get("S3DataType") != "S3Prefix":
        raise NotEmulated("a transform job whose input is not an S3 prefix")
    if split not in ("None", "Line") or source.get("CompressionType", "None") != "None":
        raise NotEmulated("a transform job whose input is not plain, or lines")
    processing = request.get("DataProcessing") or {}
    for member in ("InputFilter", "OutputFilter"):
        columns(processing.get(member, "$"))
    if set(processing) - {"JoinSource"} or processing.get("JoinSource", "None") != "None":
        by_line = split == request["TransformOutput"].get("AssembleWith") == "Line"
        if not by_line or not source.get("ContentType", "").startswith("text/csv"):
            raise NotEmulated("data processing of anything but lines of csv")


def _stop(cloud: Cloud, call: Call) -> Fields:
    stop_job(cloud.records.get(TRANSFORM_JOB, call.region, call.request["TransformJobName"]))
    return {}


OPERATIONS: dict[str, Handler] = {"CreateTransformJob": _create, "StopTransformJob": _stop}
