"""The execution of a pipeline: steps start when what they need has succeeded, side by side."""

import re
import time
import traceback
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from botocore.exceptions import ClientError

from sagemaker_emulator.api import kinds
from sagemaker_emulator.api.cloud import Call, Cloud, Fields, is_active
from sagemaker_emulator.api.errors import JobError, ServiceError
from sagemaker_emulator.api.records import Kind, Record, now, random_text
from sagemaker_emulator.jobs.storage import split_uri
from sagemaker_emulator.pipelines.definitions import RESOURCES, Definition, Step
from sagemaker_emulator.pipelines.expressions import Evaluator, member

_POLL_S = 0.02
# How long AWS waits before it tries again what was throttled, or failed on its side; by default.
_RETRY_PAUSES_S = (1, 2, 4, 8, 16)
_LONGEST_STEP_REASON = 1024
_LONGEST_REASON = 1300
_JOB_KINDS = (kinds.PROCESSING_JOB, kinds.TRAINING_JOB, kinds.TUNING_JOB)


@dataclass
class StepRun:
    """A step as it runs: `fields` are what ListPipelineExecutionSteps answers.

    `resource` is the name of what the step created; the job among them is watched by its `record`.
    """

    step: Step
    skipped: bool = False
    outcome: bool | None = None
    resource: str = ""
    record: Record | None = None
    fields: dict[str, Any] = field(default_factory=dict)

    @property
    def status(self) -> str:
        return str(self.fields.get("StepStatus", ""))

    @property
    def waits(self) -> bool:
        return not self.fields and not self.skipped

    def begin(self) -> None:
        self.fields |= {
            "StepName": self.step.name,
            **self.step.texts,
            "StartTime": now(),
            "StepStatus": "Executing",
            "AttemptCount": 1,
        }

    def end(self, status: str, reason: str | None = None) -> None:
        failure = {"FailureReason": reason[:_LONGEST_STEP_REASON]} if reason else {}
        self.fields |= {"EndTime": now(), **failure, "StepStatus": status}


class Execution:
    """One execution of a pipeline, in a thread of its own.

    Args:
        role: In which the steps' jobs are created.
        limit: How many steps may run at a time.
    """

    def __init__(
        self,
        cloud: Cloud,
        record: Record,
        definition: Definition,
        *,
        parameters: Fields,
        role: str,
        limit: int | None,
    ) -> None:
        self.cloud = cloud
        self.record = record
        self._parameters = parameters
        self._role = role
        self._limit = limit or len(definition.steps)
        self._runs = {name: StepRun(step) for name, step in definition.steps.items()}
        self._pipeline, _, self._id = record.name.partition("/execution/")

    def run(self) -> None:
        """Run the pipeline to its end; nothing is raised."""
        try:
            while self._advance():
                time.sleep(_POLL_S)
            self._finish()
        except Exception as error:  # the outermost loop: an execution must not stay Executing
            traceback.print_exc()
            reason = f"InternalServerError: {error!r}"
            self._stop_jobs()
            for run in self._running():
                run.end("Failed", reason)
            self.record.end("Failed", FailureReason=reason)

    def _advance(self) -> bool:
        """See which jobs have ended and start what can start; return whether to go on."""
        for run in self._running():
            self._settle(run)
        if self.record.stopping.is_set():
            self._stop_jobs()
        else:
            while not self._failed() and any(self._began_or_skipped(r) for r in self._waiting()):
                pass  # what began may have ended at once, and let others begin
        return bool(self._running())

    def _began_or_skipped(self, run: StepRun) -> bool:
        """Start or skip a step if it is time to, and say whether it was."""
        needed = [self._runs[name] for name in run.step.needs]
        branch = run.step.branch
        if any(each.skipped for each in needed):
            run.skipped = True
        elif any(each.status != "Succeeded" for each in needed) or self._failed():
            return False
        elif branch and self._runs[branch.condition].outcome != branch.outcome:
            run.skipped = True
        elif len(self._running()) < self._limit:
            self._start(run)
        else:
            return False
        return True

    def _start(self, run: StepRun) -> None:
        run.begin()
        self.record.fields["PipelineExecutionSteps"].append(run.fields)
        evaluator = Evaluator(partial(self._get, run), self._read)
        try:
            if run.step.kind:
                self._create(run, run.step.kind, evaluator)
            elif run.step.type == "Condition":
                self._decide(run, evaluator)
            else:
                message = str(evaluator.value(run.step.arguments["ErrorMessage"]))
                run.fields["Metadata"] = {"Fail": {"ErrorMessage": message}}
                run.end("Failed", message)
        except JobError as error:
            run.end("Failed", str(error))

    def _decide(self, run: StepRun, evaluator: Evaluator) -> None:
        run.outcome = all(evaluator.holds(each) for each in run.step.arguments["Conditions"])
        run.fields["Metadata"] = {"Condition": {"Outcome": str(run.outcome)}}
        run.end("Succeeded")

    def _create(self, run: StepRun, kind: Kind, evaluator: Evaluator) -> None:
        prefix = evaluator.value(run.step.arguments.get(kind.name, "pipelines"))
        run.resource = self._resource_name(run.step, kind, prefix)
        request = evaluator.value(run.step.arguments)
        if kind is kinds.MODEL_PACKAGE:
            self._require_group(request.get("ModelPackageGroupName"))
        else:
            request.pop(kind.name, None)
            request = {kind.name: run.resource, **request}
        arn = self._call(f"Create{kind.member}", request)[kind.arn]
        run.fields["Metadata"] = {RESOURCES[run.step.type][1]: {"Arn": arn}}
        if kind in _JOB_KINDS:
            run.record = self.cloud.records.get(kind, self.record.region, run.resource)
        else:
            run.resource = arn if kind is kinds.MODEL_PACKAGE else run.resource
            run.end("Succeeded")

    def _require_group(self, name: str | None) -> None:
        """Create the group of a package as AWS does if there is none."""
        region = self.record.region
        if name and not self.cloud.records.find(kinds.MODEL_PACKAGE_GROUP, region, name):
            self._call("CreateModelPackageGroup", {"ModelPackageGroupName": name})

    def _call(self, operation: str, request: Fields, attempt: int = 0) -> Fields:
        try:
            return self.cloud.call(Call(operation, self.record.region, request), self._role)
        except ServiceError as error:
            if not error.is_transient or attempt == len(_RETRY_PAUSES_S):
                raise JobError(
                    f"ClientError: Failed to invoke sagemaker:{operation}. "
                    f"Error Details: {error.message}"
                ) from error
        time.sleep(_RETRY_PAUSES_S[attempt])
        return self._call(operation, request, attempt + 1)

    def _settle(self, run: StepRun) -> None:
        job = run.record
        if job is None or is_active(job):
            return
        if job.status == "Completed":
            run.end("Succeeded")
        elif job.status == "Stopped" and self.record.stopping.is_set():
            run.end("Stopped")
        else:
            reason = job.fields.get("FailureReason") or f"{job.name} is {job.status}"
            run.end("Failed", f"ClientError: {reason}")

    def _stop_jobs(self) -> None:
        for run in self._running():
            job = run.record
            if job and is_active(job) and not job.stopping.is_set():
                run.fields["StepStatus"] = "Stopping"
                with suppress(JobError):  # it ended just now, or is asked again
                    self._call(f"Stop{job.kind.member}", {job.kind.name: job.name})

    def _finish(self) -> None:
        failed = self._failed()
        if self.record.stopping.is_set():
            self.record.end("Stopped")
        elif failed:
            reasons = "; ".join(f"{run.step.name}: {run.fields['FailureReason']}" for run in failed)
            reason = f"Step failure: One or multiple steps failed. {reasons}"[:_LONGEST_REASON]
            self.record.end("Failed", FailureReason=reason, PipelineExecutionFailureReason=reason)
        else:
            self.record.end("Succeeded")

    def _waiting(self) -> Sequence[StepRun]:
        return [run for run in self._runs.values() if run.waits]

    def _running(self) -> Sequence[StepRun]:
        return [run for run in self._runs.values() if run.status in ("Executing", "Stopping")]

    def _failed(self) -> Sequence[StepRun]:
        return [run for run in self._runs.values() if run.status == "Failed"]

    def _get(self, run: StepRun, path: str) -> Any:
        """Return what a path refers to for a step."""
        root, _, rest = path.partition(".")
        if root == "Parameters":
            return self._parameters[rest]
        if root == "Execution":
            return self._variables(run)[rest]
        name, _, inner = rest.partition(".")
        other = self._runs[name]
        if not inner.startswith("PropertyFiles."):
            return member(self._described(other), inner)
        file = other.step.property_files[inner.removeprefix("PropertyFiles.")]
        output = f"ProcessingOutputConfig.Outputs['{file['OutputName']}'].S3Output.S3Uri"
        return f"{member(self._described(other), output).rstrip('/')}/{file['FilePath']}"

    def _variables(self, run: StepRun) -> dict[str, str]:
        return {
            "PipelineName": self._pipeline,
            "PipelineArn": self.record.fields["PipelineArn"],
            "PipelineExecutionId": self._id,
            "PipelineExecutionArn": self.record.arn,
            "StartDateTime": _iso(self.record.fields["CreationTime"]),
            "CurrentDateTime": _iso(now()),
            "TrainingJobName": run.resource,
            "ProcessingJobName": run.resource,
        }

    def _described(self, run: StepRun) -> Fields:
        kind = run.step.kind
        if kind is None:
            described: Fields = run.fields["Metadata"][run.step.type]
            return described
        described = self._call(f"Describe{kind.member}", {kind.name: run.resource})
        if kind is kinds.TUNING_JOB:
            goal = described["HyperParameterTuningJobConfig"]["HyperParameterTuningJobObjective"]
            best = {
                kind.name: run.resource,
                "SortBy": "FinalObjectiveMetricValue",
                "SortOrder": "Descending" if goal["Type"] == "Maximize" else "Ascending",
                "MaxResults": 50,
            }
            return {**described, **self._call("ListTrainingJobsForHyperParameterTuningJob", best)}
        return described

    def _read(self, uri: str) -> str:
        bucket, key = split_uri(uri)
        try:
            body = self.cloud.client("s3", self.record.region).get_object(Bucket=bucket, Key=key)
        except ClientError as error:
            raise JobError(f"ClientError: {uri} cannot be read: {error}") from error
        return str(body["Body"].read().decode())

    def _resource_name(self, step: Step, kind: Kind, prefix: str) -> str:
        """Name a job as AWS does, for example `pipelines-ab12cd34ef56-train-Xy12Zw34Qr`."""
        name, ending = re.sub(r"[^A-Za-z0-9-]", "-", step.name), random_text(10)
        if kind is kinds.TUNING_JOB:
            return f"{self._id}-{name[:8]}-{ending}"
        return f"{prefix[:18]}-{self._id}-{name[:20]}-{ending}"


def _iso(time_: Any) -> str:
    return str(time_.strftime("%Y-%m-%dT%H:%M:%SZ"))
