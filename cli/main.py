"""`run.py`: processes by `--pipeline`, everything else by sub-command."""

import importlib
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from bank_marketing.errors import ProjectError
from cli.environment import prepare
from cli.options import SUMMARY

PIPELINES = ("training",)
COMMANDS = {
    "dashboard": "Open ZenML's dashboard and MLflow's UI in the background.",
    "emulator": "Start, show or end the servers of `--stack sagemaker-emulated`.",
    "model": "List, show, compare, approve and promote registered models.",
    "runs": "List runs, watch one, or stop it.",
    "stack": "Create, show or check a stack.",
}


class LazyGroup(click.Group):
    """Imports a sub-command when it is called, so that `--help` answers at once."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of all sub-commands."""
        return sorted(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import and return a sub-command."""
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = importlib.import_module(f"cli.{cmd_name}").command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the sub-commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl(sorted(COMMANDS.items()))


@click.group(
    cls=LazyGroup,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.option("--pipeline", type=click.Choice(PIPELINES), help="The process to run.")
@click.option(
    "--stack", default="local", show_default=True, help="Where: a file in stack_configs/."
)
@click.option(
    "--config", type=click.Path(path_type=Path), help="What: by default configs/PIPELINE.yaml."
)
@click.option(
    "--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Change one configured value."
)
@click.option(
    "--data",
    default="auto",
    show_default=True,
    metavar="auto|uci|synthetic|PATH|URL",
    help="The table; auto is the stack's, else $BANK_MARKETING_DATA, else UCI's, else (offline) a "
    "synthetic one.",
)
@click.option(
    "--execution",
    type=click.Choice(["steps", "single-job"]),
    default="steps",
    show_default=True,
    help="A job for each step, or one for all: one start of a machine instead of twelve.",
)
@click.option(
    "--no-cache",
    is_flag=True,
    help="Compute every step anew; the trials of an earlier search still count.",
)
@click.option("--dry-run", is_flag=True, help="Say what would be done, and touch nothing.")
@click.option(
    "--max-usd",
    type=click.FloatRange(min=0),
    help="Refuse a run on SageMaker that would cost more.",
)
@SUMMARY
@click.pass_context
def cli(ctx: click.Context, /, pipeline: str | None, **options: Any) -> None:
    """Train, judge and register a model of who will subscribe a term deposit."""
    if ctx.invoked_subcommand is not None:
        _refuse_options_before_a_command(ctx, ctx.invoked_subcommand)
        return
    if pipeline is None:
        raise click.UsageError("name a process with --pipeline, or a command", ctx)
    from cli.training import run_training  # importing zenml takes seconds; keep --help instant

    run_training(**options)


def _refuse_options_before_a_command(ctx: click.Context, command: str) -> None:
    given = [
        option.opts[0]
        for option in ctx.command.params
        if option.name and ctx.get_parameter_source(option.name) is ParameterSource.COMMANDLINE
    ]
    if given:
        raise click.UsageError(
            f"{', '.join(given)} before {command!r} would mean nothing; "
            f"see `python run.py {command} --help`",
            ctx,
        )


def main(command: click.Command = cli) -> int:
    """Run the command line, or a command of its kind, and return its exit code.

    0 is done, 1 an error (one line, no traceback), 2 wrong usage, 3 rejected by the quality gate.
    """
    prepare()
    try:
        exit_code = command(standalone_mode=False)
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except click.Abort:
        click.echo("stopped", err=True)
        return 1
    except ProjectError as error:
        click.echo(f"error: {error}", err=True)
        return 1
    return exit_code if isinstance(exit_code, int) else 0
