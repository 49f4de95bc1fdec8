"""An emulator, and what every account has: a role and a bucket."""

import itertools
import json
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from sagemaker_emulator import fixture
from sagemaker_emulator.images.containers import Environment
from sagemaker_emulator.server import Emulator
from tests.contract.sagemaker.trainer import trainer_environment

ROOT = Path(__file__).parent.parent.parent.parent
MODEL_SERVER = Path(__file__).parent / "model_server.py"

sagemaker_emulator = fixture.sagemaker_emulator

BUCKET = "contract"
TRUST = {
    "Version": "2012-10-17",
    "Statement": [
        {
            "Effect": "Allow",
            "Principal": {"Service": "sagemaker.amazonaws.com"},
            "Action": "sts:AssumeRole",
        }
    ],
}

_NO_TELEMETRY = """\
SchemaVersion: "1.0"
SageMaker: {PythonSDK: {Modules: {TelemetryOptOut: true}}}
"""


@pytest.fixture(scope="module")
def sagemaker_emulator_options(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The project's image is the environment of these tests; Amazon's are made once a checkout."""
    return {
        "images": [
            ("/project:", Environment(Path(sys.prefix))),
            ("/model:", Environment(Path(sys.prefix), serve=("python", str(MODEL_SERVER)))),
            ("/trainer:", trainer_environment(tmp_path_factory.mktemp("trainer"))),
        ],
        "slots": 4,
        "variables": {"SAGEMAKER_MLFLOW_CUSTOM_ENDPOINT": "http://mlflow.example.org"},
        "stop_grace_s": 1,
        "environments": ROOT / ".local" / "sagemaker-environments",
        "quotas": {
            "ml.p4d.24xlarge for training job usage": 0,
            "ml.p4d.24xlarge for endpoint usage": 0,
            "ml.p3.16xlarge for transform job usage": 0,
            "ml.r5.large for processing job usage": 3,
            "ml.r5.xlarge for processing job usage": 3,
        },
    }


@pytest.fixture(scope="module")
def client(sagemaker_emulator: Emulator) -> Callable[[str], Any]:
    """Make a client of a service of the emulated cloud."""
    session = sagemaker_emulator.session()
    return lambda service: session.client(service, endpoint_url=sagemaker_emulator.url)


@pytest.fixture(scope="module")
def sagemaker(client: Callable[[str], Any]) -> Any:
    return client("sagemaker")


@pytest.fixture(scope="module")
def s3(client: Callable[[str], Any]) -> Any:
    s3 = client("s3")
    s3.create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    return s3


@pytest.fixture(scope="module")
def role(client: Callable[[str], Any]) -> str:
    created = client("iam").create_role(
        RoleName="execution", AssumeRolePolicyDocument=json.dumps(TRUST)
    )
    return str(created["Role"]["Arn"])


@pytest.fixture(scope="module")
def sagemaker_session(
    sagemaker_emulator: Emulator, s3: Any, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Any]:
    """A session of the SageMaker SDK, which reports its use to nobody."""
    config = tmp_path_factory.mktemp("sdk") / "config.yaml"
    config.write_text(_NO_TELEMETRY)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SAGEMAKER_SUPPRESS_V2_WARNING", "1")
        for whose in ("ADMIN", "USER"):
            patch.setenv(f"SAGEMAKER_{whose}_CONFIG_OVERRIDE", str(config))
        for variable, value in sagemaker_emulator.environment().items():
            patch.setenv(variable, value)
        from sagemaker import utils  # seconds to import
        from sagemaker.session import Session

        # The SDK holds its own schema against that of schemas whenever it looks a value up.
        patch.setattr(utils, "validate_sagemaker_config", lambda _: None)
        yield Session(sagemaker_emulator.session(), default_bucket=BUCKET)


_numbers = itertools.count(1)


@pytest.fixture
def name(request: pytest.FixtureRequest) -> str:
    """A name that no other test uses."""
    return f"test-{next(_numbers)}"


@pytest.fixture
def until() -> Callable[..., Any]:
    """Ask again until the answer is as it should be; fail after a while."""

    def wait(ask: Callable[[], Any], fits: Callable[[Any], bool], timeout_s: float = 60) -> Any:
        end = time.monotonic() + timeout_s
        while not fits(answer := ask()):
            assert time.monotonic() < end, f"still {answer}"
            time.sleep(0.05)
        return answer

    return wait
