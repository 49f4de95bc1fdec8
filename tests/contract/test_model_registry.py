"""What every `ModelRegistry` does, whoever keeps the models."""

import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from unittest.mock import patch

import mlflow
import numpy as np
import pandas as pd
import pytest
from mlflow import MlflowClient
from mlflow.entities import Dataset, DatasetInput, Run
from mlflow.exceptions import MlflowException
from mlflow.pyfunc import PyFuncModel

from bank_marketing.bundle import Bundle
from bank_marketing.dataset import DataOrigin
from bank_marketing.errors import PlatformError
from bank_marketing.model import train_bundle
from bank_marketing.tuning import State
from platforms.base import (
    ModelNotFoundError,
    ModelRegistry,
    ModelVersion,
    RunNotFoundError,
    RunRecord,
    TrackedRun,
    TrialRecord,
)
from platforms.factory import model_registry
from tests.mlflow_in_sagemaker import ARNS, mlflow_in_sagemaker
from tests.mlflow_server import free_port, serve

pytestmark = pytest.mark.slow

DATA = DataOrigin(
    origin="synthetic",
    uri="synthetic:rows=4000,seed=1",
    sha256="a" * 64,
    edition="synthetic",
    fingerprint="b" * 64,
    rows=4000,
)
RECORD = RunRecord(
    parameters={"model.max_depth": "5"},
    metrics={"test_roc_auc": 0.79},
    tags={"data_source": "synthetic"},
    data=DATA,
    pages={"reports/evaluation.html": "<h1>400 rows</h1>"},
)
UNKNOWN_RUN = TrackedRun(experiment_id="1", run_id="a" * 32, tracking_uri="http://127.0.0.1")

Publish = Callable[..., ModelVersion]


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A database of this machine."""
    return f"sqlite:///{tmp_path_factory.mktemp('file') / 'mlflow.db'}"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A tracking server as a team would share it, that keeps artifacts itself."""
    folder = tmp_path_factory.mktemp("server")
    with serve(f"sqlite:///{folder / 'mlflow.db'}", folder) as started:
        yield started.url


@pytest.fixture(scope="module")
def arn(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A tracking server of SageMaker, and the variables with which it is found."""
    with (
        mlflow_in_sagemaker(tmp_path_factory.mktemp("sagemaker")) as started,
        patch.dict(os.environ, started.variables),
    ):
        yield ARNS["sagemaker-mlflow"]


@pytest.fixture(scope="module", params=["file", "server", "arn"])
def registry(request: pytest.FixtureRequest) -> Iterator[ModelRegistry]:
    uri = request.getfixturevalue(request.param)
    mlflow.set_tracking_uri(uri)
    yield model_registry(uri)
    mlflow.set_tracking_uri(None)


@pytest.fixture(scope="module")
def client(registry: ModelRegistry) -> MlflowClient:
    """MLflow as its other users see it."""
    return MlflowClient()


@pytest.fixture(scope="module")
def experiment_id(client: MlflowClient, tmp_path_factory: pytest.TempPathFactory) -> str:
    is_file = mlflow.get_tracking_uri().startswith("sqlite")
    folder = tmp_path_factory.mktemp("artifacts").as_uri() if is_file else None
    return client.create_experiment("contract", artifact_location=folder)


@pytest.fixture(scope="module")
def bundle(contacts, settings) -> Bundle:
    return train_bundle(contacts[:3000], contacts[3000:], settings.features, settings.model)


@pytest.fixture(scope="module")
def publish(registry: ModelRegistry, experiment_id: str, bundle: Bundle) -> Publish:
    """Register the bundle under a name, in a run of its own, as a step does."""

    def publish(name: str, **tags: str) -> ModelVersion:
        with mlflow.start_run(experiment_id=experiment_id):
            return registry.register(name, bundle, registry.active_run(), tags)

    return publish


@pytest.fixture(scope="module")
def published(publish: Publish) -> ModelVersion:
    """A version that tests look at and leave as it is."""
    return publish("published", data_source="synthetic")


@pytest.fixture(scope="module")
def model(registry: ModelRegistry, publish: Publish) -> PyFuncModel:
    """What MLflow makes of a version, for those who know nothing but its alias."""
    publish("loaded")
    registry.set_alias("loaded", "challenger", "1")
    return mlflow.pyfunc.load_model("models:/loaded@challenger")


@pytest.fixture
def run(registry: ModelRegistry, experiment_id: str) -> TrackedRun:
    with mlflow.start_run(experiment_id=experiment_id):
        return registry.active_run()


class TestVersions:
    def test_numbers_count_from_one_and_the_newest_comes_first(self, registry, publish):
        publish("counted")
        publish("counted")

        assert [version.version for version in registry.versions("counted")] == ["2", "1"]

    def test_a_model_that_nobody_registered_has_none(self, registry):
        assert registry.versions("never-registered") == ()

    def test_a_version_knows_its_run_and_its_tags(self, published, client):
        assert client.get_run(published.run_id).info.status == "FINISHED"
        assert published.tags == {"data_source": "synthetic"}

    def test_later_tags_join_the_first_ones(self, registry, publish):
        publish("tagged", data_source="synthetic", zenml_stack="local")

        registry.tag("tagged", "1", {"data_source": "uci", "approved_by": "ann"})

        assert registry.version("tagged", "1").tags == {
            "data_source": "uci",
            "zenml_stack": "local",
            "approved_by": "ann",
        }

    def test_a_tag_can_be_taken_away_again_and_again(self, registry, publish):
        publish("untagged", data_source="synthetic", zenml_stack="local")

        registry.remove_tag("untagged", "1", "zenml_stack")
        registry.remove_tag("untagged", "1", "zenml_stack")

        assert registry.version("untagged", "1").tags == {"data_source": "synthetic"}

    @pytest.mark.parametrize("wanted", ["7", "champion"])
    @pytest.mark.parametrize("name", ["published", "never-registered"])
    @pytest.mark.usefixtures("published")
    def test_what_is_not_there_is_named(self, registry, name, wanted):
        with pytest.raises(ModelNotFoundError, match=f"model '{name}' has no version '{wanted}'"):
            registry.version(name, wanted)


class TestAliases:
    def test_an_alias_moves_to_the_version_that_got_it_last(self, registry, publish):
        publish("aliased")
        publish("aliased")
        registry.set_alias("aliased", "champion", "1")
        registry.set_alias("aliased", "challenger", "1")

        registry.set_alias("aliased", "champion", "2")

        newest, first = registry.versions("aliased")
        assert (newest.aliases, first.aliases) == (("champion",), ("challenger",))
        assert registry.version("aliased", "champion") == newest

    def test_an_alias_can_be_taken_away_again_and_again(self, registry, publish):
        publish("dethroned")
        registry.set_alias("dethroned", "champion", "1")

        registry.remove_alias("dethroned", "champion")
        registry.remove_alias("dethroned", "champion")

        assert registry.version("dethroned", "1").aliases == ()

    @pytest.mark.usefixtures("published")
    def test_a_version_that_does_not_exist_gets_none(self, registry):
        with pytest.raises(PlatformError, match="could not set alias 'champion' of 'published'"):
            registry.set_alias("published", "champion", "7")


def test_only_a_file_on_this_machine_is_local(registry):
    assert registry.is_local is mlflow.get_tracking_uri().startswith("sqlite")


def test_a_file_that_is_no_database_is_named(tmp_path):
    (tmp_path / "mlflow.db").write_text("something else")

    with pytest.raises(PlatformError, match=r"mlflow\.db could not open its database: .* not a "):
        model_registry(f"sqlite:///{tmp_path}/mlflow.db")


class TestDeleting:
    def test_the_version_and_its_aliases_go_and_the_others_stay(self, registry, publish):
        kept = publish("deleted")
        publish("deleted")
        registry.set_alias("deleted", "champion", "2")

        registry.delete("deleted", "2")

        assert registry.versions("deleted") == (kept,)

    @pytest.mark.parametrize("name", ["published", "never-registered"])
    def test_what_is_gone_may_be_deleted_again(self, registry, published, name):
        registry.delete(name, "7")

        assert registry.versions("published") == (published,)


def trial(name: str, state: State = "complete") -> TrialRecord:
    return TrialRecord(
        name=name, parameters={"max_depth": 3}, metrics={"cv_log_loss": 0.3}, state=state
    )


def children_of(run: TrackedRun, client: MlflowClient) -> dict[str, Run]:
    children = client.search_runs([run.experiment_id], f"tags.mlflow.parentRunId = '{run.run_id}'")
    return {child.info.run_name: child for child in children}


class TestRecording:
    @pytest.fixture
    def recorded(self, registry: ModelRegistry, run: TrackedRun) -> TrackedRun:
        registry.record(run, RECORD)
        return run

    def test_everything_is_kept_where_mlflow_users_look_for_it(self, recorded, client):
        found = client.get_run(recorded.run_id)
        page = mlflow.artifacts.load_text(f"{found.info.artifact_uri}/reports/evaluation.html")

        assert found.data.params == RECORD.parameters
        assert found.data.metrics == RECORD.metrics
        assert found.data.tags["data_source"] == "synthetic"
        assert [data.dataset.name for data in found.inputs.dataset_inputs] == ["synthetic"]
        assert page == "<h1>400 rows</h1>"

    def test_what_was_recorded_can_be_read_back(self, registry, recorded):
        facts = registry.run_facts(recorded.run_id)

        assert (facts.parameters, facts.metrics) == (RECORD.parameters, RECORD.metrics)
        assert (facts.data_uri, facts.data_rows) == (DATA.uri, 4000)

    def test_a_run_that_recorded_nothing_has_no_data(self, registry, run):
        facts = registry.run_facts(run.run_id)

        assert (facts.parameters, facts.metrics) == ({}, {})
        assert (facts.data_uri, facts.data_rows) == (None, None)

    @pytest.mark.parametrize("run_id", ["a" * 32, ""])
    def test_a_run_that_is_not_there_is_named(self, registry, run_id):
        with pytest.raises(RunNotFoundError, match=f"MLflow has no run '{run_id}'"):
            registry.run_facts(run_id)

    def test_data_that_others_recorded_may_lack_what_ours_tell(self, registry, run, client):
        data = Dataset(name="theirs", digest="1", source_type="code", source="{}", profile="{}")
        client.log_inputs(run.run_id, [DatasetInput(data)])

        facts = registry.run_facts(run.run_id)

        assert (facts.data_uri, facts.data_rows) == (None, None)

    def test_recording_twice_changes_nothing(self, registry, recorded, client):
        before = client.get_run(recorded.run_id)

        registry.record(recorded, RECORD)

        after = client.get_run(recorded.run_id)
        assert after.to_dictionary() == before.to_dictionary()
        assert len(client.get_metric_history(recorded.run_id, "test_roc_auc")) == 1

    def test_a_page_of_the_same_name_is_replaced(self, registry, recorded, client):
        registry.add_pages(recorded, {"reports/evaluation.html": "<h1>401 rows</h1>"})

        folder = client.get_run(recorded.run_id).info.artifact_uri
        page = mlflow.artifacts.load_text(f"{folder}/reports/evaluation.html")
        assert page == "<h1>401 rows</h1>"

    def test_trials_are_children_of_their_run_and_kept_once(self, registry, recorded, client):
        registry.record_trials(recorded, [trial("trial-3")])
        registry.record_trials(recorded, [trial("trial-3"), trial("trial-4")])

        children = children_of(recorded, client)
        assert sorted(children) == ["trial-3", "trial-4"]
        assert {child.data.metrics["cv_log_loss"] for child in children.values()} == {0.3}

    def test_a_trial_ends_as_mlflow_has_the_trials_of_optuna(self, registry, recorded, client):
        registry.record_trials(
            recorded, [trial(state, state) for state in ("complete", "pruned", "failed")]
        )

        ends = {name: child.info.status for name, child in children_of(recorded, client).items()}
        assert ends == {"complete": "FINISHED", "pruned": "KILLED", "failed": "FAILED"}

    def test_a_trial_that_was_left_half_recorded_is_completed(self, registry, recorded, client):
        begun = client.create_run(
            recorded.experiment_id,
            run_name="trial-3",
            tags={"mlflow.parentRunId": recorded.run_id},
        )
        client.log_param(begun.info.run_id, "max_depth", "3")

        registry.record_trials(recorded, [trial("trial-3")])

        child = children_of(recorded, client)["trial-3"]
        assert (child.info.run_id, child.info.status) == (begun.info.run_id, "FINISHED")
        assert child.data.metrics == {"cv_log_loss": 0.3}

    def test_the_active_run_is_the_one_that_mlflow_has_open(self, registry, experiment_id):
        with mlflow.start_run(experiment_id=experiment_id) as opened:
            found = registry.active_run()

        assert (found.experiment_id, found.run_id) == (experiment_id, opened.info.run_id)

    def test_without_an_open_run_there_is_nothing_to_record_to(self, registry):
        with pytest.raises(PlatformError, match="no MLflow run is open"):
            registry.active_run()


class TestModel:
    def test_raw_rows_are_scored_like_by_the_bundle(self, model, bundle, contacts):
        rows = contacts.sample(100, random_state=1)

        scored = model.predict(rows)

        np.testing.assert_array_equal(scored["probability"], bundle.probability(rows))
        assert list(scored.index) == list(rows.index)

    def test_a_missing_optional_column_counts_as_unknown(self, model, contacts):
        rows = contacts.head(20)

        scored = model.predict(rows.drop(columns="default"))

        pd.testing.assert_frame_equal(scored, model.predict(rows.assign(default="unknown")))

    def test_a_category_that_was_never_seen_is_scored_like_by_the_bundle(
        self, model, bundle, contacts
    ):
        rows = contacts.head(20).assign(default="perhaps")

        scored = model.predict(rows)

        np.testing.assert_array_equal(scored["probability"], bundle.probability(rows))
        assert (scored != model.predict(rows.assign(default="unknown")))["probability"].all()

    def test_whole_numbers_may_come_as_floats(self, model, contacts):
        rows = contacts.head(20)

        scored = model.predict(rows.astype({"age": "float64", "pdays": "float32"}))

        pd.testing.assert_frame_equal(scored, model.predict(rows))

    def test_a_missing_number_leaves_the_other_rows_as_they_are(self, model, contacts):
        rows = contacts.head(20)
        ages = rows["age"].mask(rows.index == 0)

        scored = model.predict(rows.assign(age=ages))

        assert scored["probability"].between(0, 1).all()
        pd.testing.assert_frame_equal(scored.tail(19), model.predict(rows.tail(19)))

    def test_columns_that_no_feature_needs_are_ignored(self, model, contacts):
        rows = contacts.head(20)

        scored = model.predict(rows.assign(favourite_colour="green", duration=18_000))

        pd.testing.assert_frame_equal(scored, model.predict(rows))

    def test_a_column_that_is_needed_is_named(self, model, contacts):
        with pytest.raises(MlflowException, match=r"missing inputs \['age'\]"):
            model.predict(contacts.drop(columns="age"))

    def test_the_published_example_can_be_scored(self, model):
        example = model.metadata.load_input_example()

        scored = model.predict(example)

        assert len(scored) == 1

    def test_the_bundle_is_kept_as_it_was_trained(self, published, bundle, tmp_path):
        folder = mlflow.artifacts.download_artifacts(published.bundle_uri, dst_path=str(tmp_path))

        assert Bundle.load(Path(folder)).files() == bundle.files()

    def test_a_version_can_be_loaded_as_it_was_trained(
        self, registry, published, bundle, tmp_path, monkeypatch
    ):
        monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))

        loaded = registry.load(published.name, published.version)

        assert loaded.files() == bundle.files()
        assert list(tmp_path.iterdir()) == []

    @pytest.mark.usefixtures("published")
    def test_a_version_that_is_not_there_cannot_be_loaded(self, registry):
        with pytest.raises(ModelNotFoundError, match="no version '7'"):
            registry.load("published", "7")


class TestWithoutServer:
    @pytest.fixture
    def unreachable(self, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModelRegistry]:
        before = mlflow.get_tracking_uri()
        uri = f"http://127.0.0.1:{free_port()}"
        monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
        mlflow.set_tracking_uri(uri)
        yield model_registry(uri)
        mlflow.set_tracking_uri(before)

    @pytest.mark.parametrize(
        ("action", "call"),
        [
            ("list the versions of 'bank'", lambda registry: registry.versions("bank")),
            ("list the versions of 'bank'", lambda registry: registry.version("bank", "1")),
            ("set alias", lambda registry: registry.set_alias("bank", "champion", "1")),
            ("tag version 1", lambda registry: registry.tag("bank", "1", {"data": "uci"})),
            ("remove alias", lambda registry: registry.remove_alias("bank", "champion")),
            ("remove tag", lambda registry: registry.remove_tag("bank", "1", "data")),
            ("delete version 1", lambda registry: registry.delete("bank", "1")),
            ("read run a", lambda registry: registry.run_facts("a" * 32)),
            ("record the run", lambda registry: registry.record(UNKNOWN_RUN, RECORD)),
        ],
    )
    def test_every_call_says_what_failed_where(self, unreachable, action, call):
        with pytest.raises(
            PlatformError, match=rf"MLflow at http://127\.0\.0\.1:\d+ could not {action}"
        ):
            call(unreachable)

    def test_nothing_can_be_registered(self, unreachable, bundle):
        with pytest.raises(PlatformError, match="could not register 'bank'"):
            unreachable.register("bank", bundle, UNKNOWN_RUN, {})
