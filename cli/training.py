"""`--pipeline training`: from a table to a registered candidate, or to reasons why not."""

import os
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import click

from bank_marketing.config import TrainingSettings, load_settings
from bank_marketing.dataset import synthetic_source
from bank_marketing.experiment import flat_settings
from cli.environment import LOCAL_STATE, ROOT, heavy_imports
from cli.plan import require_within, show_plan
from cli.stacks import choose_stack, read_stack
from cli.terminal import download_progress, shout
from stacks.files import StackFile

CONFIG = ROOT / "configs" / "training.yaml"


def run_training(
    *,
    stack: str,
    config: Path | None,
    overrides: Sequence[str],
    data: str,
    execution: str,
    no_cache: bool,
    dry_run: bool,
    max_usd: float | None,
    summary: Path | None,
) -> None:
    """Run the pipeline, print its summary, and leave with code 3 if the gate said no."""
    settings = load_settings(config or CONFIG, TrainingSettings, overrides)
    planned = read_stack(stack)
    data = _table(data, planned)
    if dry_run:
        _print_plan(settings, planned, data, execution)
    require_within(planned, settings, execution, max_usd)
    if dry_run:
        return

    stack_file = choose_stack(stack)
    with heavy_imports():
        from stacks.store import locked, open_store

        with locked():
            open_store()  # else the definition of a pipeline does, and creates it outside the lock
        from cli.execution import execute, ready
        from cli.outcome import tell_outcome
        from pipelines.code_version import code_version
        from pipelines.training import training
        from pipelines.training_single_job import training_single_job
        from platforms.data_sources import locate, publish
        from registry.active import active_registry
        from registry.lineage import JUDGED_AGAINST, TRAINING_KEY, opponent, training_key
    with download_progress() as progress:
        source = locate(
            data,
            synthetic=settings.data.synthetic,
            cache=LOCAL_STATE / "data",
            environ=os.environ,
            progress=progress,
            warn=shout,
        )
    if folder := stack_file.shared_folder:
        source = publish(source, f"{folder}/data", stack_file.tags)
    key = training_key(source, settings, code_version())
    with ready(stack_file):
        with locked():  # who looks first creates MLflow's database
            champion = opponent(active_registry(), settings.registry.model_name, key)
        run = execute(
            training if execution == "steps" else training_single_job,
            source,
            champion,
            settings,
            stack=stack_file,
            use_cache=not no_cache,
            experiment=settings.registry.model_name,
            tags={"data_source": source.origin},
            facts={TRAINING_KEY: key, JUDGED_AGAINST: champion.version if champion else ""},
        )
        tell_outcome(run, stack_file, summary)


def _table(data: str, stack: StackFile) -> str:
    """Return what `--data` says; where that is left to the stack, what the stack says."""
    if data == "auto" and stack.sagemaker and stack.sagemaker.data:
        return stack.sagemaker.data
    return data


def _print_plan(settings: TrainingSettings, stack: StackFile, data: str, execution: str) -> None:
    steps = _steps(settings)
    for title, lines in (
        ("steps", steps),
        ("stack", (f"{kind}: {part.flavor}" for kind, part in stack.components.items())),
        ("data", [f"--data {data}"]),
        ("settings", (f"{name} = {value}" for name, value in flat_settings(settings).items())),
    ):
        click.echo(f"{title}:")
        for line in lines:
            click.echo(f"  {line}")
    show_plan(stack, settings, execution, steps)
    click.echo("nothing was touched")


def _steps(settings: TrainingSettings) -> list[str]:
    """Compose the pipeline, for which ZenML wants a store: one that is gone when this returns."""
    with TemporaryDirectory() as folder:
        for name in [name for name in os.environ if name.startswith("ZENML_STORE_")]:
            del os.environ[name]
        os.environ |= {"ZENML_CONFIG_PATH": folder, "ZENML_LOGGING_VERBOSITY": "ERROR"}
        with heavy_imports():
            from pipelines.training import training
        training.prepare(
            synthetic_source(settings.data.synthetic), None, settings
        )  # any table will do
        return list(training.invocations)
