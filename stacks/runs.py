"""A pipeline run as ZenML and SageMaker see it together: followed to its end, or stopped.

ZenML learns of a step from the step itself. What dies before it can tell, or never starts, stays
"running" there for ever, unless somebody asks SageMaker.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from functools import cache, partial
from uuid import UUID

from zenml.client import Client
from zenml.enums import ExecutionStatus, StackComponentType
from zenml.models import PipelineRunResponse
from zenml.orchestrators.publish_utils import (
    publish_pipeline_run_status_update,
    publish_step_run_status_update,
)
from zenml.utils.time_utils import utc_now

from bank_marketing.errors import PlatformError
from platforms.base import Charge, Execution, Executions, Job, OutageError
from platforms.factory import executions
from platforms.patience import Patience, patiently
from registry.lineage import SUBMITTED_BY
from registry.zenml_errors import zenml_errors
from stacks.cost import submitted_by

# Servers are restarted, and networks go away for a while.
_PATIENCE = Patience(first_pause=1, longest_pause=20, longest_outage=600)
_LONGEST_SUBMISSION = timedelta(minutes=15)
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
        """Say whether nothing of it runs any more."""
        return self.execution.has_ended if self.execution else self.run.status.is_finished

    @property
    def failed_jobs(self) -> tuple[Job, ...]:
        """Return the jobs that SageMaker says failed, or was not given."""
        jobs = self.execution.jobs if self.execution else ()
        return tuple(job for job in jobs if job.state == "failed")


class Runs:
    """The pipeline runs of the active stack.

    Args:
        connect: Returns what runs in SageMaker; called once, for the first run that does.
        patience: Between two looks, and with servers that are away.
        longest_submission: After this a run that SageMaker was never asked for has failed.
    """

    def __init__(
        self,
        connect: Callable[[], Executions] = executions,
        patience: Patience = _PATIENCE,
        longest_submission: timedelta = _LONGEST_SUBMISSION,
    ) -> None:
        self._executions = cache(connect)
        self._patience = patience
        self._longest_submission = longest_submission

    def look(self, run_id: UUID) -> RunView:
        """Return the present state of a run, after telling ZenML of an end that it has missed.

        Raises:
            OutageError: A server cannot be reached.
            PlatformError: A server refused.
        """
        with zenml_errors(f"run {run_id}"):
            run = Client().get_pipeline_run(run_id)
        arn = _arn(run)
        execution = self._executions().describe(arn) if arn else None
        with zenml_errors(run.name):
            if execution and execution.has_ended:
                reasons = (job.reason for job in execution.jobs if job.reason)
                run = _settle(run, _ENDS[execution.state], next(reasons, execution.reason))
            elif not arn and self._was_abandoned(run):
                run = _settle(run, ExecutionStatus.FAILED, "its submission was interrupted")
        return RunView(run, execution)

    def follow(
        self, run_id: UUID, tell: Callable[[str], None], check: Callable[[], None] = lambda: None
    ) -> RunView:
        """Wait for the end of a run, telling what happens to each step and where its log is.

        Args:
            run_id: The run's id in ZenML.
            tell: Called with each line of news.
            check: Called while a server is away; raises where to wait for it is of no use.

        Raises:
            OutageError: A server did not answer for ten minutes; the run goes on by itself.
            PlatformError: A server refused; the run goes on by itself.
        """
        told = set[str]()

        def tell_once(line: str) -> None:
            if line not in told:
                told.add(line)
                tell(line)

        def bear(outage: OutageError) -> None:
            check()
            tell_once(f"{outage}; still trying")

        while True:
            view = patiently(partial(self._look_closely, run_id, tell_once), self._patience, bear)
            if view.has_ended:
                return view
            time.sleep(self._patience.first_pause)

    def stop(self, run: PipelineRunResponse) -> None:
        """Ask SageMaker to end what runs there for `run`.

        Raises:
            PlatformError: The run is a process of some machine, or AWS refused.
        """
        arn = _arn(run)
        if arn is None:
            raise PlatformError(
                f"{run.name} runs in a process, not in SageMaker; end the process (Ctrl-C)"
            )
        with zenml_errors(run.name), _called_stopping(run):
            for each in (arn, *_submitted(run).values()):
                patiently(partial(self._executions().stop, each), self._patience)

    def charges(self, view: RunView) -> dict[str, tuple[Job, Charge]]:
        """Return each job of a run that has ended which AWS bills, and what for.

        They are called after their steps; so are those that steps have submitted, which are
        stopped if they go on: whoever waited for them is gone.
        """
        jobs = {job.step: job for job in view.execution.jobs} if view.execution else {}
        for step, arn in _submitted(view.run).items():
            jobs[submitted_by(step)] = self._ended(arn)
        found = {
            name: (job, patiently(partial(self._executions().charge, job), self._patience))
            for name, job in jobs.items()
        }
        return {name: (job, charge) for name, (job, charge) in found.items() if charge}

    def _ended(self, arn: str) -> Job:
        """Return the job of a step that nobody waits for any more, once it has ended."""
        describe = partial(patiently, partial(self._executions().describe, arn), self._patience)
        execution = describe()
        if not execution.has_ended:
            patiently(partial(self._executions().stop, arn), self._patience)
        while not execution.has_ended:
            time.sleep(self._patience.first_pause)
            execution = describe()
        (job,) = execution.jobs
        return job

    def failure(self, view: RunView) -> str | None:
        """Say why SageMaker failed a run, with the end of the log; None if it did not fail."""
        if view.failed_jobs:
            return "\n".join(line for job in view.failed_jobs for line in self._why(job))
        if view.execution and view.execution.state == "failed":
            return view.execution.reason
        return None

    def _look_closely(self, run_id: UUID, tell: Callable[[str], None]) -> RunView:
        view = self.look(run_id)
        with zenml_errors(view.run.name):
            for line in _progress(view):
                tell(line)
        return view

    def _why(self, job: Job) -> Iterator[str]:
        yield f"step {job.step or 'pipeline'}: {job.reason or 'no reason was given'}"
        try:
            tail = self._executions().log_tail(job)
        except PlatformError as error:  # the reason is worth more than its log
            yield f"its log cannot be read: {error}"
        else:
            yield from ("its log ends with:", *(f"  {line}" for line in tail)) if tail else ()
        if job.log_url:
            yield f"log: {job.log_url}"

    def _was_abandoned(self, run: PipelineRunResponse) -> bool:
        """Say whether the process that was to submit a run elsewhere died before it did."""
        if run.status != ExecutionStatus.INITIALIZING or run.stack is None:
            return False
        (orchestrator,) = run.stack.components[StackComponentType.ORCHESTRATOR]
        is_late = utc_now() - run.created > self._longest_submission
        return orchestrator.flavor_name != "local" and is_late


def record_failure(name: str, reason: str) -> None:
    """Tell ZenML why a run failed before it began, if it knows the run and answers."""
    with suppress(PlatformError), zenml_errors(name):
        for run in Client().list_pipeline_runs(name=name).items:
            publish_pipeline_run_status_update(
                run.id, ExecutionStatus.FAILED, status_reason=_shortened(reason)
            )


def is_in_sagemaker(run: PipelineRunResponse) -> bool:
    """Say whether SageMaker runs it, or ran it."""
    return _arn(run) is not None


def _arn(run: PipelineRunResponse) -> str | None:
    """Return what SageMaker calls the run: known since its submission, as metadata."""
    found = run.run_metadata.get("pipeline_execution_arn") or run.orchestrator_run_id
    return str(found) if str(found).startswith("arn:") else None


def _submitted(run: PipelineRunResponse) -> dict[str, str]:
    """Return, by step, the ARN of the job that it has submitted and waits for."""
    return {
        key.removeprefix(SUBMITTED_BY): str(arn)
        for key, arn in run.run_metadata.items()
        if key.startswith(SUBMITTED_BY)
    }


@contextmanager
def _called_stopping(run: PipelineRunResponse) -> Iterator[None]:
    """Let ZenML expect the end of what runs: it takes a step that is ended for one that failed."""
    if all(step.status.is_finished for step in run.steps.values()):
        yield
        return
    publish_pipeline_run_status_update(run.id, ExecutionStatus.STOPPING)
    try:
        yield
    except PlatformError:
        publish_pipeline_run_status_update(run.id, ExecutionStatus.RUNNING)
        raise


def _settle(
    run: PipelineRunResponse, status: ExecutionStatus, reason: str | None
) -> PipelineRunResponse:
    """Tell ZenML how a run ended, where it does not know."""
    unfinished = [step for step in run.steps.values() if not step.status.is_finished]
    if run.status.is_finished and not unfinished:
        return run
    if not run.status.is_finished:
        # ZenML takes a run that stopped before its first step for one that goes on.
        first = ExecutionStatus.STOPPING if status == ExecutionStatus.STOPPED else status
        publish_pipeline_run_status_update(run.id, first, status_reason=_shortened(reason))
    for step in unfinished:
        publish_step_run_status_update(step.id, status, end_time=utc_now())
    run = Client().get_pipeline_run(run.id)
    if run.status.is_finished:
        return run
    publish_pipeline_run_status_update(run.id, status)
    return Client().get_pipeline_run(run.id)


def _shortened(reason: str | None) -> str | None:
    return " ".join(reason.split())[:_LONGEST_REASON] if reason else None


def _progress(view: RunView) -> Iterator[str]:
    """Yield for each step that began what can be said of it."""
    jobs = {job.step: job for job in view.execution.jobs} if view.execution else {}
    steps = view.run.steps
    for name, job in jobs.items():
        if name and name not in steps:
            yield f"{name}: {job.state}{_log(job)}"
    for name, step in steps.items():
        if step.status.is_finished and step.start_time and step.end_time:
            seconds = (step.end_time - step.start_time).total_seconds()
            yield f"{name}: {step.status} in {seconds:.1f} s"
        elif step.status.is_finished:
            yield f"{name}: {step.status}"
        else:
            yield f"{name}: {step.status}{_log(jobs.get(name))}"


def _log(job: Job | None) -> str:
    return f", log: {job.log_url}" if job and job.log_url else ""
