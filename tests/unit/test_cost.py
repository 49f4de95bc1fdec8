"""What a run on SageMaker costs, before and after it."""

from datetime import date

import pytest

from bank_marketing.errors import SettingsError
from platforms.base import Charge
from stacks import cost
from stacks.cost import PriceTable
from stacks.files import StackFile, load_stack
from tests.unit.test_stack_files import VARIABLES

PRICES = PriceTable.model_validate(
    {
        "sources": {"a page": {"date": "2026-01-31", "url": "https://example.com", "says": "so"}},
        "prices": {
            "eu-west-1": {
                "processing": {
                    "ml.m5.large": {"usd": 0.1, "for": "processing", "source": "a page"}
                },
                "training": {"ml.m5.xlarge": {"usd": 0.2, "for": "training", "source": "a page"}},
            }
        },
    }
)


@pytest.fixture
def stack() -> StackFile:
    """The stack of the repository, in a region of which prices are known."""
    return load_stack("sagemaker", VARIABLES)


def plan(stack: StackFile, seconds: dict[str, float]) -> cost.Plan:
    """Plan steps as the jobs that the stack has for them, each billed for some seconds."""
    assert stack.sagemaker is not None
    jobs = stack.sagemaker.step_jobs
    tasks = [cost.Task(step, jobs.get(step, jobs["default"]), s) for step, s in seconds.items()]
    return cost.plan("eu-west-1", tasks, PRICES)


def test_a_plan_has_a_job_for_each_task_and_their_sum(stack):
    planned = plan(stack, {"split_data": 360, "tune_hyperparameters": 720})

    assert [(job.name, job.use, job.instance_type) for job in planned.jobs] == [
        ("split_data", "processing", "ml.m5.large"),
        ("tune_hyperparameters", "training", "ml.m5.xlarge"),
    ]
    assert planned.billed_s == 360 + 720
    # 0.1 USD/h * 360 s + 0.2 USD/h * 720 s
    assert planned.usd == pytest.approx(0.01 + 0.04)
    assert planned.jobs[0].price_date == date(2026, 1, 31)


def test_a_sum_with_an_unknown_price_is_unknown(stack):
    planned = plan(stack, {"split_data": 260, "train_model": 1})

    assert planned.usd is None
    assert planned.jobs[0].usd is not None
    assert planned.unknown == ("ml.m5.large for training",)


class TestLimit:
    def test_a_run_at_the_limit_may_go(self, stack):
        planned = plan(stack, {"split_data": 3600})

        assert planned.usd == pytest.approx(0.1)
        cost.require_affordable(planned, 0.1)

    def test_a_run_above_it_is_refused(self, stack):
        with pytest.raises(SettingsError, match=r"about 0\.10 USD, more than --max-usd 0\.09; "):
            cost.require_affordable(plan(stack, {"split_data": 3600}), 0.09)

    def test_a_run_of_unknown_cost_is_refused(self, stack):
        with pytest.raises(SettingsError, match=r"no price of ml\.m5\.large for training in eu-w"):
            cost.require_affordable(plan(stack, {"train_model": 1}), 1_000)


def charge(use: str, instance_type: str, seconds: float) -> Charge:
    return Charge(type=use, instance_type=instance_type, seconds=seconds)


class TestFinishedJob:
    @pytest.mark.parametrize(
        ("job", "usd"),
        [
            (charge("processing", "ml.m5.large", 360), 0.01),
            (charge("training", "ml.m5.xlarge", 180), 0.01),
            (charge("training", "ml.m5.xlarge", 0), 0),
        ],
    )
    def test_costs_what_is_billed(self, job, usd):
        assert cost.usd_of(job, "eu-west-1", PRICES) == pytest.approx(usd)

    def test_of_unknown_price(self):
        assert cost.usd_of(charge("training", "ml.p3.2xlarge", 60), "eu-west-1", PRICES) is None


class TestTables:
    def test_every_price_has_a_dated_source_on_the_web(self):
        table = cost.load_prices()

        assert all(source.url.startswith("https://") for source in table.sources.values())
        assert all(source.date <= date.today() for source in table.sources.values())

    def test_a_price_without_its_source_is_refused(self):
        values = PRICES.model_dump(by_alias=True) | {"sources": {}}

        with pytest.raises(ValueError, match="sources lacks a page"):
            PriceTable.model_validate(values)

    @pytest.mark.parametrize("region", ["eu-west-1", "us-east-1"])
    def test_the_jobs_of_the_stack_have_prices(self, stack, region):
        table = cost.load_prices()
        jobs = [*stack.sagemaker.step_jobs.values(), stack.sagemaker.submitted_job]

        assert all(table.find(region, job.type, job.instance_type) for job in jobs)
