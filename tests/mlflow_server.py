"""A tracking server as a team would share it, in a process of its own."""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest


class Server(NamedTuple):
    """A running server; it ends with the block that started it, or when it is killed."""

    url: str
    process: subprocess.Popen[bytes]

    def kill(self) -> None:
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()


@contextmanager
def serve(store_uri: str, folder: Path, *, artifact_root: str | None = None) -> Iterator[Server]:
    """Start a server on `store_uri`; yield it once it answers.

    It keeps artifacts itself, unless `artifact_root` says where its clients have to put them.
    """
    port = free_port()
    artifacts = (
        ("--artifacts-destination", str(folder / "artifacts"))
        if artifact_root is None
        else ("--default-artifact-root", artifact_root, "--no-serve-artifacts")
    )
    command = [
        *(sys.executable, "-m", "mlflow", "server", "--workers", "1", "--port", str(port)),
        *("--backend-store-uri", store_uri),
        *artifacts,
    ]
    with (
        (folder / "log").open("wb") as log,
        subprocess.Popen(
            command,
            cwd=folder,
            env={**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"},
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        ) as process,
    ):
        server = Server(f"http://127.0.0.1:{port}", process)
        try:
            _wait_until_healthy(server)
            yield server
        finally:
            server.kill()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def _wait_until_healthy(server: Server) -> None:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and server.process.poll() is None:
        try:
            with urllib.request.urlopen(f"{server.url}/health", timeout=5):
                return
        except (urllib.error.URLError, TimeoutError):
            time.sleep(0.1)
    pytest.fail("the MLflow server ended while starting, or did not answer in 120 s")
