"""The emulator as a program of its own: how it starts, and that nothing outlives it."""

import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import boto3
import pytest

from tests.contract.sagemaker.conftest import BUCKET, MODEL_SERVER
from tests.contract.sagemaker.models import put_model_data, variant
from tests.contract.sagemaker.requests import IMAGE, training_request
from tests.contract.sagemaker.steps import definition, processing
from tests.contract.sagemaker.trainer import write_program

ROOT = Path(__file__).parent.parent.parent.parent

BEAT = """if True:
    import os, subprocess, sys, time
    beats = os.environ["BEATS"]
    if len(sys.argv) == 1:
        subprocess.Popen([sys.executable, __file__, "child"], start_new_session=True)
    while True:
        with open(f"{beats}-{len(sys.argv)}", "a") as file:
            file.write(".")
        time.sleep(0.02)
    """

# A model's container: its server, and what beats for ever.
SERVE = f"""
import os, subprocess, sys
subprocess.Popen([sys.executable, {str(MODEL_SERVER)!r}])
os.execv(sys.executable, [sys.executable, os.environ["BEAT"]])
"""


class Program(NamedTuple):
    """A running emulator, and a client of its SageMaker."""

    process: subprocess.Popen[str]
    url: str
    work: Path

    def client(self, service: str) -> Any:
        return boto3.client(
            service,
            region_name="eu-west-1",
            endpoint_url=self.url,
            aws_access_key_id="testing",
            aws_secret_access_key="testing",  # noqa: S106  # pragma: allowlist secret
        )


@contextmanager
def program(work: Path, *arguments: str) -> Iterator[Program]:
    command = [sys.executable, "-m", "sagemaker_emulator", "--work", str(work), *arguments]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield Program(process, process.stdout.readline().strip(), work)
        finally:
            process.kill()


@pytest.fixture
def image(tmp_path: Path) -> str:
    """An environment for the images of these tests, as an option of the emulator."""
    programs = tmp_path / "environment" / "bin"
    programs.mkdir(parents=True)
    (programs / "python").symlink_to(sys.executable)
    write_program(programs / "serve", SERVE)
    return f"--image=/project:={programs.parent}"


@pytest.fixture
def beat(tmp_path: Path) -> Path:
    """A program that writes to two files for ever, one of them from a process that it left."""
    (tmp_path / "beat.py").write_text(BEAT)
    return tmp_path / "beat.py"


def beating(beat: Path, name: str) -> dict[str, str]:
    """Return the environment in which the program writes to files of this name."""
    return {"BEAT": str(beat), "BEATS": str(beat.parent / name)}


def create_role(emulator: Program) -> str:
    role = emulator.client("iam").create_role(RoleName="r", AssumeRolePolicyDocument="{}")
    return str(role["Role"]["Arn"])


def start_training(emulator: Program, beat: Path) -> int:
    request = training_request(
        "beating",
        create_role(emulator),
        "none",
        *("python", str(beat)),
        Environment=beating(beat, "beats"),
    )
    emulator.client("sagemaker").create_training_job(**request)
    return 2


def start_pipeline(emulator: Program, beat: Path) -> int:
    """Start two processing steps side by side."""
    role, sagemaker = create_role(emulator), emulator.client("sagemaker")
    program = {"ImageUri": IMAGE, "ContainerEntrypoint": ["python", str(beat)]}
    steps = [
        processing(
            *(name, role, ""),
            arguments={"AppSpecification": program, "Environment": beating(beat, f"beats-{name}")},
        )
        for name in ("one", "other")
    ]
    sagemaker.create_pipeline(
        PipelineName="beating", PipelineDefinition=definition(*steps), RoleArn=role
    )
    sagemaker.start_pipeline_execution(PipelineName="beating")
    return 4


def start_endpoint(emulator: Program, beat: Path) -> int:
    """Bring a model into service."""
    role, s3, sagemaker = create_role(emulator), emulator.client("s3"), emulator.client("sagemaker")
    s3.create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    container = {
        "Image": IMAGE,
        "ModelDataUrl": put_model_data(s3, "model", 1),
        "Environment": beating(beat, "beats"),
    }
    sagemaker.create_model(ModelName="m", ExecutionRoleArn=role, PrimaryContainer=container)
    sagemaker.create_endpoint_config(EndpointConfigName="c", ProductionVariants=[variant("v", "m")])
    sagemaker.create_endpoint(EndpointName="beating", EndpointConfigName="c")
    waiter = sagemaker.get_waiter("endpoint_in_service")
    waiter.wait(EndpointName="beating", WaiterConfig={"Delay": 1, "MaxAttempts": 60})
    return 2


def written(folder: Path, number: int) -> list[Path]:
    """Wait until as many files are written to; return them."""
    while len(files := list(folder.glob("beats*"))) < number:
        time.sleep(0.05)
    return files


def left_of(work: Path) -> list[str]:
    """Return the command lines of processes that have the work folder in their environment."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if str(work).encode() in (process / "environ").read_bytes():
                found.append((process / "cmdline").read_text())
        except OSError:
            continue  # it ended meanwhile
    return found


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize(
    ("start", "number"),
    [
        (start_training, signal.SIGKILL),
        (start_training, signal.SIGTERM),
        (start_training, signal.SIGINT),
        (start_pipeline, signal.SIGKILL),
        (start_endpoint, signal.SIGKILL),
    ],
)
def test_nothing_outlives_an_emulator_that_is_killed(
    tmp_path: Path, image: str, beat: Path, start: Callable[[Program, Path], int], number: int
):
    with program(tmp_path / "work", image, "--slots=2") as emulator:
        files = written(tmp_path, start(emulator, beat))
        assert left_of(tmp_path / "work")

        os.kill(emulator.process.pid, number)
        emulator.process.wait(timeout=10)

    time.sleep(0.5)
    sizes = [file.stat().st_size for file in files]
    time.sleep(0.3)
    assert [file.stat().st_size for file in files] == sizes
    assert left_of(tmp_path / "work") == []


def test_it_says_where_it_answers_and_that_it_is_well(tmp_path):
    with (
        program(tmp_path) as emulator,
        urllib.request.urlopen(f"{emulator.url}/_emulator/health") as answer,
    ):
        assert emulator.url.startswith("http://127.0.0.1:")
        assert answer.status == 200


def test_a_port_in_use_is_an_error_in_one_line(tmp_path):
    with program(tmp_path) as emulator:
        port = emulator.url.rpartition(":")[2]
        second = subprocess.run(
            [sys.executable, "-m", "sagemaker_emulator", "--work", str(tmp_path), "--port", port],
            cwd=ROOT,
            check=False,
            capture_output=True,
            text=True,
        )

    assert second.returncode == 1
    assert f"port {port} cannot be used" in second.stderr


@pytest.mark.parametrize("image", ["no-equals-sign", "x=/no/such/folder"])
def test_an_image_without_an_environment_is_refused_at_the_start(tmp_path, image):
    refused = subprocess.run(
        [sys.executable, "-m", "sagemaker_emulator", "--work", str(tmp_path), "--image", image],
        cwd=ROOT,
        check=False,
        capture_output=True,
        text=True,
    )

    assert refused.returncode == 2
    assert "is not REGEX=ENVIRONMENT" in refused.stderr
