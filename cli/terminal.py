"""What a terminal shows while one waits."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.panel import Panel
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

# Where nobody looks at a window, lines are not cut to one.
_WIDTH_OF_A_FILE = 200

console = Console(width=None if sys.stdout.isatty() else _WIDTH_OF_A_FILE)
_errors = Console(stderr=True)


def shout(warning: str) -> None:
    """Print a warning that nobody can miss."""
    _errors.print(Panel(warning, title="WARNING", style="bold red"))


@contextmanager
def download_progress() -> Iterator[Callable[[int, int | None], None]]:
    """Show a bar while bytes arrive; yields what to call with bytes done and in total."""
    bar = Progress(
        TextColumn("downloading"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        console=_errors,
        transient=True,
        disable=not _errors.is_terminal,  # else it ends with an empty line in a file
    )
    task = bar.add_task("download", total=None, visible=False)
    with bar:
        yield lambda done, total: bar.update(task, completed=done, total=total, visible=True)
