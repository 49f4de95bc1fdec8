"""What a run on SageMaker will cost, from the stack's file and two tables; asks nobody."""

from collections.abc import Sequence
from datetime import date

import click
from rich.table import Table

from bank_marketing.config import TrainingSettings
from cli.terminal import console
from stacks.cost import Plan, load_durations, load_prices, plan, require_affordable
from stacks.files import StackFile

TUNING = "tune_hyperparameters"


def require_within(stack: StackFile, settings: TrainingSettings, max_usd: float | None) -> None:
    """Stop a run on SageMaker that would cost more than `max_usd`.

    Raises:
        SettingsError: It would, or a price is unknown.
    """
    if max_usd is not None:
        planned = _plan(stack, settings, tuple(load_durations().training))
        if planned is not None:
            require_affordable(planned, max_usd)


def show_plan(stack: StackFile, settings: TrainingSettings, steps: Sequence[str]) -> None:
    """Print the jobs that SageMaker would run, how long and for how much."""
    planned = _plan(stack, settings, steps)
    if planned is None:
        return
    table = Table("job", "kind", "instance", "minutes billed", "USD", title="jobs")
    for job in planned.jobs:
        kind = f"{job.use}, spot" if job.spot else job.use
        table.add_row(job.step, kind, job.instance_type, _minutes(job.billed_s), _usd(job.usd))
    table.add_section()
    table.add_row("total", "", "", _minutes(planned.billed_s), _usd(planned.usd))
    console.print(table)
    for line in _remarks(planned):
        click.echo(line)


def _plan(stack: StackFile, settings: TrainingSettings, steps: Sequence[str]) -> Plan | None:
    if stack.sagemaker is None or stack.emulated:
        return None
    durations = load_durations()
    tuning_s = min(settings.tuning.trials * durations.trial_s, settings.tuning.timeout_s)
    seconds = {
        step: durations.training[step] + (tuning_s if step == TUNING else 0) for step in steps
    }
    return plan(
        stack, stack.sagemaker, seconds, start_s=durations.billed_start_s, prices=load_prices()
    )


def _remarks(planned: Plan) -> list[str]:
    durations = load_durations()
    dates = {job.price_date for job in planned.jobs if job.price_date is not None}
    return [
        f"prices: {planned.region}, on demand, as of {_span(dates)} (stacks/prices.yaml)",
        *(f"price unknown: {name} in {planned.region}" for name in planned.unknown),
        f"each job: {durations.billed_start_s:.0f} s to fetch its image are billed, about "
        f"{durations.waiting_s:.0f} s of waiting for a machine are not (stacks/durations.yaml)",
        "not in it: storage, requests, MLflow's server, and jobs that a step submits",
    ]


def _span(dates: set[date]) -> str:
    if not dates:
        return "no date"
    first, last = min(dates), max(dates)
    return f"{first}" if first == last else f"{first} to {last}"


def _minutes(seconds: float) -> str:
    return f"{seconds / 60:.1f}"


def _usd(usd: float | None) -> str:
    return "unknown" if usd is None else f"{usd:.3f}"
