"""Fair times on a machine that does other things as well: alternating runs, medians."""

import statistics
import time
from collections.abc import Callable, Mapping


def median_seconds(
    candidates: Mapping[str, Callable[[], object]], *, rounds: int, calls: int
) -> dict[str, float]:
    """Return the median seconds of one call of each candidate.

    In each of `rounds` rounds every candidate is called `calls` times, so that a busy moment hits
    all of them. A first round, which fills caches, does not count.
    """
    times: dict[str, list[float]] = {name: [] for name in candidates}
    for _ in range(rounds + 1):
        for name, candidate in candidates.items():
            started = time.perf_counter()
            for _ in range(calls):
                candidate()
            times[name].append((time.perf_counter() - started) / calls)
    return {name: statistics.median(seconds[1:]) for name, seconds in times.items()}
