"""ZenML's stacks follow `stack_configs/`, and nobody else's are touched."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from zenml import save_artifact
from zenml.client import Client
from zenml.enums import StackComponentType
from zenml.integrations.mlflow.experiment_trackers import MLFlowExperimentTracker
from zenml.models import FlavorResponse, FlavorUpdate

from bank_marketing.errors import PlatformError, SettingsError
from stacks import files, registration
from stacks.files import ComponentFile, StackFile, load_stack

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("zenml_home")]

TRACKER = StackComponentType.EXPERIMENT_TRACKER
ORCHESTRATOR = StackComponentType.ORCHESTRATOR
ARTIFACTS = StackComponentType.ARTIFACT_STORE
ARN = "arn:aws:sagemaker:eu-west-1:123456789012:mlflow-tracking-server/bank"


def stack_file(name: str, **tracker: str) -> StackFile:
    """Describe a stack whose experiment tracker has the given configuration."""
    return StackFile(
        option=name,
        name=name,
        components={
            "orchestrator": ComponentFile(flavor="local"),
            "artifact_store": ComponentFile(flavor="local"),
            "experiment_tracker": ComponentFile(flavor="mlflow", config=tracker),
        },
    )


def mlflow_stack(name: str, tracking_uri: str, **tracker: str) -> StackFile:
    """Describe a stack whose experiment tracker is MLflow on SageMaker."""
    config = {"tracking_uri": tracking_uri, **tracker}
    component = ComponentFile(flavor="sagemaker_mlflow", config=config)
    stack = stack_file(name)
    return stack.model_copy(
        update={"components": stack.components | {"experiment_tracker": component}}
    )


class SageMaker(BaseHTTPRequestHandler):
    """Knows one tracking server, `bank`, which the emulator does not."""

    def do_POST(self) -> None:
        assert self.headers["X-Amz-Target"] == "SageMaker.DescribeMlflowTrackingServer"
        wanted = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        assert wanted == {"TrackingServerName": "bank"}
        answer = {"TrackingServerArn": ARN, "IsActive": "Active", "TrackingServerStatus": "Created"}
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps(answer).encode())

    def log_message(self, *arguments: object) -> None:
        """Say nothing of each request."""


@pytest.fixture
def sagemaker(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with ThreadingHTTPServer(("127.0.0.1", 0), SageMaker) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.server_port}")
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
        yield
        server.shutdown()
        thread.join()


def statements(differences: list[registration.Difference]) -> list[str]:
    return [f"{each.component}: {each.statement}" for each in differences]


@pytest.fixture(scope="module")
def client(zenml_home) -> Client:
    return Client()


class TestApply:
    def test_a_new_stack_has_the_components_of_its_file(self):
        stack = stack_file("new")

        changes = registration.apply(stack)

        registered = registration.find_stack("new")
        assert statements(changes) == [
            "orchestrator: not registered; local is wanted",
            "artifact_store: not registered; local is wanted",
            "experiment_tracker: not registered; mlflow is wanted",
            "stack: not registered",
        ]
        parts = registered.components
        assert {str(kind): part.flavor_name for kind, (part,) in parts.items()} == {
            "orchestrator": "local",
            "artifact_store": "local",
            "experiment_tracker": "mlflow",
        }

    def test_twice_changes_nothing(self):
        stack = stack_file("twice")
        registration.apply(stack)
        before = registration.find_stack("twice")

        changes = registration.apply(stack)

        assert changes == []
        assert registration.find_stack("twice") == before

    def test_a_changed_value_is_set_back(self, client):
        stack = stack_file("drifted")
        registration.apply(stack)
        client.update_stack_component(
            "drifted", TRACKER, configuration={"experiment_name": "another"}
        )

        changes = registration.apply(stack)

        assert statements(changes) == [
            "experiment_tracker: experiment_name is 'another'; None is wanted"
        ]
        assert registration.differences(stack) == []

    def test_a_component_of_another_flavor_is_replaced(self, client):
        stack = stack_file("flavored")
        client.create_stack_component("flavored", "local_docker", ORCHESTRATOR, {})

        changes = registration.apply(stack)

        assert "orchestrator: flavor is local_docker; local is wanted" in statements(changes)
        assert registration.differences(stack) == []

    def test_a_component_that_was_taken_out_comes_back(self, client):
        stack = stack_file("reduced")
        registration.apply(stack)
        client.update_stack("reduced", component_updates={TRACKER: []})

        changes = registration.apply(stack)

        assert statements(changes) == ["experiment_tracker: not part of the stack"]
        assert registration.differences(stack) == []

    def test_what_carries_another_name_stays_as_it_is(self, client):
        client.create_stack_component("theirs", "mlflow", TRACKER, {"experiment_name": "theirs"})
        default = client.get_stack("default")
        parts = {kind: default.components[kind][0].id for kind in (ORCHESTRATOR, ARTIFACTS)}
        tracker = client.get_stack_component(TRACKER, "theirs")
        theirs = client.create_stack("theirs", {**parts, TRACKER: tracker.id})

        registration.apply(stack_file("ours", experiment_name="ours"))

        assert client.get_stack_component(TRACKER, "theirs") == tracker
        assert registration.find_stack("theirs") == theirs


class TestFlavorOfOurs:
    """A tracker for MLflow on SageMaker needs a flavor that ZenML does not bring."""

    @pytest.fixture
    def flavor(self, client) -> FlavorResponse:
        registration.apply(mlflow_stack("flavor", ARN))
        (flavor,) = client.list_flavors(name="sagemaker_mlflow", hydrate=True).items
        return flavor

    def test_it_is_registered_with_the_first_stack_that_asks_for_it(self, client):
        for flavor in client.list_flavors(name="sagemaker_mlflow").items:
            client.delete_flavor(str(flavor.id))  # of an earlier test
        stack = mlflow_stack("first", ARN)

        changes = registration.apply(stack)

        assert "experiment_tracker: flavor sagemaker_mlflow is not registered" in statements(
            changes
        )
        assert registration.apply(stack) == []

    def test_its_import_path_starts_at_the_folder_of_the_command_line(self, flavor):
        assert flavor.source == "stacks.flavors.sagemaker_mlflow.SageMakerMlflowFlavor"

    @pytest.mark.parametrize(
        ("key", "value"), [("source", "old.Flavor"), ("config_schema", {"type": "object"})]
    )
    def test_one_of_an_older_version_is_repaired(self, client, flavor, key, value):
        client.zen_store.update_flavor(flavor.id, FlavorUpdate(**{key: value}))
        stack = mlflow_stack("flavor", ARN)

        changes = registration.apply(stack)

        words = key.replace("_", " ")
        assert statements(changes) == [
            f"experiment_tracker: flavor sagemaker_mlflow is registered with another {words}"
        ]
        assert registration.differences(stack) == []

    @pytest.mark.parametrize("address", [ARN, "http://127.0.0.1:5000"])
    def test_the_orchestrator_of_sagemaker_accepts_it(self, client, monkeypatch, address):
        monkeypatch.setenv("SAGEMAKER_SUPPRESS_V2_WARNING", "1")  # ZenML needs version 2
        variables = dict.fromkeys(
            ("SAGEMAKER_BUCKET", "SAGEMAKER_ECR_REGISTRY", "SAGEMAKER_IMAGE", "USER"), "bucket"
        )
        variables |= {"AWS_REGION": "eu-west-1", "SAGEMAKER_ROLE_ARN": "arn:aws:iam::1:role/jobs"}
        stack = load_stack("sagemaker", variables | {"SAGEMAKER_MLFLOW": address}).model_copy(
            update={"name": address.partition(":")[0]}  # ZenML keeps an active stack in memory
        )
        registration.apply(stack)

        with registration.using(stack):
            client.active_stack.validate()
            tracker = client.active_stack.experiment_tracker

        assert isinstance(tracker, MLFlowExperimentTracker)
        assert tracker.get_tracking_uri() == address

    @pytest.mark.parametrize(
        ("tracker", "reason"),
        [
            (
                {"tracking_uri": "sqlite:///x"},
                r"tracking_uri: .*must be an ARN like .*'sqlite:///x'",
            ),
            ({"tracking_uri": ARN, "uri": "x"}, r"Invalid configuration keys \['uri'\]"),
            ({"tracking_uri": "https://host", "tracking_token": "{{absent.key}}"}, "absent"),
        ],
    )
    def test_what_it_refuses_is_an_error_that_names_the_component(self, tracker, reason):
        with pytest.raises(SettingsError, match=f"stack 'refused': experiment_tracker: .*{reason}"):
            registration.apply(mlflow_stack("refused", **tracker))

    @pytest.mark.usefixtures("sagemaker")
    def test_a_server_is_found_by_its_name_in_the_region_of_the_stack(self, client):
        stack = mlflow_stack("named", "bank")
        orchestrator = ComponentFile(
            flavor="sagemaker",
            config={"region": "eu-west-1", "execution_role": "arn:aws:iam::1:role/jobs"},
        )
        stack = stack.model_copy(
            update={"components": stack.components | {"orchestrator": orchestrator}}
        )

        registration.apply(stack)

        assert client.get_stack_component(TRACKER, "named").configuration == {"tracking_uri": ARN}
        differing = {each.component for each in registration.differences(stack)}
        assert "experiment_tracker" not in differing

    def test_a_name_without_a_region_is_an_error(self):
        with pytest.raises(
            SettingsError, match=r"no orchestrator\.config\.region says where to look"
        ):
            registration.apply(mlflow_stack("nowhere", "bank"))


class TestUsing:
    def test_the_stack_is_active_inside_and_the_users_own_outside(self, client):
        registration.apply(stack_file("used"))

        with registration.using(stack_file("used")):
            inside = client.active_stack_model.name

        assert inside == "used"
        assert client.active_stack_model.name == "default"

    def test_a_stack_that_is_not_registered_cannot_be_used(self):
        with (
            pytest.raises(PlatformError, match=r"is not registered; run `.* stack apply absent`"),
            registration.using(stack_file("absent")),
        ):
            pass

    def test_the_refusal_tells_no_secret(self):
        secrets = [{"tracking_username": "ann", "tracking_password": text} for text in ("a1", "b2")]
        old, new = (mlflow_stack("secret", "https://host", **each) for each in secrets)
        registration.apply(old)

        with pytest.raises(PlatformError, match=r"tracking_password is '\*\*\*'; '\*\*\*' is wan"):
            registration.require_unchanged(new)

    def test_a_run_refuses_a_stack_that_differs_from_its_file(self):
        registration.apply(stack_file("refused"))

        with pytest.raises(PlatformError, match=r"'bank' is wanted; run `.* apply refused`"):
            registration.require_unchanged(stack_file("refused", experiment_name="bank"))


class TestCommands:
    @pytest.fixture
    def applied(self, run) -> str:
        """Return ZenML's name of the stack that `--stack local` means."""
        assert run("stack", "apply").exit_code == 0
        return load_stack("local").name

    @pytest.fixture
    def drifted(self, applied, client) -> str:
        client.update_stack_component(applied, TRACKER, configuration={"experiment_name": "mine"})
        return applied

    def test_apply_says_what_it_changed(self, run, drifted):
        outcome = run("stack", "apply")

        assert outcome.output.splitlines() == [
            "experiment_tracker: experiment_name is 'mine'; None is wanted",
            f"done: stack {drifted!r} is as stack_configs/local.yaml says",
        ]

    def test_apply_says_that_there_is_nothing_to_do(self, run, applied):
        outcome = run("stack", "apply")

        assert outcome.output.splitlines() == [
            f"nothing to do: stack {applied!r} is as stack_configs/local.yaml says"
        ]

    def test_on_a_new_machine_apply_tells_of_the_stack_alone(
        self, run_process, tmp_path, monkeypatch
    ):
        monkeypatch.setenv("ZENML_CONFIG_PATH", str(tmp_path))

        outcome = run_process("stack", "apply")

        *parts, end = outcome.output.splitlines()
        assert [line.partition(":")[0] for line in parts] == [
            *load_stack("local").components,
            "stack",
        ]
        assert end.startswith("done: stack ")
        assert outcome.errors == ""

    def test_show_prints_the_file_and_that_zenml_has_it(self, run, applied):
        output = run("stack", "show").output

        assert applied in output
        assert "model_registry" in output
        assert output.splitlines()[-1] == "ZenML has it like this"

    def test_show_prints_no_secret(self, run, tmp_path, monkeypatch):
        tracker = "{flavor: mlflow, config: {tracking_password: '${PASSWORD}'}}"
        text = f"name: secret\ncomponents: {{experiment_tracker: {tracker}}}\n"
        (tmp_path / "secret.yaml").write_text(text)
        monkeypatch.setattr(files, "FOLDER", tmp_path)
        monkeypatch.setenv("PASSWORD", "words")

        output = run("stack", "show", "secret").output

        assert '{"tracking_password": "***"}' in output
        assert "words" not in output

    @pytest.mark.usefixtures("drifted")
    def test_show_names_the_difference_and_what_to_do(self, run):
        lines = run("stack", "show").output.splitlines()

        assert lines[-2:] == [
            "experiment_tracker: experiment_name is 'mine'; None is wanted",
            "run `python run.py stack apply local`",
        ]

    @pytest.mark.usefixtures("applied")
    def test_doctor_finds_nothing_wrong_with_what_was_applied(self, run):
        outcome = run("stack", "doctor", "--json")

        checks = json.loads(outcome.output)
        assert {check["state"] for check in checks} == {"ok"}
        assert [check["name"] for check in checks] == [
            "Python",
            "packages",
            "ZenML store",
            "stack",
            "artifact store",
            "MLflow",
        ]
        assert outcome.exit_code == 0

    @pytest.mark.usefixtures("drifted")
    def test_doctor_tells_people_the_problem_and_the_remedy(self, run):
        outcome = run("stack", "doctor")

        assert outcome.exit_code == 1
        assert "problem stack: experiment_tracker: experiment_name is 'mine'" in outcome.output
        assert "-> python run.py stack apply" in outcome.output

    @pytest.mark.usefixtures("drifted")
    def test_doctor_tells_programs_the_same(self, run):
        outcome = run("stack", "doctor", "--json")

        (problem,) = [check for check in json.loads(outcome.output) if check["name"] == "stack"]
        assert outcome.exit_code == 1
        assert problem == {
            "name": "stack",
            "state": "problem",
            "found": "experiment_tracker: experiment_name is 'mine'; None is wanted",
            "remedy": "python run.py stack apply local",
        }

    @pytest.mark.usefixtures("applied")
    def test_doctor_tells_that_the_artifacts_are_gone(self, run, client):
        with registration.using(load_stack("local")):
            save_artifact(1, "kept")
            folder = Path(client.active_stack.artifact_store.path)
        folder.rename(folder.with_suffix(".moved"))

        outcome = run("stack", "doctor")

        folder_came_back = folder.exists()
        folder.with_suffix(".moved").rename(folder)
        assert outcome.exit_code == 1
        assert f"problem artifact store: {folder} is gone, and " in outcome.output
        assert not folder_came_back

    def test_doctor_tells_why_the_store_cannot_be_opened(self, run_process, tmp_path, monkeypatch):
        database = tmp_path / "local_stores" / "default_zen_store" / "zenml.db"
        database.parent.mkdir(parents=True)
        database.write_text("not what SQLite writes")
        monkeypatch.setenv("ZENML_CONFIG_PATH", str(tmp_path))

        outcome = run_process("stack", "doctor")

        (told,) = [line for line in outcome.output.splitlines() if "problem" in line]
        assert told.startswith("problem ZenML store: ZenML's store cannot be opened: ")
        assert "file is not a database" in told
        assert outcome.exit_code == 1
