"""What a run on SageMaker will cost, from the stack's file and two tables; asks nobody."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from math import ceil
from typing import NamedTuple

import click
from rich.table import Table

from bank_marketing.config import TrainingSettings
from cli.terminal import console
from stacks.cost import (
    ALL_STEPS,
    Durations,
    Plan,
    Task,
    load_durations,
    load_prices,
    plan,
    require_affordable,
    submitted_by,
)
from stacks.files import DEFAULT, SageMakerFile, StackFile

TUNING = "tune_hyperparameters"
TRAINING = "train_model"


class Submitted(NamedTuple):
    """What a step submits: how long it waits for that, and for how long AWS bills its machines."""

    wait_s: float
    billed_s: float


def require_within(
    stack: StackFile, settings: TrainingSettings, execution: str, max_usd: float | None
) -> None:
    """Stop a run on SageMaker that would cost more than `max_usd`; an emulated one costs nothing.

    Raises:
        SettingsError: It would, or a price is unknown.
    """
    if max_usd is None or stack.sagemaker is None or stack.emulated:
        return
    steps = tuple(load_durations().training)
    require_affordable(_plan(stack, stack.sagemaker, settings, execution, steps), max_usd)


def show_plan(
    stack: StackFile, settings: TrainingSettings, execution: str, steps: Sequence[str]
) -> None:
    """Print the jobs that SageMaker would run, how long and for how much."""
    if stack.sagemaker is None:
        return
    planned = _plan(stack, stack.sagemaker, settings, execution, steps)
    table = Table("job", "kind", "instance", "minutes billed", "USD", title="jobs")
    for job in planned.jobs:
        kind = f"{job.use}, spot" if job.spot else job.use
        table.add_row(job.name, kind, job.instance_type, _minutes(job.billed_s), _usd(job.usd))
    table.add_section()
    table.add_row("total", "", "", _minutes(planned.billed_s), _usd(planned.usd))
    console.print(table)
    if stack.emulated:
        click.echo("the emulator bills nothing: this is what Amazon would, for machines of its own")
    for line in _remarks(planned):
        click.echo(line)


def _plan(
    stack: StackFile,
    sagemaker: SageMakerFile,
    settings: TrainingSettings,
    execution: str,
    steps: Sequence[str],
) -> Plan:
    durations = load_durations()
    submitted = _submitted(settings, durations)
    seconds = {step: durations.training[step] for step in steps}
    if TUNING not in submitted:
        seconds[TUNING] += min(
            settings.tuning.trials * durations.trial_s, settings.tuning.timeout_s
        )
    for step, work in submitted.items():
        seconds[step] += work.wait_s
    if execution == "single-job":
        seconds = {ALL_STEPS: sum(seconds.values())}
    return plan(
        str(stack.components["orchestrator"].config.get("region")),
        [
            *_tasks(sagemaker, seconds, durations),
            *(
                Task(submitted_by(step), sagemaker.submitted_job, work.billed_s)
                for step, work in submitted.items()
            ),
        ],
        load_prices(),
    )


def _tasks(
    sagemaker: SageMakerFile, seconds: Mapping[str, float], durations: Durations
) -> Iterator[Task]:
    """Yield the jobs of steps; a warm machine is paid for all of its time, the most that it is."""
    for step, step_s in seconds.items():
        job = sagemaker.step_jobs.get(step, sagemaker.step_jobs[DEFAULT])
        yield Task(step, job, durations.billed_start_s + step_s + job.keep_alive_s)


def _submitted(settings: TrainingSettings, durations: Durations) -> dict[str, Submitted]:
    """Say what each step submits that does; a tuning job ends at its timeout, at the latest."""
    tuning, work = settings.tuning, {}
    if tuning.backend == "sagemaker" and tuning.trials:
        at_once = min(tuning.workers, tuning.trials)
        trial_s = durations.billed_start_s + durations.trial_s
        rounds = ceil(tuning.trials / at_once)
        work[TUNING] = Submitted(
            wait_s=min(rounds * (durations.waiting_s + trial_s), tuning.timeout_s),
            billed_s=min(tuning.trials * trial_s, at_once * tuning.timeout_s),
        )
    if settings.training.backend != "step":
        billed_s = durations.billed_start_s + durations.training[TRAINING]
        work[TRAINING] = Submitted(durations.waiting_s + billed_s, billed_s)
    return work


def _remarks(planned: Plan) -> list[str]:
    durations = load_durations()
    dates = {job.price_date for job in planned.jobs if job.price_date is not None}
    return [
        f"prices: {planned.region}, on demand, as of {_span(dates)} (stacks/prices.yaml)",
        *(f"price unknown: {name} in {planned.region}" for name in planned.unknown),
        f"each job: {durations.billed_start_s:.0f} s to fetch its image are billed, about "
        f"{durations.waiting_s:.0f} s of waiting for a machine are not (stacks/durations.yaml)",
        "not in it: storage, requests, and MLflow's server",
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
