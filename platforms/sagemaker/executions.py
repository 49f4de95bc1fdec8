"""What SageMaker runs for a pipeline run: its jobs, why they failed, how long they are billed."""

from collections.abc import Mapping
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
# Where a job says how it is.
_STATUSES = ("ProcessingJobStatus", "HyperParameterTuningJobStatus", "TrainingJobStatus")
_LOG_GROUPS = {
    "processing-job": "/aws/sagemaker/ProcessingJobs",
    "training-job": "/aws/sagemaker/TrainingJobs",
    "hyper-parameter-tuning-job": "/aws/sagemaker/TrainingJobs",  # begin with its name
}


class SageMakerExecutions:
    """Executions of SageMaker pipelines, and single jobs: of a whole pipeline, or of a step.

    All are named by their ARN, which tells the region.
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
                elif kind == "hyper-parameter-tuning-job":
                    sagemaker.stop_hyper_parameter_tuning_job(HyperParameterTuningJobName=name)
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
            if _kind(job.arn) == "hyper-parameter-tuning-job":
                return self._tuning_charge(job.arn)
            return _charge(self._job(job.arn))

    def _tuning_charge(self, arn: str) -> Charge | None:
        """Return what all training jobs of a tuning job are billed for, which is all that is."""
        sagemaker = self._sagemaker(arn)
        pages = sagemaker.get_paginator(
            "list_training_jobs_for_hyper_parameter_tuning_job"
        ).paginate(HyperParameterTuningJobName=arn.rpartition("/")[2])
        trials = [
            _charge(self._job(trial["TrainingJobArn"]))
            for page in pages
            for trial in page["TrainingJobSummaries"]
        ]
        billed = [charge for charge in trials if charge]
        if not billed:
            return None
        return billed[0].model_copy(update={"seconds": sum(each.seconds for each in billed)})

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
        state = _STATES[next(found[key] for key in _STATUSES if key in found)]
        reason = found.get("FailureReason") or found.get("ExitMessage")
        job = Job(step="", arn=arn, state=state, reason=reason, log_url=self._log_url(arn))
        return Execution(state=state, reason=reason, jobs=(job,))

    def _job(self, arn: str) -> dict[str, Any]:
        sagemaker, name = self._sagemaker(arn), arn.rpartition("/")[2]
        if _kind(arn) == "processing-job":
            found = sagemaker.describe_processing_job(ProcessingJobName=name)
        elif _kind(arn) == "hyper-parameter-tuning-job":
            found = sagemaker.describe_hyper_parameter_tuning_job(HyperParameterTuningJobName=name)
        else:
            found = sagemaker.describe_training_job(TrainingJobName=name)
        return cast(dict[str, Any], found)

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


def _charge(job: Mapping[str, Any]) -> Charge | None:
    """Return what a described processing or training job is billed for, if it began and ended."""
    if "ProcessingJobStatus" in job:
        start, end = job.get("ProcessingStartTime"), job.get("ProcessingEndTime")
        if not start or not end:
            return None
        instance = job["ProcessingResources"]["ClusterConfig"]["InstanceType"]
        seconds = (end - start).total_seconds()
        return Charge(type="processing", instance_type=instance, seconds=seconds)
    billed_s = job.get("BillableTimeInSeconds")
    if billed_s is None:
        return None
    instance = job["ResourceConfig"]["InstanceType"]
    return Charge(type="training", instance_type=instance, seconds=billed_s)


def _region(arn: str) -> str:
    return arn.split(":")[3]


def _kind(arn: str) -> str:
    return arn.split(":")[5].partition("/")[0]
