"""A dry run on SageMaker says what it would cost, and `--max-usd` holds a run to it."""

from collections.abc import Callable, Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

from bank_marketing.dataset import synthetic_source
from stacks import files
from stacks.cost import load_durations
from stacks.doctor.resources import STEPS_AT_ONCE
from tests.conftest import Outcome, _forget_open_store
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


def minutes(outcome: Outcome) -> dict[str, float]:
    """Return what each job is billed for, as it was printed."""
    lines = [line.split("│") for line in outcome.output.splitlines() if line.startswith("│")]
    return {name.strip(): float(billed) for _, name, _, _, billed, _, _ in lines}


def test_jobs_that_steps_submit_are_billed_and_waited_for(run, nobody_answers):
    outcome = run(
        *DRY,
        *("--set", "tuning.backend=sagemaker", "--set", "tuning.trials=3"),
        *("--set", "training.backend=sagemaker"),
    )

    planned = minutes(outcome)
    # 3 trials of 108 s and 1.2 s; in two rounds, of 150 s more each, beside the step's own 108 s
    assert planned["tune_hyperparameters, submitted"] == 5.5
    assert planned["tune_hyperparameters"] == 10.4
    # 108 s and 1.8 s; and 150 s more for the step that waits, which has 108 s and 1.8 s as well
    assert planned["train_model, submitted"] == 1.8
    assert planned["train_model"] == 6.2


def test_a_tuning_job_ends_at_its_timeout(run, nobody_answers):
    many = ("--set", "tuning.backend=sagemaker", "--set", "tuning.trials=500")
    outcome = run(*DRY, *many)

    # 600 s, on two machines; the step is billed for its own start as well
    assert minutes(outcome)["tune_hyperparameters, submitted"] == 20
    assert minutes(outcome)["tune_hyperparameters"] == 11.8


@pytest.fixture
def change(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[str, str], None]:
    """Replace some words in the file of the stack."""

    def change(old: str, new: str) -> None:
        text = (files.FOLDER / "sagemaker.yaml").read_text()
        assert old in text
        (tmp_path / "sagemaker.yaml").write_text(text.replace(old, new))
        monkeypatch.setattr(files, "FOLDER", tmp_path)

    return change


@pytest.mark.parametrize(
    ("options", "used"),
    [((), "s3://bucket/a.csv"), (("--data", "uci"), "uci"), (("--data", "b.csv"), "b.csv")],
)
def test_the_table_of_the_stack_is_used_where_no_other_is_named(
    run, nobody_answers, change, options, used
):
    change("data: null", "data: s3://${SAGEMAKER_BUCKET}/a.csv")

    assert f"data:\n  --data {used}\n" in run(*DRY, *options).output


def test_a_machine_that_is_kept_warm_is_paid_for(run, nobody_answers, change):
    change("7200, spot: false, keep_alive_s: 0", "7200, spot: false, keep_alive_s: 600")

    outcome = run(*DRY)

    # 108 s, and 600 s after it
    assert minutes(outcome)["tune_hyperparameters"] == 11.8


def test_a_single_job_starts_one_machine(run, nobody_answers):
    outcome = run(*DRY, "--execution", "single-job")
    refused = run(*DRY, "--execution", "single-job", "--max-usd", "0.004")
    cheap = run(*DRY, "--execution", "single-job", "--max-usd", "0.005")

    # 108 s and 22.4 s, at 0.128 USD an hour: 0.0046 USD
    assert minutes(outcome) == {"all steps": 2.2, "total": 2.2}
    assert (refused.exit_code, cheap.exit_code) == (1, 0)


def test_what_is_emulated_costs_nothing_and_says_what_amazon_would_ask(run, nobody_answers):
    outcome = run(*DRY, "--stack", "sagemaker-emulated", "--max-usd", "0")

    assert minutes(outcome)["total"] == 22
    assert "the emulator bills nothing: this is what Amazon would" in outcome.output
    assert outcome.exit_code == 0


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
