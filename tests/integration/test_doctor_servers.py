"""`stack doctor` against a ZenML server, an MLflow server and the emulator, all on this machine."""

import json
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import boto3
import pytest

from stacks import emulation, registration
from stacks.doctor.check import Check
from stacks.doctor.examination import examine
from stacks.files import StackFile, load_stack
from tests.conftest import _forget_open_store
from tests.mlflow_server import free_port
from tests.unit.test_stack_files import VARIABLES

# The servers outlive the command that starts them, which is what `subprocess` warns of.
pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:subprocess .* is still running:ResourceWarning"),
]


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory, zenml_home: Path) -> Iterator[StackFile]:
    """A stack of servers that the environment names, which ZenML knows."""
    state = tmp_path_factory.mktemp("emulator")
    emulation.start(state=state, told=print, preload=())
    with pytest.MonkeyPatch.context() as patch:
        variables = emulation.variables(state=state)
        for name, value in variables.items():
            patch.setenv(name, value)
        _forget_open_store()
        boto3.setup_default_session()
        # Emulated, SageMaker knows nothing of MLflow servers, so that this one has an address.
        mlflow = variables["SAGEMAKER_MLFLOW_CUSTOM_ENDPOINT"]
        stack = load_stack("sagemaker-emulated", variables | {"SAGEMAKER_MLFLOW": mlflow})
        registration.apply(stack)
        yield stack
    _forget_open_store()
    emulation.stop(state=state)


def by_name(stack: StackFile) -> dict[str, Check]:
    return {check.name: check for check in examine(stack, "sagemaker-emulated")}


def test_an_emulated_stack_is_all_ok(stack):
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


def test_the_same_servers_are_out_of_reach_of_aws(stack):
    checks = by_name(stack.model_copy(update={"emulated": False}))

    problem = checks["ZenML address"]
    assert problem.found.startswith("no job in AWS can reach http://127.0.0.1:")
    assert problem.remedy == "zenml login https://SERVER"
    assert checks["stack"].found == "not looked at: 'ZenML store' has to be ok first"
    assert checks["credentials"].state == "ok"


def test_a_stack_that_is_not_registered(stack):
    checks = by_name(stack.model_copy(update={"name": "another"}))

    (problem,) = [check for check in checks.values() if check.state == "problem"]
    assert problem.remedy == "python run.py stack apply sagemaker-emulated"


def test_a_zenml_server_that_is_away(stack, monkeypatch):
    monkeypatch.setenv("ZENML_STORE_URL", f"http://127.0.0.1:{free_port()}")
    _forget_open_store()

    checks = by_name(stack)

    monkeypatch.undo()
    _forget_open_store()
    (problem,) = [check for check in checks.values() if check.state == "problem"]
    assert problem.name == "ZenML server"
    assert "does not answer as ZenML does" in problem.found


@pytest.mark.usefixtures("stack")
def test_programs_get_nothing_but_json(run_process, monkeypatch):
    for name, value in VARIABLES.items():
        monkeypatch.setenv(name, value)
    outcome = run_process("stack", "doctor", "sagemaker", "--json")

    checks = json.loads(outcome.output)
    assert {check["state"] for check in checks} == {"ok", "problem", "unknown"}
    assert all(check["remedy"] for check in checks if check["state"] == "problem")
    assert outcome.exit_code == 1
