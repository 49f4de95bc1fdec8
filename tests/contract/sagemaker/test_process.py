"""The emulator as a program of its own: how it starts, and that nothing outlives it."""

import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import boto3
import pytest

from tests.contract.sagemaker.requests import training_request

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
            aws_secret_access_key="testing",  # noqa: S106
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


def start_beating(emulator: Program, folder: Path) -> list[Path]:
    """Start a job that writes to two files for ever, one of them from a process that it left."""
    role = emulator.client("iam").create_role(RoleName="r", AssumeRolePolicyDocument="{}")
    (folder / "beat.py").write_text(BEAT)
    request = training_request(
        "beating",
        role["Role"]["Arn"],
        "none",
        *("python", str(folder / "beat.py")),
        Environment={"BEATS": str(folder / "beats")},
    )
    emulator.client("sagemaker").create_training_job(**request)
    files = [folder / "beats-1", folder / "beats-2"]
    while not all(file.exists() for file in files):
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
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_nothing_outlives_an_emulator_that_is_killed(tmp_path, number):
    image = f"/project:={sys.prefix}"
    with program(tmp_path / "work", "--image", image) as emulator:
        files = start_beating(emulator, tmp_path)

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
