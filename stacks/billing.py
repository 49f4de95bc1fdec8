"""What AWS bills for a run: asked once it has ended, however it did, and kept with it."""

from collections.abc import Iterable
from typing import Any

from zenml import log_metadata
from zenml.client import Client
from zenml.models import PipelineRunResponse

from bank_marketing.config import Settings
from registry.zenml_errors import zenml_errors
from stacks.cost import ALL_STEPS, load_prices, usd_of
from stacks.runs import Runs, RunView

_JOBS = "jobs"
_TOTAL = "cost_usd"


class BilledJob(Settings):
    """A job in SageMaker; `usd` is its price on demand, if that is known."""

    type: str
    instance_type: str
    billed_s: float
    usd: float | None
    log_url: str


def record_cost(runs: Runs, view: RunView) -> PipelineRunResponse:
    """Keep with a run that has ended what its jobs are billed for, and return it as it is then.

    Raises:
        PlatformError: A server refused, or was away for long.
    """
    if _JOBS in view.run.run_metadata:
        return view.run
    jobs = _billed(runs, view)
    if not jobs:
        return view.run
    metadata: dict[str, Any] = {
        _JOBS: {name: job.model_dump() for name, job in jobs.items()},
        _TOTAL: in_usd(total_usd(jobs.values())),
    }
    with zenml_errors(view.run.name):
        log_metadata(metadata=metadata, run_id_name_or_prefix=view.run.id)
        return Client().get_pipeline_run(view.run.id)


def billed_jobs(run: PipelineRunResponse) -> dict[str, BilledJob]:
    """Return what `record_cost` has kept, by the step or what else the job is called."""
    kept: Any = run.run_metadata.get(_JOBS, {})
    return {name: BilledJob.model_validate(job) for name, job in kept.items()}


def total_usd(jobs: Iterable[BilledJob]) -> float | None:
    """Return the USD of all jobs, if every price is known."""
    prices = [job.usd for job in jobs]
    known = [usd for usd in prices if usd is not None]
    return sum(known) if len(known) == len(prices) else None


def in_usd(amount: float | None) -> str:
    """Return an amount as it is shown."""
    return "unknown" if amount is None else f"{amount:.4f}"


def _billed(runs: Runs, view: RunView) -> dict[str, BilledJob]:
    found = runs.charges(view)
    prices = load_prices()
    return {
        name or ALL_STEPS: BilledJob(
            type=charge.type,
            instance_type=charge.instance_type,
            billed_s=charge.seconds,
            usd=usd_of(charge, job.region, prices),
            log_url=job.log_url or "",
        )
        for name, (job, charge) in found.items()
    }
