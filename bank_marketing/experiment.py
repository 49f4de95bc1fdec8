"""What one run amounts to: the values that trackers, registries and summaries show."""

from collections.abc import Iterator
from typing import Any

from bank_marketing.config import Settings
from bank_marketing.evaluation import Evaluation


class Registration(Settings):
    """The version that a run registered, or why it registered none."""

    name: str
    version: str | None
    refused_because: tuple[str, ...]


def flat_settings(settings: Settings) -> dict[str, str]:
    """Return every value of nested settings as text under its dotted name."""
    return {name: str(value) for name, value in _leaves(settings.model_dump(), prefix="")}


def flat_metrics(evaluation: Evaluation) -> dict[str, float]:
    """Return each metric and the bounds of its interval under names that sort together."""
    return {
        f"test_{name}{suffix}": value
        for name, interval in evaluation.metrics.items()
        for suffix, value in (
            ("", interval.value),
            ("_low", interval.low),
            ("_high", interval.high),
        )
    }


def _leaves(values: dict[str, Any], *, prefix: str) -> Iterator[tuple[str, Any]]:
    for name, value in values.items():
        if isinstance(value, dict):
            yield from _leaves(value, prefix=f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value
