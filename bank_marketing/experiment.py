"""What one run amounts to: the values that trackers, registries and summaries show."""

from collections.abc import Iterator, Mapping
from typing import Any

from bank_marketing.config import ModelSettings, Settings, TrainingSettings
from bank_marketing.evaluation import Interval


class Registration(Settings):
    """The version that a run registered, or why it registered none."""

    name: str
    version: str | None
    refused_because: tuple[str, ...]


def flat_settings(settings: Settings) -> dict[str, str]:
    """Return every value of nested settings as text under its dotted name."""
    return {name: str(value) for name, value in _leaves(settings.model_dump(), prefix="")}


def parameters_of(settings: TrainingSettings) -> dict[str, str]:
    """Return what a run is to be compared by: all settings but how to make up a table."""
    every = flat_settings(settings)
    return {name: value for name, value in every.items() if not name.startswith("data.")}


def tuned_parameters(model: ModelSettings) -> dict[str, str]:
    """Return the hyperparameters that a search chose, under the names of the configured ones."""
    return {f"model.{name}": value for name, value in flat_settings(model).items()}


def flat_metrics(where: str, metrics: Mapping[str, Interval]) -> dict[str, float]:
    """Return each metric and the bounds of its interval under names that sort together."""
    return {
        f"{where}_{name}{suffix}": value
        for name, interval in metrics.items()
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
