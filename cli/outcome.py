"""How a training run ends for whoever waited: its summary, for people and programs, and a code."""

from pathlib import Path

import click
from zenml.models import PipelineRunResponse

from bank_marketing.errors import PlatformError
from cli.summary import show_summary, summarize
from stacks.files import StackFile

REJECTED = 3  # the exit code of a run whose model did not pass the gate
_TRAINING = ("training", "training_single_job")


def is_training(run: PipelineRunResponse) -> bool:
    """Say whether a run has the outcome that is told here."""
    return run.pipeline is not None and run.pipeline.name in _TRAINING


def tell_outcome(run: PipelineRunResponse, stack: StackFile, summary: Path | None) -> None:
    """Print the summary of a run that succeeded on `stack`, the active one, and write it as JSON.

    Raises:
        PlatformError: It ran on another stack, the summary cannot be written, or a server refused.
        Exit: With code 3, because the gate said no.
    """
    if run.stack is None or run.stack.name != stack.name:
        where = f"stack {run.stack.name!r}" if run.stack else "a stack that is gone"
        raise PlatformError(f"{run.name} ran on {where}; --stack {stack.option} is {stack.name!r}")
    result = summarize(run, stack.option)
    show_summary(result)
    if summary is not None:
        _write(summary, result.model_dump_json(indent=2) + "\n")
    if not result.decision.passed:
        raise click.exceptions.Exit(REJECTED)


def _write(summary: Path, text: str) -> None:
    try:
        summary.write_text(text, encoding="utf-8")
    except OSError as error:
        raise PlatformError(f"--summary {summary} cannot be written: {error.strerror}") from error
