"""What a terminal shows while a step works."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from bank_marketing.search import TuningProgress


@contextmanager
def tuning_progress() -> Iterator[Callable[[TuningProgress], None]]:
    """Show a bar with the best value and the time left; nothing where nobody looks."""
    console = Console(file=sys.__stderr__)
    bar = Progress(
        TextColumn("tuning"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[state]}"),
        console=console,
        transient=True,
        disable=not console.is_terminal,  # else it ends with an empty line in a file
    )
    task = bar.add_task("tuning", total=None, state="")
    with bar:
        yield lambda told: bar.update(
            task, completed=told.finished, total=told.trials, state=_state(told)
        )


def _state(told: TuningProgress) -> str:
    best = "" if told.best_value is None else f"best {told.best_value:.4f}"
    if told.seconds_left is None:
        return best
    return f"{best}, {timedelta(seconds=round(told.seconds_left))} left"
