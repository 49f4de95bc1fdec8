"""`run.py stack apply|show|doctor`: create or repair a stack, show it, check what it needs."""

import json
import logging

import click
from rich.markup import escape
from rich.table import Table

from cli.environment import heavy_imports
from cli.stacks import choose_stack, is_reachable, reach_stack, read_stack
from cli.terminal import console
from stacks.files import load_stack
from stacks.masking import masked

NAME = click.argument("name", default="local")
MARKS = {
    "ok": "[green]ok[/green]     ",
    "problem": "[red]problem[/red]",
    "unknown": "[yellow]unknown[/yellow]",
}


@click.group("stack")
def command() -> None:
    """Create, show or check a stack of stack_configs/."""


@command.command("apply")
@NAME
def apply_stack(name: str) -> None:
    """Create the stack in ZenML, or bring it in line with its file."""
    stack = choose_stack(name)
    with heavy_imports():
        from stacks import registration
    changes = registration.apply(
        stack, told=lambda change: click.echo(f"{change.component}: {change.statement}")
    )
    before = "done" if changes else "nothing to do"
    click.echo(f"{before}: stack {stack.name!r} is as stack_configs/{name}.yaml says")


@command.command("show")
@NAME
def show_stack(name: str) -> None:
    """Show the stack's file, and where ZenML differs from it."""
    stack = read_stack(name)
    table = Table("component", "flavor", "configuration", title=stack.name)
    for kind, component in stack.components.items():
        table.add_row(kind, component.flavor, json.dumps(masked(component.config)))
    console.print(table)
    if not is_reachable(name):
        click.echo("its servers do not run; `python run.py emulator up` starts them")
        return
    with heavy_imports():
        from stacks import registration
    differences = registration.differences(stack)
    for difference in differences:
        click.echo(f"{difference.component}: {difference.statement}")
    click.echo(
        f"run `python run.py stack apply {name}`" if differences else "ZenML has it like this"
    )


@command.command("doctor")
@NAME
@click.option("--json", "as_json", is_flag=True, help="Print the checks as JSON.")
@click.pass_context
def check_stack(ctx: click.Context, name: str, as_json: bool) -> None:
    """Check everything that the stack needs; exit code 1 if something is missing."""
    reach_stack(name)
    stack = load_stack(name)
    with heavy_imports():
        from stacks.doctor.examination import examine
    logging.disable(logging.WARNING)  # what libraries say on the way; a check tells what it found
    try:
        checks = examine(stack)
    finally:
        logging.disable(logging.NOTSET)
    if as_json:
        click.echo(json.dumps([check.model_dump() for check in checks], indent=1))
    else:
        for check in checks:
            console.print(
                f"{MARKS[check.state]} {check.name}: {escape(check.found)}",
                highlight=False,
                soft_wrap=True,
            )
            if check.remedy:
                console.print(f"        -> {escape(check.remedy)}", highlight=False, soft_wrap=True)
    if any(check.state == "problem" for check in checks):
        ctx.exit(1)
