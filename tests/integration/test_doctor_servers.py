"""`stack doctor` against a ZenML server, an MLflow server and the emulator, all on this machine."""

import json
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import boto3
import pytest

from benchmarks.zenml_on_emulator.servers import BUCKET, IMAGE, REGION, Servers, servers
from stacks import registration
from stacks.doctor.check import Check
from stacks.doctor.examination import examine
from stacks.files import ComponentFile, JobFile, SageMakerFile, StackFile
from tests.conftest import _forget_open_store
from tests.mlflow_server import free_port
from tests.unit.test_cost import VARIABLES

pytestmark = pytest.mark.slow

JOB = JobFile(
    type="processing",
    instance_type="ml.m5.large",
    volume_gb=30,
    max_runtime_s=3600,
    spot=False,
    keep_alive_s=0,
)


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory, zenml_home: Path) -> Iterator[Servers]:
    """Servers that the environment names."""
    with (
        servers(tmp_path_factory.mktemp("servers"), preload=()) as started,
        pytest.MonkeyPatch.context() as patch,
    ):
        for name, value in started.variables.items():
            if name != "MLFLOW_TRACKING_URI":
                patch.setenv(name, value)
        _forget_open_store()
        boto3.setup_default_session()
        yield started
        _forget_open_store()


@pytest.fixture(scope="module")
def stack(started: Servers) -> StackFile:
    """A stack of these servers, which ZenML knows."""
    stack = StackFile(
        name="emulated",
        emulated=True,
        components={
            "orchestrator": ComponentFile(
                flavor="sagemaker",
                config={
                    "region": REGION,
                    "execution_role": "arn:aws:iam::123456789012:role/jobs",
                    "bucket": BUCKET,
                    "instance_type": "ml.m5.large",  # else ZenML adds one of its own
                },
            ),
            "artifact_store": ComponentFile(flavor="s3", config={"path": f"s3://{BUCKET}/runs"}),
            "experiment_tracker": ComponentFile(
                flavor="mlflow",
                config={
                    "tracking_uri": started.mlflow,
                    "tracking_username": "me",
                    "tracking_password": "nobody asks",  # pragma: allowlist secret
                },
            ),
        },
        sagemaker=SageMakerFile(
            image=IMAGE,
            step_jobs={"default": JOB},
            submitted_job=JOB,
            subnets=(),
            security_group_ids=(),
            tags={},
        ),
    )
    registration.apply(stack)
    return stack


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
        f"bucket {BUCKET}",
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


@pytest.mark.usefixtures("started")
def test_programs_get_nothing_but_json(run_process, monkeypatch):
    for name, value in VARIABLES.items():
        monkeypatch.setenv(name, value)
    outcome = run_process("stack", "doctor", "sagemaker", "--json")

    checks = json.loads(outcome.output)
    assert {check["state"] for check in checks} == {"ok", "problem", "unknown"}
    assert all(check["remedy"] for check in checks if check["state"] == "problem")
    assert outcome.exit_code == 1
