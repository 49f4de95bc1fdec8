"""Settings of the process that must stand before a heavy library is imported."""

import atexit
import gc
import getpass
import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

ROOT = Path(__file__).parent.parent
# Downloads, logs and records of servers; without its record a server cannot be stopped.
LOCAL_STATE = ROOT / ".local"
DASHBOARD_STATE = LOCAL_STATE / "dashboard"
EMULATOR_STATE = LOCAL_STATE / "emulator"

_VARIABLES = {
    "OMP_WAIT_POLICY": "PASSIVE",  # spinning threads cost three to ten times on shared cores
    "OPENBLAS_NUM_THREADS": "1",  # the same, for regressions on small matrices
    "ZENML_ANALYTICS_OPT_IN": "false",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_LOGGING_LEVEL": "WARNING",
    "SAGEMAKER_SUPPRESS_V2_WARNING": "1",
}


def prepare() -> None:
    """Set the variables that libraries read at import; the user's own values win."""
    for name, value in _VARIABLES.items():
        os.environ.setdefault(name, value)
    with suppress(KeyError, OSError):  # a container may run as a number without a name
        os.environ.setdefault("USER", getpass.getuser())
    if not sys.stdout.isatty():
        os.environ.setdefault("ZENML_LOGGING_COLORS_DISABLED", "true")


class _News(logging.Filter):
    """Lets warnings through, and the start and end of steps, of all that ZenML tells.

    On a new machine that would be its configuration, its database, its project and its stack, of
    whose choice it even warns.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        told = record.getMessage()
        if record.levelno < logging.WARNING:
            return told.startswith(("Step `", "Using cached"))
        return not told.startswith("Setting the global active stack")


_NEWS = _News()


@contextmanager
def heavy_imports() -> Iterator[None]:
    """Keep the garbage collector away from the objects that imports create, and ZenML quiet.

    ZenML, MLflow and what they need hold some 750,000 objects that live as long as the process;
    going through them again and again costs seconds in a run, and once more at exit.
    """
    gc.disable()
    try:
        _let_only_news_through()
        yield
    finally:
        gc.freeze()
        gc.set_threshold(50_000, 20, 100)
        gc.enable()
        atexit.register(gc.freeze)


def _let_only_news_through() -> None:
    """Filter what ZenML prints, unless the user has said how much that should be."""
    from zenml.constants import ENV_ZENML_LOGGING_VERBOSITY
    from zenml.logger import ZenMLConsoleHandler

    if ENV_ZENML_LOGGING_VERBOSITY in os.environ:
        return
    for handler in logging.getLogger().handlers:
        if isinstance(handler, ZenMLConsoleHandler):
            handler.addFilter(_NEWS)
