"""What the jobs of a run cost: before it, by what steps take, and after it, by what AWS bills."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, model_validator

from bank_marketing.config import NonNegative, Positive, Settings, parse_settings, read_values
from bank_marketing.errors import SettingsError
from platforms.base import Charge
from stacks.files import JobFile

PRICES = Path(__file__).parent / "prices.yaml"
DURATIONS = Path(__file__).parent / "durations.yaml"

Use = Literal["processing", "training"]

# What jobs are called that are not those of one step.
ALL_STEPS = "all steps"


def submitted_by(step: str) -> str:
    """Return what the job is called that a step submits."""
    return f"{step}, submitted"


class Source(Settings):
    """Where a price was read, and when it held."""

    date: date
    url: str
    says: str


class Price(Settings):
    """USD for an hour; `stated_for` is the use for which the source states it."""

    usd: Positive
    stated_for: str = Field(alias="for")
    source: str


class PriceTable(Settings):
    """Prices on demand by region, use and instance type."""

    sources: dict[str, Source]
    prices: dict[str, dict[Use, dict[str, Price]]]

    @model_validator(mode="after")
    def _name_every_source(self) -> Self:
        nowhere = {price.source for price in self._all()} - self.sources.keys()
        if nowhere:
            raise ValueError(f"sources lacks {', '.join(sorted(nowhere))}")
        return self

    def find(self, region: str, use: Use, instance_type: str) -> Price | None:
        """Return the price of an hour, if it is known."""
        return self.prices.get(region, {}).get(use, {}).get(instance_type)

    def _all(self) -> Iterable[Price]:
        for uses in self.prices.values():
            for types in uses.values():
                yield from types.values()


class Durations(Settings):
    """Seconds: of the steps by name, of a trial, and of the start of a job, billed and not."""

    training: dict[str, NonNegative]
    trial_s: Positive
    billed_start_s: NonNegative
    waiting_s: NonNegative


@dataclass(frozen=True)
class Task:
    """What runs on a kind of machine, and for how many seconds AWS bills all of them together."""

    name: str
    job: JobFile
    billed_s: float


@dataclass(frozen=True)
class PlannedJob:
    """A job to come: what AWS will bill, in seconds and USD; no USD if the price is unknown."""

    name: str
    use: Use
    instance_type: str
    spot: bool
    billed_s: float
    usd: float | None
    price_date: date | None


@dataclass(frozen=True)
class Plan:
    """The jobs of a run in their order."""

    region: str
    jobs: tuple[PlannedJob, ...]

    @property
    def billed_s(self) -> float:
        return sum(job.billed_s for job in self.jobs)

    @property
    def usd(self) -> float | None:
        """USD of all jobs, if every price is known."""
        known = [job.usd for job in self.jobs if job.usd is not None]
        return sum(known) if len(known) == len(self.jobs) else None

    @property
    def unknown(self) -> tuple[str, ...]:
        """The uses of instance types whose price is unknown."""
        return tuple(
            sorted({f"{job.instance_type} for {job.use}" for job in self.jobs if job.usd is None})
        )


def load_prices() -> PriceTable:
    """Read the table of prices."""
    return parse_settings(read_values(PRICES), PRICES, PriceTable)


def load_durations() -> Durations:
    """Read how long steps take."""
    return parse_settings(read_values(DURATIONS), DURATIONS, Durations)


def plan(region: str, tasks: Iterable[Task], prices: PriceTable) -> Plan:
    """Return what tasks cost in a region.

    Spot instances are charged as if on demand: the most that it can be. Storage, requests and tries
    after a failure are not in it.
    """
    jobs = []
    for task in tasks:
        price = prices.find(region, task.job.type, task.job.instance_type)
        jobs.append(
            PlannedJob(
                name=task.name,
                use=task.job.type,
                instance_type=task.job.instance_type,
                spot=task.job.spot,
                billed_s=task.billed_s,
                usd=price.usd * task.billed_s / 3600 if price else None,
                price_date=prices.sources[price.source].date if price else None,
            )
        )
    return Plan(region, tuple(jobs))


def usd_of(charge: Charge, region: str, prices: PriceTable) -> float | None:
    """Return what a job costs on demand, if the price is known."""
    price = prices.find(region, charge.type, charge.instance_type)
    return price.usd * charge.seconds / 3600 if price else None


def require_affordable(planned: Plan, max_usd: float) -> None:
    """Stop where a run would cost more than it may.

    Raises:
        SettingsError: It would, or nobody knows.
    """
    if planned.usd is None:
        raise SettingsError(
            f"--max-usd {max_usd:g} cannot be held: {PRICES} has no price of "
            f"{', '.join(planned.unknown)} in {planned.region}; add it, with its source"
        )
    if planned.usd > max_usd:
        raise SettingsError(
            f"the run would cost about {planned.usd:.2f} USD, more than --max-usd {max_usd:g}; "
            "`--dry-run` shows which jobs"
        )
