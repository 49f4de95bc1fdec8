"""Wait for a run that goes on elsewhere: with progress, and free to leave or to stop it."""

import sys

import click
from zenml.client import Client
from zenml.enums import ExecutionStatus
from zenml.models import PipelineRunResponse

from cli.failures import RunFailedError, reason
from stacks import runs
from stacks.runs import RunView


def wait(run: PipelineRunResponse) -> PipelineRunResponse:
    """Follow `run` to its end; Ctrl-C asks whether to leave it alone or to stop it.

    Raises:
        RunFailedError: It failed or was stopped; says why.
        Exit: The user leaves, and the run goes on.
    """
    try:
        view = runs.follow(run.id, click.echo)
    except KeyboardInterrupt:
        view = _interrupted(run)
    if view.run.status not in {ExecutionStatus.COMPLETED, ExecutionStatus.CACHED}:
        raise RunFailedError(failure(view))
    return view.run


def failure(view: RunView) -> str:
    """Say why a run did not succeed: what its step raised, else what SageMaker says of its job."""
    told = reason(view.run)
    elsewhere = runs.failure(view)
    if told and elsewhere:
        log = elsewhere.rpartition("\nlog: ")[2]
        return f"{told}\nlog: {log}"
    return told or elsewhere or f"{view.run.name} was {view.run.status}"


def _interrupted(run: PipelineRunResponse) -> RunView:
    if not _wants_to_stop():
        click.echo(
            f"{run.name} goes on; see it again with `python run.py runs watch {run.name}`, "
            f"end it with `python run.py runs stop {run.name}`"
        )
        raise click.exceptions.Exit(1)
    runs.stop(Client().get_pipeline_run(run.id))
    click.echo("stopping")
    return runs.follow(run.id, click.echo)


def _wants_to_stop() -> bool:
    """Ask; where nobody can answer, the run is left alone."""
    if not sys.stdin.isatty():
        return False
    answer = click.prompt(
        "\nThe run goes on in SageMaker. Leave it alone or stop it?",
        type=click.Choice(["leave", "stop"]),
        default="leave",
        err=True,
    )
    return bool(answer == "stop")
