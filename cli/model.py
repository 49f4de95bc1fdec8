"""`run.py model list|show`: what is registered."""

import click
from rich.table import Column, Table

from bank_marketing.config import TrainingSettings, load_settings
from cli.environment import heavy_imports
from cli.terminal import console
from cli.training import CONFIG
from platforms.base import ModelRegistry
from stacks.files import load_stack

STACK = click.option("--stack", default="local", show_default=True, help="Whose registry.")


@click.group("model")
def command() -> None:
    """List and show registered models."""


@command.command("list")
@STACK
def list_versions(stack: str) -> None:
    """List every version, newest first."""
    name = _model_name()
    versions = _registry(stack).versions(name)
    if not versions:
        click.echo(f"no version of {name!r} is registered; run `python run.py --pipeline training`")
        return
    table = Table("version", "aliases", "created (UTC)", "data", "run", title=name)
    for version in versions:
        table.add_row(
            version.version,
            ", ".join(version.aliases),
            version.created,
            version.tags["data_source"],
            version.tags["zenml_run_name"],
        )
    console.print(table)


@command.command("show")
@click.argument("version")
@STACK
def show_version(version: str, stack: str) -> None:
    """Show one VERSION, by number or alias."""
    found = _registry(stack).version(_model_name(), version)
    value_column = Column(overflow="fold")  # whole URIs, to be copied
    table = Table(
        Column(), value_column, show_header=False, title=f"{found.name} version {found.version}"
    )
    for name, value in (
        ("aliases", ", ".join(found.aliases)),
        ("created", found.created),
        ("bundle", found.bundle_uri),
        ("mlflow_run_id", found.run_id),
        *sorted(found.tags.items()),
    ):
        table.add_row(name, value)
    console.print(table)


def _registry(stack: str) -> ModelRegistry:
    stack_file = load_stack(stack)
    with heavy_imports():
        from registry.active import active_registry
        from stacks import registration
    with registration.using(stack_file):
        return active_registry()


def _model_name() -> str:
    return load_settings(CONFIG, TrainingSettings).registry.model_name
