"""A dry run on SageMaker says what it would cost, and `--max-usd` holds a run to it."""

from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

from bank_marketing.dataset import synthetic_source
from stacks.cost import load_durations
from stacks.doctor.resources import STEPS_AT_ONCE
from tests.conftest import _forget_open_store
from tests.unit.test_stack_files import VARIABLES

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("zenml_home")]

NOBODY = "http://127.0.0.1:1"
DRY = ("--pipeline", "training", "--stack", "sagemaker", "--dry-run")


@pytest.fixture
def nobody_answers(monkeypatch: pytest.MonkeyPatch, zenml_home: Path) -> Iterator[None]:
    """Name the parts of a stack, and servers that would refuse if they were asked."""
    for name, value in VARIABLES.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AWS_ENDPOINT_URL", NOBODY)
    monkeypatch.setenv("ZENML_STORE_URL", NOBODY)
    _forget_open_store()
    yield
    monkeypatch.undo()
    _forget_open_store()


@pytest.fixture(scope="module")
def invocations(settings, zenml_home):
    from pipelines.training import training  # a pipeline looks for a store when it is defined

    training.prepare(synthetic_source(settings.data.synthetic), None, settings)
    return training.invocations


def test_every_step_has_a_measured_duration(invocations):
    assert set(load_durations().training) == set(invocations)


def test_as_many_steps_run_at_once_as_quotas_are_checked_for(invocations):
    order = TopologicalSorter(
        {name: invocation.upstream_steps for name, invocation in invocations.items()}
    )
    order.prepare()
    widest = 0
    while order.is_active():
        ready = order.get_ready()
        widest = max(widest, len(ready))
        order.done(*ready)

    assert widest == STEPS_AT_ONCE


def test_a_dry_run_shows_jobs_minutes_and_dollars(run_process, nobody_answers):
    outcome = run_process(*DRY)

    # 12 jobs of 108 s and 22.4 s of steps: 22 minutes, two steps in training jobs
    lines = [line.strip("│ ") for line in outcome.output.splitlines()]
    rows = [[cell.strip() for cell in line.split("│")] for line in lines]
    assert ["train_model", "training", "ml.m5.large", "1.8", "0.004"] in rows
    assert ["tune_hyperparameters", "training", "ml.m5.xlarge", "1.8", "0.008"] in rows
    assert ["total", "", "", "22.0", "0.051"] in rows
    assert "prices: eu-west-1, on demand, as of 2023-12-31 (stacks/prices.yaml)" in lines
    assert lines[-1] == "nothing was touched"
    assert outcome.exit_code == 0


def test_trials_take_time(run, nobody_answers):
    outcome = run(*DRY, "--set", "tuning.trials=100")

    # 108 s, and 100 trials of 1.2 s
    (row,) = [line for line in outcome.output.splitlines() if "tune_hyperparameters │" in line]
    assert " 3.8 " in row


def test_an_unknown_price_is_said_and_no_total_is_made_up(run, nobody_answers, monkeypatch):
    monkeypatch.setenv("AWS_REGION", "ap-south-1")

    output = run(*DRY).output

    assert "price unknown: ml.m5.large for processing in ap-south-1" in output
    assert [line for line in output.splitlines() if "total" in line and "unknown" in line]


def test_a_run_that_would_cost_too_much_does_not_start(run, nobody_answers):
    outcome = run("--pipeline", "training", "--stack", "sagemaker", "--max-usd", "0.01")

    assert outcome.exit_code == 1
    assert outcome.errors.startswith("error: the run would cost about 0.05 USD, more than --max-")


def test_a_dry_run_shows_the_jobs_of_a_run_that_would_cost_too_much(run, nobody_answers):
    outcome = run(*DRY, "--max-usd", "0.01")

    assert outcome.exit_code == 1
    assert "total" in outcome.output
