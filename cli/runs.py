"""`run.py runs list|watch`: what ran, and what is running."""

import time
from datetime import datetime
from typing import TYPE_CHECKING

import click
from rich.table import Table

from bank_marketing.errors import PlatformError
from cli.environment import heavy_imports
from cli.stacks import choose_stack
from cli.terminal import console

if TYPE_CHECKING:
    from zenml.models import PipelineRunResponse

POLL_SECONDS = 1.0
STACK = click.option("--stack", default="local", show_default=True, help="Whose ZenML to ask.")


@click.group("runs")
def command() -> None:
    """List runs, or watch one."""


@command.command("list")
@click.option("--last", default=20, show_default=True, type=click.IntRange(1, 1000))
@STACK
def list_runs(last: int, stack: str) -> None:
    """List the newest runs."""
    choose_stack(stack)
    with heavy_imports():
        from zenml.client import Client

        from stacks.store import open_store
    open_store()
    runs = Client().list_pipeline_runs(sort_by="desc:created", size=last, hydrate=True).items
    if not runs:
        click.echo("nothing ran yet; run `python run.py --pipeline training`")
        return
    table = Table("run", "status", "stack", "started (UTC)", "seconds", "failed step")
    for run in runs:
        table.add_row(
            run.name,
            str(run.status),
            run.stack.name if run.stack else "",
            f"{run.start_time:%Y-%m-%d %H:%M:%S}" if run.start_time else "",
            _seconds(run.start_time, run.end_time),
            ", ".join(name for name, step in run.steps.items() if step.status.is_failed),
        )
    console.print(table)


@command.command("watch")
@click.argument("run")
@STACK
def watch_run(run: str, stack: str) -> None:
    """Follow a RUN, by name or id, until it ends."""
    choose_stack(stack)
    with heavy_imports():
        from stacks.store import open_store
    open_store()
    told: set[tuple[str, str]] = set()
    while True:
        found = _find(run)
        for name, step in found.steps.items():
            if (name, step.status) not in told:
                told.add((name, step.status))
                click.echo(f"{name}: {step.status}")
        if found.status.is_finished:
            break
        time.sleep(POLL_SECONDS)
    click.echo(f"{found.name}: {found.status}")
    for name, step in found.steps.items():
        if step.exception_info:
            click.echo(f"{name}: {step.exception_info.message}")


def _find(run: str) -> "PipelineRunResponse":
    from zenml.client import Client
    from zenml.enums import LogicalOperators
    from zenml.exceptions import ZenKeyError

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
