"""Say in one line why a run failed."""

from zenml.exceptions import RunInterruptedException, RunStoppedException
from zenml.models import PipelineRunResponse
from zenml.utils import source_utils

from bank_marketing.errors import ProjectError

_STOPPED = (RunInterruptedException, RunStoppedException, SystemExit)  # the last by SIGTERM


class RunFailedError(ProjectError):
    """A step raised or was stopped; the message names it and repeats what it said."""


def reason(run: PipelineRunResponse) -> str | None:
    """Say which step of a run raised what; a traceback only where the error is a bug.

    A step that was stopped, or whose machine died, may have raised nothing.
    """
    for name, step in run.steps.items():
        told = step.exception_info
        if told is None:
            continue
        kind = source_utils.load(told.source) if told.source else Exception
        if issubclass(kind, _STOPPED):
            continue
        if issubclass(kind, ProjectError):
            return f"step {name}: {told.message}"
        return f"step {name} failed unexpectedly:\n{told.traceback}"
    return None
