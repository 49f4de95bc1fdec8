"""`run.py emulator up|status|down`: SageMaker, ZenML and MLflow on this machine."""

import click

from cli.environment import EMULATOR_STATE
from cli.stacks import say
from cli.terminal import console
from stacks import emulation


@click.group("emulator")
def command() -> None:
    """Start, show or end the servers of `--stack sagemaker-emulated`."""


@command.command("up")
def start_servers() -> None:
    """Start the emulated SageMaker, a ZenML server and an MLflow server on free ports."""
    started = emulation.start(state=EMULATOR_STATE, told=say)
    if not started:
        click.echo("all three servers run already")
    _show()
    file = emulation.variables_file(EMULATOR_STATE)
    click.echo(
        f"Use them: python run.py --pipeline training --stack sagemaker-emulated\n"
        f"Variables for other programs, and the password of ZenML's user, are in {file}\n"
        "They run until `python run.py emulator down`, which forgets all that they keep."
    )


@command.command("status")
@click.pass_context
def show_servers(ctx: click.Context) -> None:
    """Say what runs, and where; exit code 1 if not all three servers do."""
    if not _show():
        ctx.exit(1)


@command.command("down")
def stop_servers() -> None:
    """End the servers, and all jobs and endpoints in them, and forget what they kept."""
    stopped = emulation.stop(state=EMULATOR_STATE)
    click.echo(f"stopped {', '.join(stopped)}" if stopped else "nothing was running")


def _show() -> bool:
    """Print a line for each server and return whether all of them run."""
    servers = emulation.status(state=EMULATOR_STATE)
    for server in servers:
        what = "running" if server.running else "ended" if server.url else "not started"
        where = f"  {server.url}  pid {server.pid}  log {server.log}" if server.url else ""
        console.print(f"{server.name:<9}  {what}{where}", highlight=False, soft_wrap=True)
    return all(server.running for server in servers)
