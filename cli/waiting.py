"""Wait for a run that goes on elsewhere: with progress, and free to leave or to stop it."""

import sys
from functools import partial

import click
from zenml.models import PipelineRunResponse

from bank_marketing.errors import PlatformError
from cli.failures import RunFailedError, reason
from cli.stacks import ServersGoneError, require_servers, say
from stacks.billing import record_cost
from stacks.runs import Runs, RunView, is_in_sagemaker


def wait(run: PipelineRunResponse, stack: str) -> PipelineRunResponse:
    """Follow a run on the stack called `stack`; Ctrl-C asks whether to leave or to stop it.

    Raises:
        ServersGoneError: It ran on emulated servers, which have ended.
        RunFailedError: It failed or was stopped; says why.
        PlatformError: A server refused, or was away for long.
        Exit: The user leaves, and the run goes on.
    """
    runs = Runs()
    follow = partial(runs.follow, run.id, click.echo, partial(require_servers, stack))
    try:
        try:
            view = follow()
        except KeyboardInterrupt:
            _stop_or_leave(runs, run, stack)
            view = follow()
    except ServersGoneError:
        raise
    except PlatformError as error:
        raise PlatformError(f"{error}\n{_goes_on(run, stack)}") from error
    finished = with_cost(runs, view)
    if not finished.status.is_successful:
        raise RunFailedError(_failure(runs, view))
    return finished


def with_cost(runs: Runs, view: RunView) -> PipelineRunResponse:
    """Return a run that has ended, with what it is billed for; why it ended matters more."""
    try:
        return record_cost(runs, view)
    except PlatformError as error:
        say(f"what {view.run.name} is billed for is not known: {error}")
        return view.run


def _failure(runs: Runs, view: RunView) -> str:
    """Say why a run did not succeed: what its step raised, else what SageMaker says of its job."""
    if told := reason(view.run):
        links = (f"log: {job.log_url}" for job in view.failed_jobs if job.log_url)
        return "\n".join((told, *links))
    recorded = view.run.get_body().status_reason
    return runs.failure(view) or recorded or f"{view.run.name} was {view.run.status}"


def _stop_or_leave(runs: Runs, run: PipelineRunResponse, stack: str) -> None:
    if not is_in_sagemaker(run) or not _wants_to_stop():
        click.echo(_goes_on(run, stack))
        raise click.exceptions.Exit(1)
    runs.stop(run)
    click.echo("stopping")


def _goes_on(run: PipelineRunResponse, stack: str) -> str:
    command, whose = "python run.py runs", f"{run.name} --stack {stack}"
    return (
        f"{run.name} goes on; see it again with `{command} watch {whose}`, "
        f"end it with `{command} stop {whose}`"
    )


def _wants_to_stop() -> bool:
    """Ask; where nobody can answer, or nobody does, the run is left alone."""
    if not sys.stdin.isatty():
        return False
    try:
        answer = click.prompt(
            "\nThe run goes on in SageMaker. Leave it alone or stop it?",
            type=click.Choice(["leave", "stop"]),
            default="leave",
            err=True,
        )
    except click.Abort:
        return False
    return bool(answer == "stop")
