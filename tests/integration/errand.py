"""A pipeline of one step that does as it is told, run as `run.py` runs its own."""

import os
import signal
import sys
import time
from pathlib import Path
from typing import Annotated

import click
import mlflow
from zenml import pipeline, step
from zenml.utils.source_utils import set_custom_source_root

BEGAN = "began"
GO = "go"
OUTPUT = "output"


@step(enable_cache=False, experiment_tracker=True)
def do(deed: str, folder: str) -> Annotated[str, "deed"]:
    """Tell in `folder` that the step began; then die, or wait there for a word, and end."""
    mlflow.log_param("deed", deed)
    (Path(folder) / BEGAN).touch()
    if deed == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    while deed == "wait" and not (Path(folder) / GO).exists():
        time.sleep(0.05)
    mlflow.log_metric("done", 1)
    return deed


@pipeline
def errand(deed: str, folder: str) -> None:
    do(deed, folder)


@click.command()
@click.argument("deed")
@click.argument("folder")
def command(deed: str, folder: str) -> None:
    """Do DEED on the stack of SageMaker."""
    from cli.execution import execute, ready
    from cli.stacks import choose_stack

    stack = choose_stack("sagemaker")
    with ready(stack):
        run = execute(
            *(errand, deed, folder),
            stack=stack,
            use_cache=False,
            experiment="errand",
            tags={},
            facts={},
        )
    click.echo(f"{run.name}: {run.status}")


def begin_at(terminal: str, folder: str) -> None:
    """Begin an errand that waits, at a terminal; what it says goes to a file in `folder`."""
    from cli.main import main

    # Tests that run in the background hand on that they ignore Ctrl-C.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    set_custom_source_root(str(Path(__file__).parent))
    sys.argv = ["run.py", "wait", folder]
    with Path(terminal).open() as sys.stdin, Path(folder, OUTPUT).open("w") as sys.stdout:
        sys.stderr = sys.stdout
        sys.exit(main(command))
