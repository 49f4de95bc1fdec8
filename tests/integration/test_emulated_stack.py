"""The emulated SageMaker stack on its three servers: `stack apply` and `stack doctor`."""

import itertools
import json
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import boto3
import pytest
from zenml.client import Client
from zenml.enums import StackComponentType

from bank_marketing.errors import PlatformError, SettingsError
from stacks import emulation, registration
from stacks.doctor.check import Check
from stacks.doctor.examination import examine
from stacks.files import ComponentFile, StackFile, load_stack
from tests.conftest import _forget_open_store
from tests.mlflow_server import free_port
from tests.unit.test_stack_files import VARIABLES

# The servers outlive the command that starts them, which is what `subprocess` warns of.
pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:subprocess .* is still running:ResourceWarning"),
]

TRACKER = StackComponentType.EXPERIMENT_TRACKER
ORCHESTRATOR = StackComponentType.ORCHESTRATOR
ARTIFACTS = StackComponentType.ARTIFACT_STORE
REGISTRY = StackComponentType.MODEL_REGISTRY


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory, zenml_home: Path) -> Iterator[StackFile]:
    """The stack of servers that the environment names, which ZenML knows."""
    state = tmp_path_factory.mktemp("emulator")
    emulation.start(state=state, told=print, preload=())
    with pytest.MonkeyPatch.context() as patch:
        variables = emulation.variables(state=state)
        for name, value in variables.items():
            patch.setenv(name, value)
        _forget_open_store()
        boto3.setup_default_session()
        stack = load_stack("sagemaker-emulated")
        registration.apply(stack)
        yield stack
    _forget_open_store()
    emulation.stop(state=state)


@pytest.fixture
def client(stack: StackFile) -> Client:
    return Client()


_numbers = itertools.count(1)


@pytest.fixture
def new(stack: StackFile) -> StackFile:
    """The same stack under a name that no other test uses, which ZenML does not know."""
    return stack.model_copy(update={"name": f"new-{next(_numbers)}"})


@pytest.fixture
def dies(monkeypatch: pytest.MonkeyPatch) -> Callable[[str, int], None]:
    """Let this process be interrupted when it calls a method of ZenML's client once too often."""

    def arrange(method: str, calls: int) -> None:
        original, left = getattr(Client, method), iter(range(calls))

        def interrupted(self: Client, *arguments: Any, **options: Any) -> Any:
            if next(left, None) is None:
                raise KeyboardInterrupt
            return original(self, *arguments, **options)

        monkeypatch.setattr(Client, method, interrupted)

    return arrange


def statements(differences: list[registration.Difference]) -> list[str]:
    return [f"{each.component}: {each.statement}" for each in differences]


def with_tracker(stack: StackFile, tracking_uri: str) -> StackFile:
    tracker = ComponentFile(flavor="sagemaker_mlflow", config={"tracking_uri": tracking_uri})
    parts = stack.components | {"experiment_tracker": tracker}
    return stack.model_copy(update={"components": parts})


class TestApply:
    def test_twice_changes_nothing(self, stack):
        before = registration.find_stack(stack.name)

        changes = registration.apply(stack)

        assert changes == []
        assert registration.find_stack(stack.name) == before

    @pytest.mark.parametrize(
        ("kind", "key", "value"),
        [
            (ORCHESTRATOR, "execution_role", "arn:aws:iam::123456789012:role/other"),
            (ARTIFACTS, "path", "s3://bank-marketing-123456789012/other"),
            (StackComponentType.CONTAINER_REGISTRY, "default_repository", "other"),
            (TRACKER, "experiment_name", "other"),
        ],
    )
    def test_a_value_that_was_changed_behind_its_back_is_told_and_set_back(
        self, stack, client, kind, key, value
    ):
        wanted = client.get_stack_component(kind, stack.name).configuration
        client.update_stack_component(stack.name, kind, configuration={key: value})
        told: list[registration.Difference] = []

        changes = registration.apply(stack, told.append)

        assert statements(told) == [f"{kind}: {key} is {value!r}; {wanted.get(key)!r} is wanted"]
        assert changes == told
        assert client.get_stack_component(kind, stack.name).configuration == wanted

    def test_what_is_told_has_not_been_changed_yet(self, stack, client):
        client.update_stack_component(stack.name, TRACKER, configuration={"experiment_name": "x"})
        seen = []

        def look(_: registration.Difference) -> None:
            tracker = client.get_stack_component(TRACKER, stack.name)
            seen.append(tracker.configuration.get("experiment_name"))

        registration.apply(stack, look)

        assert seen == ["x"]

    def test_what_another_put_into_the_stack_is_told_and_taken_out(self, new, client):
        theirs = client.create_stack_component(
            f"theirs-{new.name}", "sagemaker_mlflow", TRACKER, {"tracking_uri": "https://host"}
        )
        registry = client.create_stack_component(f"theirs-{new.name}", "mlflow", REGISTRY, {})
        registration.apply(new)
        client.update_stack(
            new.name, component_updates={TRACKER: [theirs.id], REGISTRY: [registry.id]}
        )

        changes = registration.apply(new)

        assert statements(changes) == [
            f"experiment_tracker: the stack uses {theirs.name}; its own is wanted",
            f"model_registry: the stack uses {theirs.name}; none is wanted",
        ]
        assert registration.differences(new) == []
        assert client.get_stack_component(TRACKER, theirs.name) == theirs

    def test_a_component_of_another_flavor_is_replaced(self, new, client):
        registration.apply(new)
        client.delete_stack(new.name)
        client.delete_stack_component(new.name, ORCHESTRATOR)
        client.create_stack_component(new.name, "local", ORCHESTRATOR, {})

        changes = registration.apply(new)

        assert statements(changes) == [
            "orchestrator: flavor is local; sagemaker_named is wanted",
            "stack: not registered",
        ]
        assert registration.differences(new) == []

    @pytest.mark.parametrize(
        ("method", "calls"),
        [
            ("create_stack_component", 0),
            ("create_stack_component", 4),
            ("create_stack", 0),
        ],
    )
    def test_one_that_was_interrupted_is_finished_by_the_next(
        self, new, dies, monkeypatch, method, calls
    ):
        dies(method, calls)
        with pytest.raises(KeyboardInterrupt):
            registration.apply(new)
        monkeypatch.undo()
        left = statements(registration.differences(new))

        changes = registration.apply(new)

        missing = list(new.components)[calls:] if method == "create_stack_component" else []
        assert [text.partition(":")[0] for text in left] == [*missing, "stack"]
        assert statements(changes) == left
        assert registration.differences(new) == []

    @pytest.mark.parametrize("method", ["delete_stack_component", "create_stack_component"])
    def test_a_repair_that_was_interrupted_is_finished_by_the_next(
        self, new, dies, monkeypatch, method
    ):
        orchestrator = ComponentFile(flavor="local")
        registration.apply(
            new.model_copy(update={"components": new.components | {"orchestrator": orchestrator}})
        )
        dies(method, 0)
        with pytest.raises(KeyboardInterrupt):
            registration.apply(new)
        monkeypatch.undo()

        registration.apply(new)

        assert registration.differences(new) == []

    def test_one_that_was_refused_in_the_middle_is_finished_by_the_next(self, new):
        with pytest.raises(SettingsError, match="tracking_uri"):
            registration.apply(with_tracker(new, "sqlite:///mlflow.db"))

        changes = registration.apply(new)

        assert statements(changes) == [
            "experiment_tracker: not registered; sagemaker_mlflow is wanted",
            "stack: not registered",
        ]
        assert registration.differences(new) == []

    def test_two_at_once_both_end_well(self, new, monkeypatch):
        create = Client.create_stack_component

        def after_somebody_else(self: Client, *arguments: Any, **options: Any) -> Any:
            monkeypatch.setattr(Client, "create_stack_component", create)
            registration.apply(new)
            return create(self, *arguments, **options)

        monkeypatch.setattr(Client, "create_stack_component", after_somebody_else)

        registration.apply(new)

        assert registration.differences(new) == []

    def test_nobody_elses_stacks_and_components_are_touched(self, stack, new, client):
        def everything() -> list[Any]:
            components = client.list_stack_components(size=1000, hydrate=True).items
            stacks = client.list_stacks(size=1000, hydrate=True).items
            return [each for each in (*components, *stacks) if each.name != new.name]

        before = everything()
        registration.apply(new)
        client.update_stack_component(new.name, TRACKER, configuration={"experiment_name": "x"})

        registration.apply(new)

        assert len(before) > len(stack.components)
        assert everything() == before

    def test_what_another_stack_holds_on_to_is_not_replaced(self, new, client):
        default = client.get_stack("default")
        config = {"tracking_uri": "https://host", "tracking_token": "{{mlflow.token}}"}
        client.create_secret("mlflow", {"token": "text"})
        tracker = client.create_stack_component(new.name, "mlflow", TRACKER, config)
        parts = {kind: default.components[kind][0].id for kind in (ORCHESTRATOR, ARTIFACTS)}
        client.create_stack(f"theirs-{new.name}", {**parts, TRACKER: tracker.id})

        with pytest.raises(PlatformError, match=r"flavor mlflow has to be replaced.*part of 1 s"):
            registration.apply(new)

        assert client.get_stack_component(TRACKER, new.name) == tracker


def by_name(stack: StackFile) -> dict[str, Check]:
    return {check.name: check for check in examine(stack)}


class TestDoctor:
    def test_an_emulated_stack_is_all_ok(self, stack):
        checks = by_name(stack)

        assert {name: check.found for name, check in checks.items() if check.state != "ok"} == {}
        assert checks["ZenML server"].found.endswith(f"ZenML {version('zenml')} as here")
        assert list(checks) == [
            "Python",
            "packages",
            "disk",
            "ZenML address",
            "ZenML server",
            "ZenML store",
            "stack",
            "region",
            "clock",
            "credentials",
            "SageMaker",
            f"bucket {emulation.STACK_VARIABLES['SAGEMAKER_BUCKET']}",
            "MLflow address",
            "MLflow server",
            "MLflow",
        ]

    def test_the_same_servers_are_out_of_reach_of_aws(self, stack):
        checks = by_name(stack.model_copy(update={"emulated": False}))

        problem = checks["ZenML address"]
        assert problem.found.startswith("no job in AWS can reach http://127.0.0.1:")
        assert problem.remedy == "zenml login https://SERVER"
        assert checks["stack"].found == "not looked at: 'ZenML store' has to be ok first"
        assert checks["credentials"].state == "ok"

    def test_a_stack_that_is_not_registered(self, stack):
        checks = by_name(stack.model_copy(update={"name": "another"}))

        (problem,) = [check for check in checks.values() if check.state == "problem"]
        assert problem.remedy == "python run.py stack apply sagemaker-emulated"

    def test_a_zenml_server_that_is_away(self, stack, monkeypatch):
        monkeypatch.setenv("ZENML_STORE_URL", f"http://127.0.0.1:{free_port()}")
        _forget_open_store()

        checks = by_name(stack)

        monkeypatch.undo()
        _forget_open_store()
        (problem,) = [check for check in checks.values() if check.state == "problem"]
        assert problem.name == "ZenML server"
        assert "does not answer as ZenML does" in problem.found

    @pytest.mark.usefixtures("stack")
    def test_programs_get_nothing_but_json(self, run_process, monkeypatch):
        for name, value in VARIABLES.items():
            monkeypatch.setenv(name, value)
        outcome = run_process("stack", "doctor", "sagemaker", "--json")

        checks = json.loads(outcome.output)
        assert {check["state"] for check in checks} == {"ok", "problem", "unknown"}
        assert all(check["remedy"] for check in checks if check["state"] == "problem")
        assert outcome.exit_code == 1
