"""Servers on this machine that outlive the command that starts them.

A state folder holds `NAME.json`, what runs, and `NAME.log`, what it said. The processes of a server
keep its log locked: as long as they do, the recorded process group is theirs, so a stranger that
is given the same number later is never ended.
"""

import fcntl
import http.client
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, ValidationError

from bank_marketing.config import explain
from bank_marketing.errors import PlatformError

HOST = "127.0.0.1"  # what runs here trusts whoever reaches it, so nobody outside may
_START_SECONDS = 120
_STOP_SECONDS = 10
_POLL_SECONDS = 0.1
_QUOTED_LOG_LINES = 15


@dataclass(frozen=True)
class Program:
    """A server that `python -m` can run, the store that it shows, and its whole environment."""

    name: str
    store: str
    port: int
    arguments: tuple[str, ...]
    environment: Mapping[str, str]

    @property
    def url(self) -> str:
        """Where it answers, without a slash at the end."""
        return f"http://{HOST}:{self.port}"


class Server(BaseModel):
    """What shows a store; `pid` leads its process group, and is none if we did not start it."""

    model_config = ConfigDict(frozen=True)

    store: str
    url: str
    pid: int | None


@contextmanager
def all_or_none(state: Path, names: Sequence[str]) -> Iterator[None]:
    """Keep other commands away from these servers; if the block raises, none of them is left."""
    with exclusive(state), ExitStack() as undo:
        undo.callback(stop_all, state, names)
        yield
        undo.pop_all()


@contextmanager
def exclusive(state: Path) -> Iterator[None]:
    """Let one command at a time start and stop servers; others wait."""
    state.mkdir(parents=True, exist_ok=True)
    with (state / "lock").open("ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def launch(state: Path, program: Program) -> Server:
    """Start a server, record it, and return without waiting for it.

    Raises:
        PlatformError: Its log belongs to a server that is not recorded.
    """
    log = log_of(state, program.name)
    with log.open("ab") as output:
        if not _until(lambda: _lock(output, fcntl.LOCK_EX), seconds=1):
            raise PlatformError(
                f"{log} is in use by a server that is not recorded beside it; "
                f"end the process that `lsof {log}` names"
            )
        output.truncate(0)
        process = subprocess.Popen(  # noqa: S603 - our own interpreter and arguments
            [sys.executable, "-m", *program.arguments],
            stdin=subprocess.DEVNULL,
            stdout=output,  # passes the lock on
            stderr=subprocess.STDOUT,
            env=dict(program.environment),
            start_new_session=True,
        )
    server = Server(store=program.store, url=program.url, pid=process.pid)
    record(state, program.name, server)
    return server


def wait_until_ready(state: Path, name: str, health: str) -> None:
    """Return when the server called `name` answers at the URL `health`.

    Raises:
        PlatformError: It ended, or takes too long; the end of its log is in the message.
    """
    log = log_of(state, name)
    settled = _until(lambda: not _locked(log) or _answers(health), seconds=_START_SECONDS)
    if settled and _locked(log):
        return
    problem = "ended while starting" if settled else f"did not answer in {_START_SECONDS} s"
    raise PlatformError(f"the {name} server {problem}; {log} ends with:\n{_last_lines(log)}")


def stop_all(state: Path, names: Sequence[str]) -> tuple[str, ...]:
    """Stop each of the servers and return the addresses of those that ran."""
    urls = [stop(state, name) for name in names]
    return tuple(url for url in urls if url)


def stop(state: Path, name: str) -> str | None:
    """Forget the server, after ending it if we started it; return the address it then had.

    Raises:
        PlatformError: It does not end.
    """
    server = running(state, name)
    if server and server.pid is not None:
        _end(server.pid, log_of(state, name))
    _record(state, name).unlink(missing_ok=True)
    return server.url if server and server.pid is not None else None


def running(state: Path, name: str) -> Server | None:
    """Return the server that was recorded, unless it has ended since."""
    server = recorded(state, name)
    ended = server and server.pid is not None and not _locked(log_of(state, name))
    return None if ended else server


def recorded(state: Path, name: str) -> Server | None:
    """Return the server that was recorded, whether or not it still runs.

    Raises:
        PlatformError: The record is damaged.
    """
    path = _record(state, name)
    try:
        return Server.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return None
    except ValidationError as error:
        raise PlatformError(
            f"{path} does not describe a server: {explain(error)}; delete it, after ending "
            f"the process that `lsof {log_of(state, name)}` names, if any"
        ) from error


def record(state: Path, name: str, server: Server) -> None:
    """Write down what runs, at once, because `running` reads without waiting."""
    path = _record(state, name)
    draft = path.with_suffix(".new")
    draft.write_text(server.model_dump_json(), encoding="utf-8")
    draft.replace(path)


def log_of(state: Path, name: str) -> Path:
    """Return the file of what the server called `name` said since it was started."""
    return state / f"{name}.log"


def free_ports(count: int) -> tuple[int, ...]:
    """Return ports of this machine on which nobody listens."""
    with ExitStack() as probes:
        sockets = [probes.enter_context(socket.socket()) for _ in range(count)]
        for probe in sockets:
            probe.bind((HOST, 0))
        return tuple(probe.getsockname()[1] for probe in sockets)


def _end(group: int, log: Path) -> None:
    for number in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError):  # it ended by itself just now
            os.killpg(group, number)
        if _until(lambda: not _locked(log), seconds=_STOP_SECONDS):
            return
    raise PlatformError(f"process group {group} does not end; `lsof {log}` names what is left")


def _record(state: Path, name: str) -> Path:
    return state / f"{name}.json"


def _last_lines(log: Path) -> str:
    return "\n".join(log.read_text(errors="replace").splitlines()[-_QUOTED_LOG_LINES:])


def _lock(file: BinaryIO, kind: int) -> bool:
    """Lock an open file unless it is locked; every process that inherits the file keeps it so."""
    try:
        fcntl.flock(file, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _locked(path: Path) -> bool:
    with path.open("ab") as file:
        return not _lock(file, fcntl.LOCK_SH)  # shared: two that look at once do not see each other


def _answers(url: str) -> bool:
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.netloc, timeout=5)
    try:
        connection.request("GET", parts.path)
        return connection.getresponse().status == http.HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _until(condition: Callable[[], bool], *, seconds: float) -> bool:
    """Return whether `condition` came true in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(_POLL_SECONDS)
    return True
