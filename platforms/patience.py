"""Wait out what will pass: throttling, servers that restart, networks that go away."""

import itertools
import time
from collections.abc import Callable, Iterator
from typing import NamedTuple, TypeVar

from platforms.base import OutageError

_T = TypeVar("_T")
_GROWTH = 1.5


class Patience(NamedTuple):
    """How often to ask, and for how long to bear that nobody answers; in seconds."""

    first_pause: float
    longest_pause: float
    longest_outage: float

    def pauses(self) -> Iterator[float]:
        """Yield how long to wait before the next question, ever longer."""
        for number in itertools.count():
            yield min(self.first_pause * _GROWTH ** min(number, 100), self.longest_pause)


def patiently(
    ask: Callable[[], _T],
    patience: Patience,
    bear: Callable[[OutageError], None] = lambda _: None,
) -> _T:
    """Ask until there is an answer.

    Args:
        ask: Raises `OutageError` as long as there is none.
        patience: How often and for how long.
        bear: Called with each outage; what it raises ends the asking.

    Raises:
        OutageError: There was none for `patience.longest_outage`.
    """
    end, pauses = time.monotonic() + patience.longest_outage, patience.pauses()
    while True:
        try:
            return ask()
        except OutageError as outage:
            if time.monotonic() > end:
                raise
            bear(outage)
        time.sleep(next(pauses))
