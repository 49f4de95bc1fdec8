"""What SageMaker runs for a pipeline run: its jobs, why they failed, how long they are billed."""

from functools import cache, partial
from typing import Any, cast

from botocore.config import Config

from bank_marketing.errors import PlatformError
from platforms.base import Charge, Execution, Job, JobState
from platforms.sagemaker.session import aws_errors, client, error_code, is_amazons

# Whoever follows a run asks again by himself.
_CONFIG = Config(
    connect_timeout=5, read_timeout=60, retries={"mode": "standard", "total_max_attempts": 3}
)
_LOG_LINES = 15

_STATES: dict[str, JobState] = {
    "Starting": "running",
    "Executing": "running",
    "InProgress": "running",
    "Stopping": "stopping",
    "Deleting": "stopping",
    "Stopped": "stopped",
    "Failed": "failed",
    "Succeeded": "succeeded",
    "Completed": "succeeded",
}
_LOG_GROUPS = {
    "processing-job": "/aws/sagemaker/ProcessingJobs",
    "training-job": "/aws/sagemaker/TrainingJobs",
}


class SageMakerExecutions:
    """Executions of SageMaker pipelines, and single jobs that run a whole pipeline.

    Both are named by their ARN, which tells the region.
    """

    def __init__(self) -> None:
        self._client = cache(partial(client, config=_CONFIG))

    def describe(self, arn: str) -> Execution:
        """Return the state of an execution and of every job in it."""
        with aws_errors(arn):
            if _kind(arn) == "pipeline":
                return self._pipeline_execution(arn)
            return self._job_execution(arn)

    def stop(self, arn: str) -> None:
        """Ask SageMaker to stop an execution; do nothing if it has ended."""
        sagemaker, kind, name = self._sagemaker(arn), _kind(arn), arn.rpartition("/")[2]
        try:
            with aws_errors(arn):
                if kind == "pipeline":
                    sagemaker.stop_pipeline_execution(PipelineExecutionArn=arn)
                elif kind == "processing-job":
                    sagemaker.stop_processing_job(ProcessingJobName=name)
                else:
                    sagemaker.stop_training_job(TrainingJobName=name)
        except PlatformError as error:
            if error_code(error) != "ValidationException":  # it has ended
                raise

    def charge(self, job: Job) -> Charge | None:
        """Return what a job is billed for, once it has ended; none if it never started."""
        if job.arn is None:
            return None
        with aws_errors(job.arn):
            found = self._job(job.arn)
        if _kind(job.arn) == "processing-job":
            start, end = found.get("ProcessingStartTime"), found.get("ProcessingEndTime")
            seconds = (end - start).total_seconds() if start and end else None
            instance = found["ProcessingResources"]["ClusterConfig"]["InstanceType"]
        else:
            seconds = found.get("BillableTimeInSeconds")
            instance = found["ResourceConfig"]["InstanceType"]
        if seconds is None:
            return None
        kind = "processing" if _kind(job.arn) == "processing-job" else "training"
        return Charge(type=kind, instance_type=instance, seconds=seconds)

    def log_tail(self, job: Job) -> tuple[str, ...]:
        """Return the last lines that a job wrote, oldest first; none if it never started."""
        if job.arn is None:
            return ()
        group, prefix = _LOG_GROUPS[_kind(job.arn)], job.arn.rpartition("/")[2]
        logs = self._client("logs", _region(job.arn))
        try:
            with aws_errors(job.arn):
                streams = logs.describe_log_streams(
                    logGroupName=group, logStreamNamePrefix=f"{prefix}/"
                )["logStreams"]
                return tuple(
                    event["message"]
                    for stream in streams
                    for event in logs.get_log_events(
                        logGroupName=group,
                        logStreamName=stream["logStreamName"],
                        limit=_LOG_LINES,
                        startFromHead=False,
                    )["events"]
                )[-_LOG_LINES:]
        except PlatformError as error:
            if error_code(error) == "ResourceNotFoundException":  # no job has ever written a line
                return ()
            raise

    def _pipeline_execution(self, arn: str) -> Execution:
        sagemaker = self._sagemaker(arn)
        found = sagemaker.describe_pipeline_execution(PipelineExecutionArn=arn)
        pages = sagemaker.get_paginator("list_pipeline_execution_steps").paginate(
            PipelineExecutionArn=arn
        )
        steps = [step for page in pages for step in page["PipelineExecutionSteps"]]
        return Execution(
            state=_STATES[found["PipelineExecutionStatus"]],
            reason=found.get("FailureReason"),
            jobs=tuple(self._step_job(step) for step in reversed(steps)),  # told newest first
        )

    def _step_job(self, step: dict[str, Any]) -> Job:
        metadata = step.get("Metadata", {})
        arn = (metadata.get("ProcessingJob") or metadata.get("TrainingJob") or {}).get("Arn")
        return Job(
            step=step["StepName"],
            arn=arn,
            state=_STATES[step["StepStatus"]],
            reason=step.get("FailureReason"),
            log_url=self._log_url(arn) if arn else None,
        )

    def _job_execution(self, arn: str) -> Execution:
        found = self._job(arn)
        state = _STATES[found.get("ProcessingJobStatus") or found["TrainingJobStatus"]]
        reason = found.get("FailureReason") or found.get("ExitMessage")
        job = Job(step="", arn=arn, state=state, reason=reason, log_url=self._log_url(arn))
        return Execution(state=state, reason=reason, jobs=(job,))

    def _job(self, arn: str) -> dict[str, Any]:
        sagemaker, name = self._sagemaker(arn), arn.rpartition("/")[2]
        if _kind(arn) == "processing-job":
            return cast(dict[str, Any], sagemaker.describe_processing_job(ProcessingJobName=name))
        return cast(dict[str, Any], sagemaker.describe_training_job(TrainingJobName=name))

    def _log_url(self, arn: str) -> str | None:
        """Return the page of a job's log streams in the console, where `$252F` stands for `/`."""
        if not is_amazons(self._sagemaker(arn)) or not arn.startswith("arn:aws:"):
            return None  # each other partition has a console of its own
        region, name = _region(arn), arn.rpartition("/")[2]
        group = _LOG_GROUPS[_kind(arn)].replace("/", "$252F")
        return (
            f"https://{region}.console.aws.amazon.com/cloudwatch/home?region={region}"
            f"#logsV2:log-groups/log-group/{group}$3FlogStreamNameFilter$3D{name}"
        )

    def _sagemaker(self, arn: str) -> Any:
        return self._client("sagemaker", _region(arn))


def _region(arn: str) -> str:
    return arn.split(":")[3]


def _kind(arn: str) -> str:
    return arn.split(":")[5].partition("/")[0]
