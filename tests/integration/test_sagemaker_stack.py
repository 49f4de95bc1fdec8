"""The training pipeline on the emulated SageMaker stack gives what it gives on this machine."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from bank_marketing.synthetic import make_table
from tests.checkout import copy_checkout

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

EMULATED = ("--stack", "sagemaker-emulated")
GONE = (
    "the emulated servers do not run, and what they kept is gone; "
    "`python run.py emulator up` starts empty ones"
)
# Rows of a file of ours count as real, so that the gate of a shared registry lets them pass.
QUICK = (
    *("--set", "evaluation.resamples=100", "--set", "explanation.max_rows=200"),
    *("--set", "gate.min_roc_auc=0.6", "--set", "gate.min_test_rows=100"),
    *("--set", "gate.max_brier=0.2", "--set", "gate.min_backtest_roc_auc=0.5"),
)


class Checkout(NamedTuple):
    """A copy of the project with a home of its own, as on a new machine."""

    folder: Path
    table: Path

    def begin(self, *arguments: str) -> "subprocess.Popen[str]":
        environment = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("AWS_", "MLFLOW_", "ZENML_", "SAGEMAKER_"))
        }
        return subprocess.Popen(
            [sys.executable, "run.py", *arguments],
            cwd=self.folder,
            env=environment | {"ZENML_CONFIG_PATH": str(self.folder.parent / "zenml")},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        with self.begin(*arguments) as process:
            output, errors = process.communicate(timeout=500)
        return subprocess.CompletedProcess(arguments, process.returncode, output, errors)

    def train(self, *arguments: str) -> Any:
        summary = self.folder.parent / "summary.json"
        done = self.run(
            *("--pipeline", "training", "--data", str(self.table), "--summary", str(summary)),
            *QUICK,
            *arguments,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return json.loads(summary.read_text())


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Checkout]:
    folder = copy_checkout(tmp_path_factory.mktemp("sagemaker stack") / "checkout")
    table = folder.parent / "contacts.csv"
    make_table(rows=6_000, seed=3).to_csv(table, index=False)
    checkout = Checkout(folder, table)
    yield checkout
    checkout.run("emulator", "down")


@pytest.fixture(scope="module")
def local(checkout: Checkout) -> Any:
    return checkout.train()


@pytest.fixture(scope="module")
def emulated(checkout: Checkout, local: Any) -> Any:
    return checkout.train(*EMULATED)


def test_the_same_table_gives_the_same_results(local, emulated):
    for name in ("sha256", "fingerprint", "rows", "rejected_rows"):
        assert emulated["data"][name] == local["data"][name]
    assert emulated["metrics"] == local["metrics"]
    assert emulated["threshold"] == local["threshold"]
    assert emulated["decision"] == local["decision"]


def test_the_same_table_gives_the_same_model_byte_for_byte(local, emulated):
    assert local["model"]["bundle_sha256"]
    assert emulated["model"]["bundle_sha256"] == local["model"]["bundle_sha256"]


def test_nobody_made_it_the_champion_of_a_shared_registry(emulated):
    assert emulated["model"]["aliases"] == ["challenger"]


def test_every_step_was_a_job_of_its_own_kind(checkout, emulated):
    listed = checkout.run("runs", "list", *EMULATED)

    assert emulated["run_name"] in listed.stdout
    assert {job["type"] for job in emulated["jobs"].values()} == {"processing", "training"}
    assert emulated["jobs"]["train_model"]["type"] == "training"
    assert emulated["jobs"].keys() == emulated["durations"].keys()


def test_a_single_job_gives_the_same_model(checkout, local, emulated):
    single = checkout.train(*EMULATED, "--execution", "single-job")

    assert single["model"]["bundle_sha256"] == local["model"]["bundle_sha256"]
    assert single["metrics"] == local["metrics"]
    assert len(single["jobs"]) == 1


def test_what_a_step_raises_is_the_reason(checkout, emulated):
    done = checkout.run(
        *("--pipeline", "training", "--data", str(checkout.table)),
        *("--set", "validation.min_rows=100000"),
        *EMULATED,
    )

    assert done.returncode == 1
    assert "step validate_data: the data did not pass validation" in done.stderr
    assert "failed" in checkout.run("runs", "list", *EMULATED).stdout


def test_an_emulator_that_is_killed_in_the_middle_is_not_waited_for(checkout, emulated):
    with checkout.begin("--pipeline", "training", "--no-cache", *QUICK, *EMULATED) as client:
        lines = iter(client.stdout.readline, "")
        assert any(line.startswith("ingest_data: running") for line in lines)
        pid = json.loads((checkout.folder / ".local/emulator/sagemaker.json").read_text())["pid"]
        os.killpg(pid, signal.SIGKILL)
        _, errors = client.communicate(timeout=120)

    assert client.returncode == 1
    assert errors.splitlines()[-1] == f"error: {GONE}"


@pytest.mark.parametrize("command", [("runs", "list"), ("model", "list"), ("dashboard",)])
def test_what_is_gone_is_not_replaced_by_empty_servers(checkout, emulated, command):
    asked = checkout.run(*command, *EMULATED)

    assert (asked.returncode, asked.stderr) == (1, f"error: {GONE}\n")


def test_nothing_is_left_when_it_is_down(checkout, emulated):
    down = checkout.run("emulator", "down")
    status = checkout.run("emulator", "status")

    assert down.returncode == 0
    assert status.returncode == 1
    left = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout
    assert str(checkout.folder) not in left
