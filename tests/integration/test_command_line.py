"""What the command line says where nothing has run yet, and of wrong usage."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from zenml import pipeline, step
from zenml.client import Client
from zenml.models import PipelineRunResponse
from zenml.pipelines.pipeline_definition import Pipeline

from bank_marketing.errors import PlatformError
from cli.execution import execute, ready
from cli.failures import RunFailedError
from registry.lineage import GIT_COMMIT
from stacks.files import load_stack
from tests.unit.test_stack_files import VARIABLES

ROOT = Path(__file__).parents[2]
TRAINING = ("--pipeline", "training")


@step(enable_cache=False)
def return_at_once() -> int:
    return 1


@step(enable_cache=False)
def stop_itself() -> int:
    signal.raise_signal(signal.SIGTERM)
    return 1


@pipeline
def quick() -> None:
    return_at_once()


@pipeline
def stopped() -> None:
    stop_itself()


@pytest.fixture(scope="module")
def applied(run) -> None:
    """The stack of `stack_configs/local.yaml`, on which nothing has run."""
    assert run("stack", "apply").exit_code == 0


class TestWrongSettings:
    def test_a_key_that_does_not_exist_is_named(self, run):
        outcome = run("--pipeline", "training", "--set", "model.max_depht=4")

        assert outcome.exit_code == 1
        assert outcome.errors.startswith("error: ")
        assert "model.max_depht: Extra inputs are not permitted" in outcome.errors
        assert len(outcome.errors.splitlines()) == 1

    def test_a_file_that_does_not_exist_is_named(self, run):
        outcome = run("--pipeline", "training", "--config", "absent.yaml")

        assert outcome.exit_code == 1
        assert outcome.errors == "error: absent.yaml cannot be read: No such file or directory\n"

    @pytest.mark.parametrize(
        "arguments",
        [
            ("--pipeline", "training", "--stack", "moon"),
            ("stack", "apply", "moon"),
            ("stack", "doctor", "moon"),
            ("model", "list", "--stack", "moon"),
        ],
    )
    def test_an_unknown_stack_is_answered_with_the_known_ones(self, run, arguments):
        outcome = run(*arguments)

        assert outcome.exit_code == 1
        assert outcome.errors.startswith("error: there is no stack 'moon'; there are: ")
        assert "local" in outcome.errors


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "name a process with --pipeline, or a command"),
        (("--pipeline", "dance"), "'dance' is not"),
        (("--colour", "green"), "No such option"),
        (("dance",), "No such command 'dance'"),
        (("runs", "watch"), "Missing argument 'RUN'"),
        (("runs", "list", "--last", "0"), "0 is not in the range"),
        (("--stack", "local", "model", "list"), "--stack before 'model' would mean nothing"),
        (("--pipeline", "training", "stack", "show"), "--pipeline before 'stack' would mean"),
        (("--no-cache", "--set", "a=1", "runs", "list"), "--set, --no-cache before 'runs'"),
        ((*TRAINING, "--summary", "/"), "Invalid value for '--summary': File '/' is a directory"),
        ((*TRAINING, "--summary", "/absent/a.json"), "for '--summary': there is no folder /absent"),
    ],
)
def test_wrong_usage_ends_with_two(run, arguments, message):
    outcome = run(*arguments)

    assert outcome.exit_code == 2
    assert message in outcome.errors


class TestNothingYet:
    @pytest.mark.slow
    def test_no_run_is_listed(self, run):
        outcome = run("runs", "list")

        assert outcome.exit_code == 0
        assert outcome.output == "nothing ran yet; run `python run.py --pipeline training`\n"

    def test_a_run_that_is_not_there_cannot_be_watched(self, run):
        outcome = run("runs", "watch", "absent")

        assert outcome.exit_code == 1
        assert outcome.errors == (
            "error: there is no run 'absent'; see `python run.py runs list`\n"
        )

    @pytest.mark.slow
    @pytest.mark.usefixtures("applied")
    def test_no_version_is_listed(self, run):
        outcome = run("model", "list")

        assert outcome.exit_code == 0
        assert outcome.output == (
            "no version of 'bank-marketing' is registered; "
            "run `python run.py --pipeline training`\n"
        )

    @pytest.mark.slow
    @pytest.mark.usefixtures("applied")
    def test_no_version_can_be_shown(self, run):
        outcome = run("model", "show", "champion")

        assert outcome.exit_code == 1
        assert "model 'bank-marketing' has no version 'champion'" in outcome.errors


def run_here(process: Pipeline) -> PipelineRunResponse:
    stack = load_stack("local")
    with ready(stack):
        return execute(process, stack=stack, use_cache=False, experiment="quick", tags={}, facts={})


@pytest.mark.slow
@pytest.mark.usefixtures("zenml_home")
class TestRuns:
    def test_without_git_the_commit_is_unknown(self, monkeypatch, tmp_path):
        monkeypatch.setenv("PATH", str(tmp_path))

        finished = run_here(quick)

        assert finished.config.extra[GIT_COMMIT] == "unknown"

    @pytest.mark.parametrize(
        ("variable", "value", "why"),
        [
            ("GIT_DIR", "absent", "fatal: not a git repository: 'absent'; .* needs `git init`"),
            ("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1", "fatal: detected dubious ownership in "),
            ("PATH", "absent", "git is not installed"),
        ],
    )
    def test_what_git_does_not_list_is_not_sent_to_sagemaker(
        self, monkeypatch, variable, value, why
    ):
        before = Client().list_pipeline_runs().total
        stack = load_stack("sagemaker-emulated", VARIABLES)
        for config in ("GIT_CONFIG_GLOBAL", "GIT_CONFIG_SYSTEM"):  # may call any folder safe
            monkeypatch.setenv(config, os.devnull)
        monkeypatch.setenv(variable, value)

        with pytest.raises(PlatformError, match=rf"^git does not know the code in .*: {why}"):
            execute(quick, stack=stack, use_cache=False, experiment="quick", tags={}, facts={})

        assert Client().list_pipeline_runs().total == before

    def test_a_stopped_run_names_the_step_that_was_stopped(self):
        with pytest.raises(RunFailedError, match=r"^step stop_itself was stopped; see `python run"):
            run_here(stopped)

    def test_a_prefix_of_several_runs_is_answered_with_their_names(self, run):
        names = {run_here(quick).name, run_here(quick).name}

        outcome = run("runs", "watch", "quick-")

        assert outcome.exit_code == 1
        assert outcome.errors.startswith("error: 'quick-' is ambiguous, it may be ")
        assert all(name in outcome.errors for name in names)


class TestProcess:
    @pytest.fixture
    def start(self, tmp_path):
        """Start `run.py` as a user does whose home is empty."""

        def start(*arguments: str) -> subprocess.CompletedProcess[str]:
            return subprocess.run(
                [sys.executable, ROOT / "run.py", *arguments],
                cwd=tmp_path,
                env={
                    **os.environ,
                    "HOME": str(tmp_path),
                    "ZENML_CONFIG_PATH": str(tmp_path / "zenml"),
                },
                capture_output=True,
                text=True,
                timeout=120,
                check=False,
            )

        return start

    def test_help_lists_everything_without_waiting_for_heavy_libraries(self, start, monkeypatch):
        monkeypatch.setenv("PYTHONPROFILEIMPORTTIME", "1")

        answer = start("--help")

        imported = {line.rpartition("|")[2].strip() for line in answer.stderr.splitlines()}
        assert "--pipeline" in answer.stdout
        assert "List runs, watch one, or stop it." in answer.stdout
        assert "click" in imported
        assert not imported & {"zenml", "mlflow", "pandas", "xgboost"}

    @pytest.mark.slow
    def test_a_dry_run_shows_the_plan_and_leaves_nothing_behind(self, start, tmp_path):
        plan = start("--pipeline", "training", "--dry-run", "--set", "model.max_depth=4")

        assert plan.returncode == 0
        assert plan.stderr == ""
        assert "register_model" in plan.stdout
        assert "model.max_depth = 4" in plan.stdout
        assert list(tmp_path.rglob("*")) == []

    @pytest.mark.slow
    def test_two_first_runs_at_once_share_what_they_create(self, tmp_path):
        table = tmp_path / "empty.csv"
        table.touch()

        processes = [
            subprocess.Popen(
                [sys.executable, ROOT / "run.py", *TRAINING, "--data", table],
                env={**os.environ, "ZENML_CONFIG_PATH": str(tmp_path / "new")},
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                text=True,
            )
            for _ in range(2)
        ]
        errors = [process.communicate(timeout=120)[1] for process in processes]

        # Both came as far as their first step, past ZenML's store, the stack and MLflow's database.
        assert errors == [f"error: step ingest_data: {table} is empty\n"] * 2

    @pytest.mark.slow
    @pytest.mark.parametrize(
        "command", [("runs", "list"), ("stack", "show"), ("model", "list"), TRAINING]
    )
    def test_a_folder_that_cannot_be_one_is_named_in_one_line(self, start, tmp_path, command):
        (tmp_path / "zenml").write_text("a file where ZenML wants its folder")

        outcome = start(*command)

        assert outcome.returncode == 1
        assert outcome.stderr.startswith("error: ")
        assert "ZENML_CONFIG_PATH" in outcome.stderr
        assert len(outcome.stderr.splitlines()) == 1

    def test_a_mistake_ends_with_one_line(self, start):
        outcome = start("--pipeline", "training", "--set", "gate.min_roc_auc=high")

        assert outcome.returncode == 1
        assert outcome.stdout == ""
        assert outcome.stderr.startswith("error: ")
        assert "gate.min_roc_auc: " in outcome.stderr
        assert len(outcome.stderr.splitlines()) == 1
