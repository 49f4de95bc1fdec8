"""`run.py model …`: what is registered, where it came from, and who is the champion."""

import getpass
import os
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from bank_marketing.config import TrainingSettings, load_settings
from cli import model_tables
from cli.environment import heavy_imports
from cli.stacks import reach_stack
from cli.terminal import console
from cli.training import CONFIG
from platforms.base import CHAMPION, ModelRegistry, ModelVersion, RunFacts, RunNotFoundError
from registry.history import Reason, history
from stacks.files import load_stack

if TYPE_CHECKING:
    from registry.promotion import Promotion


NAME = click.option(
    "--name",
    default=lambda: load_settings(CONFIG, TrainingSettings).registry.model_name,
    show_default="registry.model_name of configs/training.yaml",
    help="The model.",
)
STACK = click.option("--stack", default="local", show_default=True, help="Whose registry.")
DRY_RUN = click.option("--dry-run", is_flag=True, help="Say what would be done, and touch nothing.")
BECAUSE = click.option("--because", required=True, metavar="TEXT", help="Why; is recorded.")


@click.group("model")
def command() -> None:
    """List, show, compare, approve and promote registered models."""


@command.command("list")
@NAME
@STACK
def list_versions(name: str, stack: str) -> None:
    """List every version, newest first."""
    registry = _registry(stack)
    versions = registry.versions(name)
    if not versions:
        click.echo(f"no version of {name!r} is registered; run `python run.py --pipeline training`")
        return
    from registry.packages import packages_of

    rows = [(version, _facts(registry, version)) for version in versions]
    console.print(model_tables.overview(name, rows, packages_of(versions)))


@command.command("show")
@click.argument("version")
@NAME
@STACK
def show_version(version: str, name: str, stack: str) -> None:
    """Show one VERSION, by number or alias, and what happened to it."""
    registry = _registry(stack)
    from registry.packages import packages_of

    found = registry.version(name, version)
    package = packages_of([found]).get(found.version)
    console.print(model_tables.details(found, _facts(registry, found), package))
    if history(found):
        console.print(model_tables.events(found))


@command.command("promote")
@click.argument("version")
@BECAUSE
@DRY_RUN
@NAME
@STACK
def promote_version(version: str, because: str, dry_run: bool, name: str, stack: str) -> None:
    """Make VERSION, a number or an alias, the champion in every registry."""
    registry = _registry(stack)
    from registry.promotion import plan_promotion

    promotion = plan_promotion(registry, name, version, _reason(because))
    _finish(registry, promotion, dry_run=dry_run)


@command.command("rollback")
@click.argument("version", required=False)
@BECAUSE
@DRY_RUN
@NAME
@STACK
def roll_back(version: str | None, because: str, dry_run: bool, name: str, stack: str) -> None:
    """Make a former champion the champion again: VERSION, or else the one before."""
    registry = _registry(stack)
    from registry.promotion import plan_rollback

    promotion = plan_rollback(registry, name, version, _reason(because))
    _finish(registry, promotion, dry_run=dry_run)


@command.command("approve")
@click.argument("version")
@BECAUSE
@NAME
@STACK
def approve_version(version: str, because: str, name: str, stack: str) -> None:
    """Record that VERSION may be promoted; a shared registry demands it."""
    registry = _registry(stack)
    from registry.promotion import approve

    approval = approve(registry, name, version, _reason(because))
    click.echo(f"version {version}: {model_tables.in_words(approval)}")


@command.command("lineage")
@click.argument("version")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@NAME
@STACK
def show_lineage(version: str, as_json: bool, name: str, stack: str) -> None:
    """Show what VERSION came from: runs, stack, commit, data, parameters, parents."""
    registry = _registry(stack)
    from registry.ancestry import trace

    ancestry = trace(registry, registry.version(name, version))
    if as_json:
        click.echo(ancestry.model_dump_json(indent=2))
    else:
        console.print(model_tables.lineage_tree(ancestry), soft_wrap=True)


@command.command("compare")
@click.argument("a")
@click.argument("b")
@NAME
@STACK
def compare_versions(a: str, b: str, name: str, stack: str) -> None:
    """Show version A beside version B: metrics, and the parameters and data that differ."""
    registry = _registry(stack)
    from registry.lineage import require_lineage

    versions = registry.version(name, a), registry.version(name, b)
    for version in versions:
        require_lineage(version)
    facts = registry.run_facts(versions[0].run_id), registry.run_facts(versions[1].run_id)
    console.print(*model_tables.comparison(versions, facts), sep="\n")


def _facts(registry: ModelRegistry, version: ModelVersion) -> RunFacts:
    """Return what the run of `version` recorded: nothing, if there is no such run."""
    try:
        return registry.run_facts(version.run_id)
    except RunNotFoundError:
        return RunFacts(name="", parameters={}, metrics={}, data_uri=None, data_rows=None)


def _finish(registry: ModelRegistry, promotion: "Promotion", *, dry_run: bool) -> None:
    """Carry `promotion` out unless this is a rehearsal, and say what that changes."""
    from registry.promotion import carry_out

    number = promotion.version.version
    if not promotion.changes:
        click.echo(f"version {number} is the {CHAMPION} in every registry: nothing to do")
        return
    if not dry_run:
        carry_out(registry, promotion)
    for change in promotion.changes:
        click.echo(change)
    click.echo("nothing was touched" if dry_run else f"version {number} is the {CHAMPION}")


def _reason(because: str) -> Reason:
    if not because.strip():
        raise click.BadParameter("say why", param_hint="--because")
    return Reason(who=getpass.getuser(), when=datetime.now(UTC), because=because)


def _registry(stack: str) -> ModelRegistry:
    reach_stack(stack)
    stack_file = load_stack(stack)
    os.environ.setdefault("ZENML_LOGGING_VERBOSITY", "WARN")  # else it reports every stage it sets
    with heavy_imports():
        from registry.active import active_registry
        from stacks import registration
    with registration.using(stack_file):
        return active_registry()
