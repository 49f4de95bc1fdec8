"""Stacks as files: what `stack_configs/*.yaml` may say."""

from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from bank_marketing.config import Settings, load_settings
from bank_marketing.errors import SettingsError

FOLDER = Path(__file__).parent.parent / "stack_configs"

Kind = Literal["orchestrator", "artifact_store", "experiment_tracker", "model_registry"]


class ComponentFile(Settings):
    """One stack component: its flavor and the configuration of that flavor."""

    flavor: str
    config: dict[str, Any] = Field(default_factory=dict)


class StackFile(Settings):
    """A ZenML stack: its name in ZenML and its components, which carry the same name."""

    name: str
    components: dict[Kind, ComponentFile]


def stack_names() -> list[str]:
    """Return what `--stack` may be."""
    return sorted(file.stem for file in FOLDER.glob("*.yaml"))


def load_stack(name: str) -> StackFile:
    """Read `stack_configs/NAME.yaml`.

    Raises:
        SettingsError: There is no such file, or it says what a stack cannot be.
    """
    if name not in stack_names():
        raise SettingsError(f"there is no stack {name!r}; there are: {', '.join(stack_names())}")
    return load_settings(FOLDER / f"{name}.yaml", StackFile)
