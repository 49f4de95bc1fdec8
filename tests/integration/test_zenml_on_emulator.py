"""ZenML's own SageMaker orchestrator runs a pipeline of seven steps on the emulator."""

from typing import Any

import pytest

from benchmarks.zenml_on_emulator.__main__ import run_client
from stacks.emulation import PRELOADED

# The servers outlive the command that starts them, which is what `subprocess` warns of.
pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:subprocess .* is still running:ResourceWarning"),
]

STEPS = ("load", "validate", "training_part", "test_part", "train", "evaluate", "report")


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return run_client(tmp_path_factory.mktemp("zenml"), PRELOADED)


def test_zenml_says_that_every_step_completed(result):
    assert result["status"] == "completed"
    assert result["steps"] == dict.fromkeys(STEPS, "completed")


def test_sagemaker_says_that_every_step_succeeded(result):
    assert result["execution"] == "Succeeded"
    assert result["execution_steps"] == dict.fromkeys(STEPS, "Succeeded")


def test_artifacts_and_logs_are_where_a_team_looks_for_them(result):
    assert result["roc_auc"] == pytest.approx(0.828, abs=0.001)
    assert "roc_auc=0.828" in result["log"]
    assert result["mlflow"] == pytest.approx(result["roc_auc"])
