"""`--pipeline training` on a real ZenML store and a real MLflow, seen through the command line."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
import pytest
from mlflow import MlflowClient
from zenml import log_metadata
from zenml.client import Client
from zenml.models import PipelineRunResponse

from bank_marketing.bundle import Bundle
from bank_marketing.synthetic import make_table
from platforms.base import ModelRegistry
from registry.active import active_registry, tracking_uri
from stacks import registration
from stacks.files import load_stack
from tests.unit.test_stack_files import VARIABLES

pytestmark = pytest.mark.slow

STEPS = [
    "ingest_data",
    "validate_data",
    "split_data",
    "tune_hyperparameters",
    "backtest_model",
    "train_model",
    "choose_threshold",
    "evaluate_model",
    "check_quality_gate",
    "write_report",
    "track_experiment",
    "register_model",
]

# 4,000 rows hold some 450 deposits: enough to learn from, too few for the floors of real work.
SMALL = (
    "data.synthetic.rows=4000",
    "model.n_estimators=60",
    "model.learning_rate=0.1",
    "tuning.trials=2",
    "tuning.workers=1",
    "evaluation.resamples=100",
    "backtest.min_train_rows=1000",
    "gate.min_backtest_roc_auc=0.01",
    "gate.min_roc_auc=0.6",
    "gate.min_test_rows=300",
)


class Trained(NamedTuple):
    """What a run printed, and the JSON that it wrote."""

    exit_code: int
    output: str
    summary: Any


class Failed(NamedTuple):
    """What a run said that did not end, and what ZenML keeps of it."""

    exit_code: int
    errors: str
    run: PipelineRunResponse


Train = Callable[..., Trained]


def override(*values: str) -> list[str]:
    return [word for value in values for word in ("--set", value)]


def computed(trained: Trained) -> list[str]:
    """Return the steps that did not come from the cache."""
    return [step for step in STEPS if step not in trained.summary["cached"]]


def newest_run() -> PipelineRunResponse:
    return Client().list_pipeline_runs(sort_by="desc:created", size=1, hydrate=True).items[0]


@pytest.fixture(scope="module")
def train(run, tmp_path_factory) -> Train:
    folder = tmp_path_factory.mktemp("summaries")

    def train(*overrides: str, data: str | Path = "synthetic") -> Trained:
        file = folder / "summary.json"
        outcome = run(
            *("--pipeline", "training", "--data", str(data), "--summary", str(file)),
            *override(*SMALL, *overrides),
        )
        assert outcome.exit_code != 1, outcome.errors
        return Trained(outcome.exit_code, outcome.output, json.loads(file.read_text()))

    return train


@pytest.fixture(scope="module")
def first(train: Train) -> Trained:
    return train()


@pytest.fixture(scope="module")
def registry(first: Trained) -> ModelRegistry:
    with registration.using(load_stack("local")):
        return active_registry()


@pytest.fixture(scope="module")
def mlflow_client(first: Trained) -> MlflowClient:
    with registration.using(load_stack("local")):
        return MlflowClient(tracking_uri())


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    return make_table(rows=4_000, seed=7)


@pytest.fixture(scope="module")
def semicolon_run(train: Train, table: pd.DataFrame, tmp_path_factory) -> Trained:
    file = tmp_path_factory.mktemp("tables") / "semicolon.csv"
    table.to_csv(file, index=False, sep=";")
    return train("registry.model_name=editions", data=file)


@pytest.fixture(scope="module")
def dearer(train: Train) -> Trained:
    """The second run for a model, which differs from the first in what a call costs."""
    train("registry.model_name=contested")
    return train("registry.model_name=contested", "threshold.cost_per_call=7")


@pytest.fixture(scope="module")
def rejected(train: Train) -> Trained:
    return train("registry.model_name=rejected", "gate.min_roc_auc=0.99")


@pytest.fixture(scope="module")
def failed(run, table: pd.DataFrame, tmp_path_factory) -> Failed:
    """A run on a table that calls a column by another name."""
    file = tmp_path_factory.mktemp("tables") / "renamed.csv"
    table.rename(columns={"age": "years"}).to_csv(file, index=False)
    outcome = run("--pipeline", "training", "--data", str(file))
    return Failed(outcome.exit_code, outcome.errors, newest_run())


class TestFirstRun:
    def test_the_first_model_that_passes_is_champion_and_challenger(self, first):
        assert first.exit_code == 0
        assert first.summary["decision"] == {"passed": True, "failures": []}
        assert first.summary["model"]["name"] == "bank-marketing"
        assert first.summary["model"]["version"] == "1"
        assert first.summary["model"]["aliases"] == ["challenger", "champion"]

    def test_the_summary_names_data_stack_and_every_step(self, first):
        data = first.summary["data"]

        # printf 'synthetic:rows=4000,seed=2008' | sha256sum
        assert data["sha256"] == "6c15b664dcfcba89cb242f6d67f38929c7b3ff50b79325b1262bbd732bfda48f"
        assert (data["source"], data["rows"], data["rejected_rows"]) == ("synthetic", 4000, 0)
        assert first.summary["stack"] == "local"
        assert list(first.summary["durations"]) == STEPS
        assert min(first.summary["durations"].values()) > 0

    def test_every_metric_lies_within_its_interval(self, first):
        for name, metric in first.summary["metrics"]["test"].items():
            assert metric["low"] <= metric["value"] <= metric["high"], name

    def test_people_read_the_same(self, first):
        auc = first.summary["metrics"]["test"]["roc_auc"]["value"]

        assert f"roc_auc   │ {auc:.4f}" in first.output
        assert "bank-marketing version 1 (challenger, champion)" in first.output
        assert first.summary["run_id"] in first.output
        within = first.summary["roc_auc_within_months"]
        assert f"ROC-AUC is {within:.3f} between customers of the same month" in first.output

    def test_the_report_is_a_page_on_disk(self, first):
        report = Path(first.summary["report_uri"]).read_text(encoding="utf-8")

        assert report.lstrip().startswith("<!DOCTYPE html>")

    def test_the_registered_bundle_carries_its_evidence(self, first):
        manifest = bundle_of(first).manifest

        assert manifest.threshold == first.summary["threshold"]
        assert manifest.data_fingerprint == first.summary["data"]["fingerprint"]
        assert manifest.metrics == {
            name: metric["value"] for name, metric in first.summary["metrics"]["test"].items()
        }

    def test_one_mlflow_run_holds_what_the_whole_pipeline_did(self, first, mlflow_client):
        run = mlflow_client.get_run(first.summary["mlflow_run_id"])

        pages = {file.path for file in mlflow_client.list_artifacts(run.info.run_id, "reports")}
        auc = first.summary["metrics"]["test"]["roc_auc"]
        assert run.data.params["model.n_estimators"] == "60"
        assert run.data.metrics["test_roc_auc"] == auc["value"]
        assert run.data.metrics["test_roc_auc_low"] == auc["low"]
        assert run.data.tags["data_source"] == run.data.tags["data_edition"] == "synthetic"
        assert [data.dataset.name for data in run.inputs.dataset_inputs] == ["synthetic"]
        assert {
            "reports/report.html",
            "reports/tuning.html",
            "reports/gate.html",
            "reports/validation.html",
        } <= pages

    def test_the_charts_of_its_pages_are_figures(self, first, mlflow_client):
        run = first.summary["mlflow_run_id"]

        names = {
            file.path.removeprefix("figures/")
            for page in ("report", "tuning")
            for file in mlflow_client.list_artifacts(run, f"figures/{page}")
        }

        assert {
            "report/roc.svg",
            "report/precision-and-recall.svg",
            "report/calibration.svg",
            "report/gains.svg",
            "report/lift.svg",
            "report/profit.svg",
            "report/scores.svg",
            "report/importance-of-the-columns.svg",
            "report/roc-auc-through-time.svg",
            "tuning/history-of-the-search.svg",
            "tuning/parallel-coordinates-of-the-trials.svg",
        } <= names

    def test_both_registries_name_the_run_and_each_other(self, first, registry):
        ours = registry.version("bank-marketing", "1")
        zenml = Client().get_model_version("bank-marketing", "v1")

        assert ours.tags["zenml_model_version_id"] == str(zenml.id)
        assert zenml.run_metadata["mlflow_model_version"] == "1"
        assert zenml.run_metadata["mlflow_run_id"] == ours.run_id == first.summary["mlflow_run_id"]
        assert ours.tags["zenml_run_id"] == zenml.run_metadata["zenml_run_id"]
        assert ours.tags["zenml_run_id"] == first.summary["run_id"]

    @pytest.mark.usefixtures("first")
    def test_zenml_links_the_version_to_what_it_is_made_of(self):
        version = Client().get_model_version("bank-marketing", "v1")

        links = Client().list_model_version_artifact_links(model_version_id=version.id)

        names = {link.artifact_version.artifact.name for link in links.items}
        assert names == {"classifier", "evaluation"}


class TestCache:
    def test_the_same_again_computes_and_registers_nothing(self, first, train, registry):
        before = registry.versions("bank-marketing")

        again = train()

        assert computed(again) == []
        assert registry.versions("bank-marketing") == before
        assert again.summary["model"] == first.summary["model"]

    def test_a_dearer_call_computes_the_threshold_and_what_follows(self, dearer):
        assert computed(dearer) == STEPS[STEPS.index("choose_threshold") :]

    def test_a_second_candidate_takes_the_challengers_place_alone(self, dearer, registry):
        newest, first = registry.versions("contested")

        assert newest.version == dearer.summary["model"]["version"]
        assert (newest.aliases, first.aliases) == (("challenger",), ("champion",))

    @pytest.mark.parametrize("edition", ["comma", "parquet"])
    def test_the_same_rows_in_another_format_train_nothing(
        self, train, table, tmp_path, edition, semicolon_run
    ):
        file = tmp_path / edition
        table.to_csv(file, index=False) if edition == "comma" else table.to_parquet(file)

        other = train("registry.model_name=editions", data=file)

        assert other.summary["data"]["edition"] == edition
        assert computed(other)[0] == "ingest_data"
        assert not set(STEPS[1 : STEPS.index("evaluate_model")]) & set(computed(other))
        assert bundle_of(other).files() == bundle_of(semicolon_run).files()


class TestGate:
    def test_a_model_below_a_floor_ends_with_three_and_the_reasons(self, rejected):
        auc = rejected.summary["metrics"]["test"]["roc_auc"]["value"]
        reason = f"roc_auc {auc:.4g} < 0.99"

        assert rejected.exit_code == 3
        assert rejected.summary["decision"] == {"passed": False, "failures": [reason]}
        assert f"REJECTED: {reason}" in rejected.output

    def test_nothing_of_it_is_registered(self, rejected, registry):
        assert rejected.summary["model"]["version"] == ""
        assert registry.versions("rejected") == ()


class TestBadData:
    def test_a_few_broken_rows_are_set_aside_with_the_reason(self, train, table, tmp_path):
        file = tmp_path / "table.csv"
        ragged = "56,housemaid\n" * 10
        file.write_text(broken(table, 50).to_csv(index=False) + ragged, encoding="utf-8")

        trained = train(
            "validation.max_rejected_share=0.02", "registry.model_name=quarantine", data=file
        )

        outputs = newest_run().steps["validate_data"].outputs
        rejected = outputs["rejected_rows"][0].load()
        assert trained.exit_code == 0
        assert trained.summary["data"]["rejected_rows"] == 60
        assert len(rejected) == 60
        assert rejected["reason"].str.startswith("job: 'astronaut'").sum() == 50
        # the header is line 1, the last of 4,000 rows line 4001
        assert rejected["reason"].iloc[-1] == "line 4011 has 2 cells, expected 21: '56,housemaid'"

    def test_too_many_end_the_run_with_one_line(self, run_process, table, tmp_path):
        file = tmp_path / "table.csv"
        broken(table, 800).to_csv(file, index=False)

        outcome = run_process("--pipeline", "training", "--data", str(file))

        assert outcome.exit_code == 1
        assert outcome.errors.startswith(
            "error: step validate_data: the data did not pass validation: "
            "800 of 4,000 rows (20.0%) are rejected, at most 1.0% may be"
        )
        assert len(outcome.errors.splitlines()) == 1
        assert "Traceback" not in outcome.output

    def test_a_renamed_column_is_named(self, failed):
        assert failed.exit_code == 1
        assert "error: step validate_data: " in failed.errors
        assert "missing columns: age; columns outside the schema, left out: years" in failed.errors

    def test_the_report_of_a_failed_validation_is_kept(self, failed):
        (report,) = failed.run.steps["validate_data"].outputs["validation_report"]
        (page,) = report.visualizations

        assert failed.errors.endswith(f"; see {page.uri}\n")
        assert "missing columns: age" in Path(page.uri).read_text(encoding="utf-8")


class TestTwoRegistries:
    def test_what_zenml_refuses_is_not_left_in_mlflow(self, run, registry):
        Client().create_model("taken", save_models_to_registry=False)
        Client().create_model_version("taken", "v1")

        outcome = run(
            *("--pipeline", "training", "--data", "synthetic"),
            *override(*SMALL, "registry.model_name=taken"),
        )

        assert outcome.exit_code == 1
        assert "v1 of model 'taken' belongs to stack None" in outcome.errors
        assert registry.versions("taken") == ()

    def test_what_mlflow_has_lost_gives_its_number_to_the_next(self, run, registry):
        Client().create_model("lost", save_models_to_registry=False)
        orphan = Client().create_model_version("lost", "v1")
        log_metadata(
            metadata={"zenml_stack": "bank-marketing-local"}, model_name="lost", model_version="v1"
        )

        outcome = run(
            *("--pipeline", "training", "--data", "synthetic"),
            *override(*SMALL, "registry.model_name=lost"),
        )

        assert outcome.exit_code == 0, outcome.errors
        assert registry.version("lost", "challenger").version == "1"
        assert Client().get_model_version("lost", "v1").id != orphan.id


class TestStack:
    @pytest.mark.usefixtures("first")
    def test_the_users_own_choice_stays_active(self, train, zenml_home):
        configuration = zenml_home / "config.yaml"
        before = configuration.read_bytes()

        train()

        assert Client().active_stack_model.name == "default"
        assert configuration.read_bytes() == before


class TestCommands:
    def test_runs_are_listed_with_their_outcome(self, first, failed, run):
        lines = run("runs", "list", "--last", "1000").output.splitlines()

        (passed,) = [line for line in lines if first.summary["run_name"] in line]
        (stopped,) = [line for line in lines if failed.run.name in line]
        assert "completed" in passed
        assert "failed" in stopped
        assert "validate_data" in stopped

    def test_watching_tells_every_step_and_how_the_run_ended(self, first, run):
        name = first.summary["run_name"]

        outcome = run("runs", "watch", name)

        lines = outcome.output.splitlines()[: len(STEPS) + 1]
        ends = [f"{step}: completed" for step in STEPS]
        assert [line.partition(" in ")[0] for line in lines] == [*ends, f"{name}: completed"]

    def test_watching_ends_as_the_run_did_that_one_waited_for(self, rejected, run, tmp_path):
        file = tmp_path / "summary.json"

        outcome = run("runs", "watch", rejected.summary["run_name"], "--summary", str(file))

        assert outcome.exit_code == 3
        assert f"REJECTED: {rejected.summary['decision']['failures'][0]}" in outcome.output
        assert json.loads(file.read_text()) == rejected.summary

    def test_a_run_is_not_told_by_the_registries_of_another_stack(self, first, run, monkeypatch):
        for name, value in VARIABLES.items():
            monkeypatch.setenv(name, value)
        registration.apply(load_stack("sagemaker"))

        outcome = run("runs", "watch", first.summary["run_name"], "--stack", "sagemaker")

        assert outcome.exit_code == 1
        assert " ran on stack 'bank-marketing-local'; --stack sagemaker is '" in outcome.errors

    def test_watching_a_failed_run_tells_why(self, failed, run):
        outcome = run("runs", "watch", str(failed.run.id))

        assert outcome.exit_code == 1
        assert "validate_data: failed in " in outcome.output
        assert outcome.errors.startswith(
            "error: step validate_data: the data did not pass validation: "
        )

    def test_versions_are_listed_with_their_aliases(self, first, run):
        lines = run("model", "list").output.splitlines()

        (line,) = [line for line in lines if first.summary["run_name"] in line]
        assert "synthetic" in line
        assert "champion" in line

    @pytest.mark.parametrize("wanted", ["1", "champion"])
    def test_a_version_is_shown_by_number_or_alias(self, first, run, wanted):
        outcome = run("model", "show", wanted)

        assert outcome.exit_code == 0
        assert "bank-marketing version 1" in outcome.output
        assert first.summary["run_name"] in outcome.output
        assert "…" not in outcome.output  # a URI that is cut short cannot be copied

    @pytest.mark.usefixtures("first")
    def test_a_version_that_is_not_there_is_named(self, run):
        outcome = run("model", "show", "77")

        assert outcome.exit_code == 1
        assert outcome.errors == (
            "error: model 'bank-marketing' has no version '77'; see `model list`\n"
        )


def bundle_of(trained: Trained) -> Bundle:
    return Bundle.load(Path(trained.summary["model"]["bundle_uri"].removeprefix("file://")))


def broken(table: pd.DataFrame, rows: int) -> pd.DataFrame:
    """Return the table with a job that nobody has in its first rows."""
    return table.assign(job=table["job"].where(table.index >= rows, "astronaut"))
