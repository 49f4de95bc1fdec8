"""A pipeline run as ZenML and SageMaker see it together: followed to its end, or stopped.

ZenML learns of a step from the step itself. What dies before it can tell, or never starts, stays
"running" there for ever, unless somebody asks SageMaker.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from uuid import UUID

from requests import RequestException
from zenml.client import Client
from zenml.enums import ExecutionStatus
from zenml.exceptions import ZenMLBaseException
from zenml.models import PipelineRunResponse
from zenml.orchestrators.publish_utils import (
    publish_pipeline_run_status_update,
    publish_step_run_status_update,
)
from zenml.utils.time_utils import utc_now

from bank_marketing.errors import PlatformError
from platforms.base import Charge, Execution, Job
from platforms.factory import executions

_POLL_S = 1.0
_PATIENCE_S = 600.0  # servers are restarted, and networks go away for a while
_LONGEST_REASON = 250  # ZenML keeps 255 characters

_ENDS = {
    "succeeded": ExecutionStatus.COMPLETED,
    "failed": ExecutionStatus.FAILED,
    "stopped": ExecutionStatus.STOPPED,
}


@dataclass(frozen=True)
class RunView:
    """A run in ZenML, and its execution in SageMaker if it has one."""

    run: PipelineRunResponse
    execution: Execution | None

    @property
    def has_ended(self) -> bool:
        """Say whether nothing of it runs any more, on either side."""
        return self.run.status.is_finished and (not self.execution or self.execution.has_ended)


def look(run_id: UUID) -> RunView:
    """Return the present state of a run, after telling ZenML of an end that it has missed.

    Raises:
        PlatformError: A server refused or cannot be reached.
    """
    try:
        run = Client().get_pipeline_run(run_id)
        arn = _arn(run)
        execution = executions().describe(arn) if arn else None
        if execution and execution.has_ended:
            run = _settle(run, execution)
    except (RequestException, ZenMLBaseException, RuntimeError) as error:
        raise PlatformError(f"run {run_id}: ZenML's server does not answer: {error}") from error
    return RunView(run, execution)


def follow(run_id: UUID, tell: Callable[[str], None]) -> RunView:
    """Wait for the end of a run, telling what happens to each step and where its log is.

    Raises:
        PlatformError: A server did not answer for ten minutes; the run goes on by itself.
    """
    told: dict[str, str] = {}
    while not (view := _look_patiently(run_id, tell)).has_ended:
        _tell_news(view, told, tell)
        time.sleep(_POLL_S)
    _tell_news(view, told, tell)
    return view


def stop(run: PipelineRunResponse) -> None:
    """Ask SageMaker to end what runs there for `run`.

    Raises:
        PlatformError: The run is a process of some machine, or AWS refused.
    """
    arn = _arn(run)
    if arn is None:
        raise PlatformError(
            f"{run.name} runs in a process, not in SageMaker; end the process (Ctrl-C)"
        )
    executions().stop(arn)


def charges(view: RunView) -> dict[str, tuple[Job, Charge]]:
    """Return by step each job of an execution that AWS bills, and what for."""
    jobs = view.execution.jobs if view.execution else ()
    found = ((job, executions().charge(job)) for job in jobs)
    return {job.step: (job, charge) for job, charge in found if charge}


def failure(view: RunView) -> str | None:
    """Say why SageMaker failed a run, with the end of the log; None if it did not fail."""
    if view.execution is None or view.execution.state != "failed":
        return None
    failed = [job for job in view.execution.jobs if job.state == "failed"]
    if not failed:
        return view.execution.reason
    return "\n".join(_why(job) for job in failed)


def _why(job: Job) -> str:
    lines = [f"step {job.step or 'pipeline'}: {job.reason or 'no reason was given'}"]
    if job.arn:
        tail = executions().log_tail(job)
        lines += ["its log ends with:", *(f"  {line}" for line in tail)] if tail else []
        lines += [f"log: {job.log_url}"]
    return "\n".join(lines)


def _arn(run: PipelineRunResponse) -> str | None:
    """Return what SageMaker calls the run: known since its submission, as metadata."""
    found = run.run_metadata.get("pipeline_execution_arn") or run.orchestrator_run_id
    return str(found) if str(found).startswith("arn:") else None


def _settle(run: PipelineRunResponse, execution: Execution) -> PipelineRunResponse:
    """Tell ZenML how a run ended in SageMaker, where it does not know."""
    status = _ENDS[execution.state]
    for step in run.steps.values():
        if not step.status.is_finished:
            publish_step_run_status_update(step.id, status, end_time=utc_now())
    if run.status.is_finished:
        return run
    reason = next((job.reason for job in execution.jobs if job.reason), execution.reason)
    publish_pipeline_run_status_update(
        run.id, status, status_reason=(reason or "")[:_LONGEST_REASON] or None
    )
    return Client().get_pipeline_run(run.id)


def _look_patiently(run_id: UUID, tell: Callable[[str], None]) -> RunView:
    deadline: float | None = None
    while True:
        try:
            return look(run_id)
        except PlatformError as error:
            if deadline is None:
                deadline = time.monotonic() + _PATIENCE_S
                tell(f"{error}; still trying")
            if time.monotonic() > deadline:
                raise
        time.sleep(_POLL_S)


def _tell_news(view: RunView, told: dict[str, str], tell: Callable[[str], None]) -> None:
    for step, text in _progress(view):
        if told.get(step) != text:
            told[step] = text
            tell(f"{step}: {text}")


def _progress(view: RunView) -> Iterator[tuple[str, str]]:
    """Yield each step that began, and what can be said of it."""
    jobs = {job.step: job for job in view.execution.jobs} if view.execution else {}
    for name, job in jobs.items():
        if name and name not in view.run.steps:
            yield name, f"{job.state}, log: {job.log_url}" if job.log_url else job.state
    for name, step in view.run.steps.items():
        if step.status.is_finished and step.start_time and step.end_time:
            seconds = (step.end_time - step.start_time).total_seconds()
            yield name, f"{step.status} in {seconds:.1f} s"
        elif step.status.is_finished:
            yield name, str(step.status)
        elif name in jobs and jobs[name].log_url:
            yield name, f"{step.status}, log: {jobs[name].log_url}"
        else:
            yield name, str(step.status)
