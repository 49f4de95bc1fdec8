"""A PostgreSQL of the tests' own, on the loopback interface and in a folder that goes with it."""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.mlflow_server import free_port

_PACKAGED = Path("/usr/lib/postgresql")  # Debian keeps the server's programs off the path
_USER = "tuner"


@contextmanager
def serve_postgres() -> Iterator[str]:
    """Start a server; yield the URL of its database once it answers."""
    folder_of_programs = _programs()
    # Not pytest's folder, into which the server's own user may not look.
    with TemporaryDirectory(prefix="postgres-") as folder:
        account = _account(Path(folder))
        data, port = f"{folder}/data", free_port()
        subprocess.run(
            [
                *(folder_of_programs / "initdb", "--pgdata", data, "--username", _USER),
                *("--auth", "trust", "--no-sync"),
            ],
            user=account,
            cwd=folder,
            stdout=subprocess.DEVNULL,
            check=True,
        )
        with (
            Path(folder, "log").open("wb") as log,
            subprocess.Popen(
                [
                    *(folder_of_programs / "postgres", "-D", data, "-p", str(port), "-F"),
                    *("-h", "127.0.0.1", "-k", folder),
                ],
                user=account,
                cwd=folder,
                stdout=log,
                stderr=subprocess.STDOUT,
            ) as process,
        ):
            try:
                _wait_until_ready(folder_of_programs, port, process)
                yield f"postgresql://{_USER}@127.0.0.1:{port}/postgres"
            finally:
                process.send_signal(signal.SIGINT)  # without waiting for clients to leave


def _programs() -> Path:
    """Return the folder of the newest server that is installed."""
    packaged = sorted(_PACKAGED.glob("*/bin"), key=lambda folder: int(folder.parent.name))
    on_path = shutil.which("initdb")
    folders = [Path(on_path).resolve().parent] if on_path else packaged
    if not folders:
        pytest.skip("there is no PostgreSQL; Debian's package is called postgresql")
    return folders[-1]


def _account(folder: Path) -> str | None:
    """Give `folder` to whom the server may run as: not to root, which it refuses."""
    if os.geteuid() != 0:
        return None
    try:
        shutil.chown(folder, "postgres")
    except LookupError:
        pytest.skip("PostgreSQL refuses to run as root, and there is no user postgres")
    return "postgres"


def _wait_until_ready(programs: Path, port: int, process: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + 60
    probe = [programs / "pg_isready", "--quiet", "--host", "127.0.0.1", "--port", str(port)]
    while time.monotonic() < deadline and process.poll() is None:
        if subprocess.run(probe, check=False).returncode == 0:
            return
        time.sleep(0.1)
    pytest.fail("PostgreSQL ended while starting, or did not answer in 60 s")
