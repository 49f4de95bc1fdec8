"""`run.py model …` on a real ZenML store and a real MLflow, also one that goes away."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import mlflow
import pytest
from mlflow import MlflowClient
from zenml.client import Client

from bank_marketing.champion import Champion
from bank_marketing.errors import PlatformError
from bank_marketing.model import train_bundle
from platforms.base import CHALLENGER, CHAMPION, ModelRegistry, ModelVersion
from platforms.factory import model_registry
from platforms.mlflow_registry import MlflowRegistry
from registry.active import active_registry, tracking_uri
from registry.history import HISTORY, Reason, history
from registry.lineage import TRAINING_KEY, opponent
from registry.promotion import approve, carry_out, plan_promotion
from registry.versions import crown_if_vacant
from registry.zenml_versions import set_stages, stages_of
from stacks import registration
from stacks.files import load_stack
from tests.mlflow_server import Server, free_port, serve
from tests.published_versions import publish

pytestmark = pytest.mark.slow

NAME = "bank-marketing"  # of configs/training.yaml
STAGES = {"v1": "production", "v2": "archived", "v3": "staging"}


class Store:
    """A registry with three versions: 1 is the champion, 3 the challenger."""

    def __init__(self, registry: ModelRegistry, uri: str) -> None:
        self.registry = registry
        self.uri = uri

    @property
    def champion(self) -> str:
        return self.registry.version(NAME, CHAMPION).version

    @property
    def stages(self) -> dict[str, str]:
        return stages_of(NAME)

    def events(self, version: str) -> list[tuple[str, str | None, str]]:
        found = history(self.registry.version(NAME, version))
        return [(event.action, event.former, event.because) for event in found]

    def events_in_zenml(self, version: str) -> list[Any]:
        return Client().get_model_version(NAME, f"v{version}").run_metadata[HISTORY]


class Forgetful(MlflowRegistry):
    """Does what it is asked for, but its first answer to `method` is lost on the way."""

    def __init__(self, uri: str, method: str) -> None:
        super().__init__(uri)
        answered, call = iter([False]), getattr(self, method)

        def lose(*arguments: Any) -> Any:
            answer = call(*arguments)
            if next(answered, True):
                return answer
            raise PlatformError("no answer")

        setattr(self, method, lose)


@pytest.fixture(scope="module")
def bundle(contacts, settings):
    model = settings.model.model_copy(update={"n_estimators": 5})
    return train_bundle(contacts[:3000], contacts[3000:], settings.features, model)


@pytest.fixture(scope="module")
def published(run, bundle, tmp_path_factory) -> Iterator[Store]:
    assert run("stack", "apply").exit_code == 0
    with registration.using(load_stack("local")):
        registry, uri = active_registry(), tracking_uri()
        mlflow.set_tracking_uri(uri)
        folder = tmp_path_factory.mktemp("artifacts").as_uri()
        mlflow.set_experiment(experiment_id=mlflow.create_experiment(NAME, folder))
        first = publish(registry, bundle, NAME)
        crown_if_vacant(registry, first)
        publish(registry, bundle, NAME, depth=4, judged_against="1")
        publish(registry, bundle, NAME, auc=0.79, fingerprint="d" * 64, judged_against="2")
        yield Store(registry, uri)
    mlflow.set_tracking_uri(None)


@pytest.fixture
def store(published: Store) -> Store:
    """The three versions as they were registered, whatever tests have done to them."""
    registry = published.registry
    for version in registry.versions(NAME):
        registry.remove_tag(NAME, version.version, HISTORY)
        registry.remove_tag(NAME, version.version, TRAINING_KEY)
    registry.set_alias(NAME, CHALLENGER, "3")
    registry.remove_alias(NAME, CHAMPION)
    crown_if_vacant(registry, registry.version(NAME, "1"))
    set_stages(NAME, STAGES)
    return published


@pytest.fixture(scope="module")
def server(published: Store, tmp_path_factory) -> Iterator[Server]:
    """The same store as others see it."""
    with serve(published.uri, tmp_path_factory.mktemp("server")) as server:
        yield server


@pytest.fixture
def promote(run):
    def promote(version: str, *options: str):
        return run("model", "promote", version, "--because", "it is better", *options)

    return promote


@pytest.fixture
def roll_back(run):
    def roll_back(*arguments: str):
        return run("model", "rollback", *arguments, "--because", "complaints")

    return roll_back


class TestRegistering:
    def test_the_first_champion_starts_the_history(self, store):
        assert store.champion == "1"
        assert store.events("1") == [
            ("promoted", None, "the first version of its kind of data that passed the gate")
        ]
        assert history(store.registry.version(NAME, "1"))[0].who == "run training-1"

    def test_stages_follow_the_aliases(self, store, bundle):
        for _ in range(3):
            crown_if_vacant(store.registry, publish(store.registry, bundle, "staged"))

        assert stages_of("staged") == {"v1": "production", "v2": "archived", "v3": "staging"}

    @pytest.mark.parametrize("method", ["register", "version", "tag", "set_alias"])
    def test_what_mlflow_did_without_an_answer_is_undone(self, store, bundle, method):
        name = f"unanswered-{method}"
        publish(store.registry, bundle, name)
        before = store.registry.versions(name), stages_of(name)

        with pytest.raises(PlatformError, match=r"no answer; .* and every registry is as it was"):
            publish(Forgetful(store.uri, method), bundle, name)

        assert (store.registry.versions(name), stages_of(name)) == before

    def test_without_its_card_no_version_is_registered(self, store, bundle):
        class Full(MlflowRegistry):
            def add_pages(self, run, pages):
                if "model_card.md" in pages:
                    raise PlatformError("disk full")
                super().add_pages(run, pages)

        with pytest.raises(PlatformError, match="disk full; no version of 'cardless' was"):
            publish(Full(store.uri), bundle, "cardless")

        assert store.registry.versions("cardless") == ()
        assert stages_of("cardless") == {}

    @pytest.mark.usefixtures("store")
    def test_zenml_shows_the_backtest_beside_the_test_set(self):
        shown = Client().get_model_version(NAME, "v3").run_metadata

        test, backtest = (
            [shown[f"{where}_roc_auc{bound}"] for bound in ("_low", "", "_high")]
            for where in ("test", "backtest")
        )
        assert test == pytest.approx([0.77, 0.79, 0.81])
        assert backtest == pytest.approx([0.67, 0.69, 0.71])


class TestPromoting:
    def test_alias_and_stage_move_together(self, store, promote):
        outcome = promote("challenger")

        assert outcome.exit_code == 0
        assert outcome.output.splitlines()[-1] == "version 3 is the champion"
        assert store.champion == "3"
        assert store.stages == {"v1": "archived", "v2": "archived", "v3": "production"}

    def test_who_when_and_why_are_kept_in_both(self, store, promote, monkeypatch):
        monkeypatch.setenv("LOGNAME", "ann")
        before = datetime.now(UTC)

        promote("3")

        (event,) = history(store.registry.version(NAME, "3"))
        assert (event.who, event.because, event.former) == ("ann", "it is better", "1")
        assert before <= event.when <= datetime.now(UTC)
        assert store.events_in_zenml("3") == [event.model_dump(mode="json")]

    def test_a_rehearsal_says_the_same_and_touches_nothing(self, store, promote):
        rehearsal = promote("3", "--dry-run")

        assert store.champion == "1"
        assert store.stages == STAGES
        assert store.events("3") == []
        assert rehearsal.output.splitlines()[-1] == "nothing was touched"
        assert promote("3").output.splitlines()[:-1] == rehearsal.output.splitlines()[:-1]

    def test_twice_is_once(self, store, promote):
        promote("3")

        again = promote("3")

        assert again.output == "version 3 is the champion in every registry: nothing to do\n"
        assert len(store.events("3")) == 1

    def test_what_a_killed_process_left_half_done_is_completed(self, store, promote):
        store.registry.set_alias(NAME, CHAMPION, "3")  # and then the stages did not move

        outcome = promote("3")

        assert outcome.exit_code == 0
        assert store.stages == {"v1": "archived", "v2": "archived", "v3": "production"}

    def test_or_taken_back_by_promoting_the_champion(self, store, promote):
        set_stages(NAME, {"v3": "production"})  # and then the alias did not move

        outcome = promote("1")

        assert outcome.exit_code == 0
        assert (store.champion, store.stages) == ("1", STAGES)

    def test_a_version_that_zenml_lacks_is_named(self, store, bundle):
        publish(store.registry, bundle, "lacking")
        Client().delete_model_version(Client().get_model_version("lacking", "v1").id)

        with pytest.raises(PlatformError, match="ZenML has no v1 of model 'lacking'"):
            plan_promotion(store.registry, "lacking", "1", reason())

    @pytest.mark.parametrize("method", ["tag", "set_alias"])
    def test_what_mlflow_did_without_an_answer_is_undone(self, store, method):
        promotion = plan_promotion(store.registry, NAME, "3", reason())

        with pytest.raises(PlatformError, match=r"no answer; .* and every registry is as it was"):
            carry_out(Forgetful(store.uri, method), promotion)

        assert (store.champion, store.stages, store.events("3")) == ("1", STAGES, [])

    def test_a_first_champion_that_mlflow_crowned_without_an_answer_is_none(self, store, bundle):
        version = publish(store.registry, bundle, "uncrowned")

        with pytest.raises(PlatformError, match=r"no answer; .* and every registry is as it was"):
            crown_if_vacant(Forgetful(store.uri, "set_alias"), version)

        assert store.registry.version("uncrowned", "1") == version

    @pytest.mark.parametrize("because", ["", "  "])
    def test_a_reason_is_demanded(self, run, because):
        outcome = run("model", "promote", "3", "--because", because)

        assert outcome.exit_code == 2
        assert "say why" in outcome.errors


class TestRollingBack:
    def test_the_former_champion_returns(self, store, promote, roll_back):
        promote("3")

        outcome = roll_back()

        assert outcome.exit_code == 0
        assert (store.champion, store.stages["v1"]) == ("1", "production")
        assert store.events("1")[-1] == ("rolled back", "3", "complaints")

    def test_any_former_champion_can_be_named(self, store, promote, roll_back):
        promote("2")
        promote("3")

        outcome = roll_back("1")

        assert outcome.exit_code == 0
        assert store.champion == "1"

    def test_a_version_that_never_reigned_is_refused(self, store, roll_back):
        outcome = roll_back("2")

        assert outcome.exit_code == 1
        assert "version 2 of 'bank-marketing' never was the champion" in outcome.errors
        assert store.champion == "1"

    @pytest.mark.usefixtures("store")
    def test_the_first_champion_cannot_be_rolled_back(self, roll_back):
        outcome = roll_back()

        assert outcome.exit_code == 1
        assert "knows no champion before the present one" in outcome.errors


class TestApproving:
    def test_an_approval_is_kept_in_both_and_once(self, store, run):
        first = run("model", "approve", "2", "--because", "reviewed")
        second = run("model", "approve", "2", "--because", "reviewed again")

        assert first.exit_code == second.exit_code == 0
        assert store.events("2") == [("approved", None, "reviewed")]
        assert [event["because"] for event in store.events_in_zenml("2")] == ["reviewed"]
        assert second.output == first.output

    @pytest.mark.parametrize("earlier", [[], ["promoted"]])
    def test_what_mlflow_did_without_an_answer_is_undone(self, store, earlier):
        number = "1" if earlier else "2"

        with pytest.raises(PlatformError, match=r"no answer; .* and every registry is as it was"):
            approve(Forgetful(store.uri, "tag"), NAME, number, reason())

        assert [action for action, *_ in store.events(number)] == earlier


class TestOpponent:
    """Whom a run is judged against, above all one that repeats the run of the champion."""

    @pytest.fixture
    def crowned(self, store: Store) -> Callable[[str], ModelRegistry]:
        """Crown a version, as if a run with the key "ours" had made it."""

        def crowned(version: str) -> ModelRegistry:
            store.registry.tag(NAME, version, {TRAINING_KEY: "ours"})
            store.registry.set_alias(NAME, CHAMPION, version)
            return store.registry

        return crowned

    def test_a_new_run_meets_the_champion(self, crowned):
        assert opponent(crowned("2"), NAME, "another") == Champion(name=NAME, version="2")

    def test_a_repeated_run_meets_whom_it_met_then(self, crowned):
        assert opponent(crowned("2"), NAME, "ours") == Champion(name=NAME, version="1")

    def test_one_that_met_nobody_meets_nobody(self, crowned):
        assert opponent(crowned("1"), NAME, "ours") is None

    def test_one_that_met_a_version_that_was_deleted_meets_the_champion(self, store, bundle):
        name = "opposed"
        publish(store.registry, bundle, name)
        publish(store.registry, bundle, name, judged_against="1")
        store.registry.tag(name, "2", {TRAINING_KEY: "ours"})
        store.registry.set_alias(name, CHAMPION, "2")
        store.registry.delete(name, "1")

        assert opponent(store.registry, name, "ours") == Champion(name=name, version="2")

    def test_without_a_champion_there_is_none(self, store):
        store.registry.remove_alias(NAME, CHAMPION)

        assert opponent(store.registry, NAME, "ours") is None


class TestReading:
    @pytest.mark.usefixtures("store")
    def test_the_list_tells_what_one_chooses_by(self, run):
        run("model", "approve", "3", "--because", "reviewed")

        lines = run("model", "list").output.splitlines()

        newest, _, oldest = (line for line in lines if "training-1" in line)
        assert "challenger" in newest
        assert "0.790 (0.770 to 0.810)" in newest
        assert "0.690 (0.670 to 0.710)" in newest
        assert "by " in newest
        assert "champion" in oldest
        assert "uci" in oldest
        assert " no " in oldest

    @pytest.mark.usefixtures("store")
    def test_a_version_is_shown_with_its_history(self, run):
        output = run("model", "show", "champion").output

        assert "bank-marketing version 1" in output
        assert "test_roc_auc" in output
        assert "the first version of its kind of data that passed the gate" in output

    def test_lineage_leads_from_the_version_to_the_data(self, store, run):
        version = store.registry.version(NAME, "3")

        lines = [line.strip("│├└─ ") for line in run("model", "lineage", "3").output.splitlines()]

        assert [line for line in lines if line.startswith("version")] == ["version 2", "version 1"]
        wanted = [
            f"bundle {version.bundle_uri}",
            f"MLflow run {version.run_id}",
            "ZenML run 12345678-0000-0000-0000-000000000000 (training-1)",
            "stack bank-marketing-local",
            f"git commit {'c' * 40}",
            "data uci https://example.org/table.csv",
            "edition semicolon",
            f"sha256 {'a' * 64}",
            f"fingerprint {'d' * 64}",
            "rows 4,000",
            "parameters",
            "model.max_depth = 5",
            "judged against",
        ]
        found = [text for text in wanted if any(line.startswith(text) for line in lines)]
        assert found == wanted

    @pytest.mark.usefixtures("store")
    def test_programs_read_the_same_lineage(self, run):
        lineage = json.loads(run("model", "lineage", "3", "--json").output)

        assert lineage["parents"] == ["2", "1"]
        assert lineage["data"]["rows"] == 4000
        assert lineage["parameters"] == {"model.max_depth": "5", "split.seed": "42"}

    @pytest.mark.usefixtures("store")
    def test_versions_of_one_table_differ_in_parameters_alone(self, run):
        metrics, _, rest = run("model", "compare", "1", "2").output.partition("Parameters")

        assert "0.7700 (0.7500 to 0.7900)" in metrics
        assert "model.max_depth" in rest
        assert "split.seed" not in rest
        assert "fingerprint" not in rest
        assert "Both were tested on the same rows" in rest

    @pytest.mark.usefixtures("store")
    def test_versions_of_two_tables_are_compared_with_a_warning(self, run):
        output = run("model", "compare", "champion", "challenger").output

        assert "fingerprint" in output
        assert "The two were tested on different rows" in output


@pytest.fixture(scope="module")
def foreign(published: Store, bundle) -> ModelVersion:
    """A version whose run was deleted, and beside it one that somebody registered in MLflow."""
    version = publish(published.registry, bundle, "foreign")
    client = MlflowClient(published.uri)
    client.delete_run(version.run_id)
    client._tracking_client.store._hard_delete_run(version.run_id)  # as `mlflow gc` does
    client.create_model_version("foreign", "s3://elsewhere/model")
    return version


@contextmanager
def zenml_refusing(change: str) -> Iterator[None]:
    """Let ZenML's database refuse a kind of change in the block."""
    engine = Client().zen_store.engine
    with engine.begin() as connection:
        connection.exec_driver_sql(
            f"CREATE TRIGGER refusal BEFORE {change} BEGIN SELECT RAISE(ABORT, 'disk full'); END"
        )
    try:
        yield
    finally:
        with engine.begin() as connection:
            connection.exec_driver_sql("DROP TRIGGER refusal")


class TestZenMLRefuses:
    """Nothing is left half done where ZenML's database refuses a change in the middle."""

    REFUSED = "ZenML (refused|does not answer): .* and every registry is as it was"

    @pytest.mark.parametrize(
        "change",
        [
            "UPDATE ON model_version WHEN NEW.name = 'v3' AND NEW.stage = 'production'",
            "INSERT ON run_metadata",
        ],
    )
    def test_no_version_is_promoted(self, store, change):
        promotion = plan_promotion(store.registry, NAME, "3", reason())

        with zenml_refusing(change), pytest.raises(PlatformError, match=self.REFUSED):
            carry_out(store.registry, promotion)

        assert (store.champion, store.stages, store.events("3")) == ("1", STAGES, [])

    def test_no_version_is_approved(self, store):
        with (
            zenml_refusing("INSERT ON run_metadata"),
            pytest.raises(PlatformError, match=self.REFUSED),
        ):
            approve(store.registry, NAME, "3", reason())

        assert store.events("3") == []

    @pytest.mark.parametrize(
        ("name", "change"),
        [
            ("not-created", "INSERT ON model_version"),
            ("not-described", "INSERT ON run_metadata"),
            (
                "not-staged",
                "UPDATE ON model_version WHEN NEW.name = 'v2' AND NEW.stage = 'staging'",
            ),
        ],
    )
    def test_no_version_is_registered(self, store, bundle, name, change):
        publish(store.registry, bundle, name)
        before = store.registry.versions(name), stages_of(name)

        with zenml_refusing(change), pytest.raises(PlatformError, match=self.REFUSED):
            publish(store.registry, bundle, name)

        assert (store.registry.versions(name), stages_of(name)) == before

    @pytest.mark.usefixtures("store")
    def test_a_command_says_so_in_one_line(self, promote):
        with zenml_refusing("INSERT ON run_metadata"):
            outcome = promote("3")

        assert outcome.exit_code == 1
        assert outcome.errors.startswith("error: history of v3 of 'bank-marketing': ZenML refused")


@pytest.mark.usefixtures("foreign")
class TestForeignVersions:
    def test_are_listed_and_shown_as_far_as_they_are_known(self, run):
        listed = run("model", "list", "--name", "foreign")
        shown = [run("model", "show", number, "--name", "foreign") for number in ("1", "2")]

        assert [outcome.exit_code for outcome in (listed, *shown)] == [0, 0, 0]
        assert "training-1" in listed.output

    @pytest.mark.parametrize(
        "command",
        [("lineage", "2"), ("compare", "1", "2"), ("promote", "2", "--because", "it is better")],
    )
    def test_what_a_version_does_not_tell_is_named(self, run, command):
        outcome = run("model", *command, "--name", "foreign")

        assert outcome.exit_code == 1
        assert "version 2 of 'foreign' does not tell where it came from" in outcome.errors
        assert "it has no tag zenml_run_id, zenml_run_name" in outcome.errors

    @pytest.mark.parametrize("command", [("lineage", "1"), ("compare", "1", "1")])
    def test_a_run_that_was_deleted_is_named(self, foreign, run, command):
        outcome = run("model", *command, "--name", "foreign")

        assert outcome.exit_code == 1
        assert f"MLflow has no run '{foreign.run_id}': was it deleted?" in outcome.errors


class TestSharedRegistry:
    """MLflow behind a server, which others see as well, and which may go away."""

    @pytest.fixture(autouse=True)
    def _no_retries(self, monkeypatch):
        monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")

    def test_only_what_is_approved_is_promoted(self, store, server):
        shared = model_registry(server.url)

        with pytest.raises(PlatformError, match="not approved, which a shared registry demands"):
            plan_promotion(shared, NAME, "3", reason())

        approve(shared, NAME, "3", reason())
        carry_out(shared, plan_promotion(shared, NAME, "3", reason()))
        assert store.champion == "3"

    def test_the_first_version_waits_for_a_person_as_well(self, store, server, bundle):
        publish(store.registry, bundle, "first-shared")
        shared = model_registry(server.url)
        first = shared.version("first-shared", "1")

        crown_if_vacant(shared, first)
        waiting = shared.version("first-shared", "1").aliases
        with pytest.raises(PlatformError, match="not approved, which a shared registry demands"):
            plan_promotion(shared, "first-shared", "1", reason())
        approve(shared, "first-shared", "1", reason())
        carry_out(shared, plan_promotion(shared, "first-shared", "1", reason()))

        assert waiting == ("challenger",)
        assert shared.version("first-shared", "1").aliases == ("challenger", "champion")

    def test_an_invented_model_is_never_the_champion(self, store, server, bundle):
        publish(store.registry, bundle, "invented", data="synthetic")
        shared = model_registry(server.url)
        approve(shared, "invented", "1", reason())

        with pytest.raises(PlatformError, match="learned from synthetic customers"):
            plan_promotion(shared, "invented", "1", reason())

        crown_if_vacant(shared, shared.version("invented", "1"))
        assert shared.version("invented", "1").aliases == ("challenger",)

    def test_what_mlflow_could_not_take_back_is_said_and_does_not_count(self, store):
        class Vanishing(MlflowRegistry):
            def set_alias(self, *arguments):
                self._client = MlflowClient(f"http://127.0.0.1:{free_port()}")
                super().set_alias(*arguments)

        promotion = plan_promotion(store.registry, NAME, "3", reason())

        with pytest.raises(PlatformError, match="undoing what had been done failed as well"):
            carry_out(Vanishing(store.uri), promotion)

        assert (store.champion, store.stages) == ("1", STAGES)
        assert plan_promotion(store.registry, NAME, "3", reason()).moves_alias

    # The last one, because the server is gone after it.
    def test_zenml_moves_back_if_mlflow_goes_away_after_it_has_moved(self, store, server):
        class Dying(MlflowRegistry):
            def tag(self, *arguments):
                assert store.stages["v3"] == "production"
                server.kill()
                super().tag(*arguments)

        shared = model_registry(server.url)
        approve(shared, NAME, "3", reason())
        promotion = plan_promotion(shared, NAME, "3", reason())

        with pytest.raises(PlatformError, match="undoing what had been done failed as well"):
            carry_out(Dying(server.url), promotion)

        assert (store.champion, store.stages) == ("1", STAGES)
        assert [action for action, *_ in store.events("3")] == ["approved"]


def reason() -> Reason:
    return Reason(who="ann", when=datetime.now(UTC), because="it is better")
