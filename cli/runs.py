"""`run.py runs list|watch|stop`: what ran, and what is running."""

from datetime import datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.table import Table

from bank_marketing.errors import PlatformError
from cli.environment import heavy_imports
from cli.options import SUMMARY
from cli.stacks import reach_stack, require_servers, say
from cli.terminal import console
from stacks.files import load_stack

if TYPE_CHECKING:
    from zenml.models import PipelineRunResponse

STACK = click.option("--stack", default="local", show_default=True, help="Whose ZenML to ask.")


@click.group("runs")
def command() -> None:
    """List runs, watch one, or stop it."""


@command.command("list")
@click.option("--last", default=20, show_default=True, type=click.IntRange(1, 1000))
@STACK
def list_runs(last: int, stack: str) -> None:
    """List the newest runs, as they are: one that died in SageMaker seems to go on in ZenML."""
    reach_stack(stack)
    with heavy_imports():
        from zenml.client import Client

        from registry.zenml_errors import zenml_errors
        from stacks.runs import Runs
        from stacks.store import open_store
    open_store()
    with zenml_errors("list the runs"):
        found = Client().list_pipeline_runs(sort_by="desc:created", size=last, hydrate=True).items
    if not found:
        click.echo("nothing ran yet; run `python run.py --pipeline training`")
        return
    runs, doubts = Runs(), []
    table = Table("run", "status", "stack", "started (UTC)", "seconds", "what failed")
    for run in found:
        if not run.status.is_finished:
            try:
                run = runs.look(run.id).run
            except PlatformError as error:
                doubts.append(f"{run.name} may have ended since: {error}")
        table.add_row(
            run.name,
            str(run.status),
            run.stack.name if run.stack else "",
            f"{run.start_time:%Y-%m-%d %H:%M:%S}" if run.start_time else "",
            _seconds(run.start_time, run.end_time),
            _what_failed(run),
        )
    console.print(table)
    for doubt in doubts:
        say(doubt)


@command.command("watch")
@click.argument("run")
@STACK
@SUMMARY
def watch_run(run: str, stack: str, summary: Path | None) -> None:
    """Follow a RUN, by name or id, until it ends, as the command does that started it.

    The exit code is 1 if it did not succeed, 3 if the quality gate rejected its model.
    """
    reach_stack(stack)
    with heavy_imports():
        from cli.outcome import is_training, tell_outcome
        from cli.waiting import wait
        from stacks import registration
    finished = wait(_find(run), stack)
    click.echo(f"{finished.name}: {finished.status}")
    if is_training(finished):
        stack_file = load_stack(stack)
        with registration.using(stack_file):
            tell_outcome(finished, stack_file, summary)
    elif summary is not None:
        raise PlatformError(f"{finished.name} trained no model, of which --summary could tell")


@command.command("stop")
@click.argument("run")
@STACK
def stop_run(run: str, stack: str) -> None:
    """End what runs in SageMaker for a RUN, by name or id."""
    reach_stack(stack)
    with heavy_imports():
        from cli.waiting import with_cost
        from stacks.runs import Runs
    runs = Runs()
    view = runs.look(_find(run).id)
    if view.has_ended:
        click.echo(f"{view.run.name} has ended: {view.run.status}")
        return
    runs.stop(view.run)
    view = runs.follow(view.run.id, click.echo, partial(require_servers, stack))
    with_cost(runs, view)
    click.echo(f"{view.run.name}: {view.run.status}")


def _what_failed(run: "PipelineRunResponse") -> str:
    steps = ", ".join(name for name, step in run.steps.items() if step.status.is_failed)
    return ": ".join(filter(None, (steps, run.get_body().status_reason)))


def _find(run: str) -> "PipelineRunResponse":
    from zenml.client import Client
    from zenml.enums import LogicalOperators
    from zenml.exceptions import ZenKeyError

    from stacks.store import open_store

    open_store()
    try:
        return Client().get_pipeline_run(run)
    except ZenKeyError as error:
        prefix = f"startswith:{run}"
        several = Client().list_pipeline_runs(
            id=prefix, name=prefix, logical_operator=LogicalOperators.OR
        )
        names = ", ".join(each.name for each in several)
        raise PlatformError(f"{run!r} is ambiguous, it may be {names}") from error
    except KeyError as error:
        raise PlatformError(f"there is no run {run!r}; see `python run.py runs list`") from error


def _seconds(start: datetime | None, end: datetime | None) -> str:
    return f"{(end - start).total_seconds():.1f}" if start and end else ""
