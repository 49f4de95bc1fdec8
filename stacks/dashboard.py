"""ZenML's dashboard and MLflow's UI, served by this machine in the background.

The servers outlive the command that starts them. The state folder holds `NAME.json`, what runs, and
`NAME.log`, what it said. The processes of a server keep its log locked: as long as they do, the
recorded process group is theirs, so a stranger that is given the same number later is never ended.
"""

import fcntl
import http.client
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO
from urllib.parse import quote

from pydantic import BaseModel, ConfigDict, ValidationError

from bank_marketing.config import explain
from bank_marketing.errors import PlatformError

_HOST = "127.0.0.1"  # neither server asks who you are, so neither may be reached from outside
_ROOT = Path(__file__).parent.parent
_ZENML = "zenml"
_MLFLOW = "mlflow"
_START_SECONDS = 120
_STOP_SECONDS = 10
_POLL_SECONDS = 0.1
_QUOTED_LOG_LINES = 15


@dataclass(frozen=True)
class Dashboard:
    """The addresses of the two user interfaces, without a slash at the end."""

    zenml_url: str
    mlflow_url: str


@dataclass(frozen=True)
class _Program:
    """A server that `python -m` can run, and the store that it shows."""

    name: str
    store: str
    arguments: tuple[str, ...]
    environment: Mapping[str, str]


class _Server(BaseModel):
    """What shows a store; `pid` leads its process group, and is none if we did not start it."""

    model_config = ConfigDict(frozen=True)

    store: str
    url: str
    pid: int | None


def start(*, state: Path, mlflow_uri: str) -> Dashboard:
    """Show the active ZenML store and `mlflow_uri`; what already shows them stays as it is.

    A store that is itself a server (`http...`) brings its own user interface.

    Raises:
        PlatformError: One of the two does not start; then neither is left running.
    """
    with _exclusive(state), ExitStack() as undo:
        undo.callback(_stop_all, state)
        programs = (_zenml_program(), _mlflow_program(mlflow_uri))
        servers = [_ensure(state, program) for program in programs]
        for program, server in zip(programs, servers, strict=True):
            _wait_until_ready(state, program.name, server)
        undo.pop_all()
    zenml, mlflow = servers
    return Dashboard(zenml.url, mlflow.url)


def stop(*, state: Path) -> tuple[str, ...]:
    """End what `start` started, wait until it is gone, and return the addresses it had.

    Raises:
        PlatformError: A server does not end.
    """
    with _exclusive(state):
        return _stop_all(state)


def running(*, state: Path, zenml_store: str, mlflow_uri: str) -> Dashboard | None:
    """Return what `start` returned, if all of it still runs and shows these two stores."""
    zenml, mlflow = _recorded(state, _ZENML), _recorded(state, _MLFLOW)
    if not (zenml and zenml.store == zenml_store and mlflow and mlflow.store == mlflow_uri):
        return None
    return Dashboard(zenml.url, mlflow.url)


def run_url(base: str, run_id: object, *, project: str) -> str:
    """Return the page of a pipeline run in ZenML's dashboard."""
    return f"{base}/projects/{quote(project)}/runs/{run_id}"


def mlflow_run_url(base: str, *, experiment_id: str, run_id: str) -> str:
    """Return the page of a run in MLflow's UI."""
    return f"{base}/#/experiments/{experiment_id}/runs/{run_id}"


def _zenml_program() -> _Program:
    """Describe a server of the database that runs write to.

    `zenml login --local` starts the same one, but then makes every run go through it, which
    doubles the time of a short run.
    """
    return _Program(
        name=_ZENML,
        store=_prepare_zenml_store(),
        arguments=(
            *("uvicorn", "--factory", "stacks.dashboard_app:create", "--app-dir", str(_ROOT)),
            "--no-access-log",
        ),
        environment={
            "ZENML_SERVER": "true",
            "ZENML_SERVER_AUTH_SCHEME": "NO_AUTH",
            "ZENML_SERVER_DEPLOYMENT_TYPE": "local",
            "ZENML_SERVER_ALLOW_LOCAL_FILE_ACCESS": "true",  # reports lie in a local folder
            "DISABLE_DATABASE_MIGRATION": "true",  # done by the client, which opened it before
            "ZENML_ANALYTICS_OPT_IN": "false",
            "ZENML_LOGGING_COLORS_DISABLED": "true",
        },
    )


def _prepare_zenml_store() -> str:
    """Return the URL of the active store, which from now on asks its visitors nothing.

    Else the first page is a survey, and every page fetches announcements from the web.
    """
    from zenml.client import Client  # takes seconds, and `stop` does without
    from zenml.models import ServerSettingsUpdate

    client = Client()
    store = client.zen_store
    if not _is_server(store.url):
        user = client.active_user
        client.update_user(
            user.id,
            updated_email_opt_in=False,
            updated_metadata={
                **user.user_metadata,
                "finished_onboarding_survey": True,
                "awareness_channels": ["other"],
            },
        )
        store.update_server_settings(
            ServerSettingsUpdate(
                enable_analytics=False, display_announcements=False, display_updates=False
            )
        )
    return store.url


def _mlflow_program(uri: str) -> _Program:
    return _Program(
        name=_MLFLOW,
        store=uri,
        arguments=(
            *("mlflow", "server", "--backend-store-uri", uri, "--no-serve-artifacts"),
            *("--workers", "1", "--uvicorn-opts", "--no-access-log"),
        ),
        environment={
            "MLFLOW_DISABLE_TELEMETRY": "true",
            "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",  # workers for LLM evaluation
        },
    )


def _ensure(state: Path, program: _Program) -> _Server:
    """Return the server that shows the program's store, launching it if there is none."""
    server = _recorded(state, program.name)
    if server and server.store == program.store:
        return server
    _stop(state, program.name)
    if _is_server(program.store):
        server = _Server(store=program.store, url=program.store.rstrip("/"), pid=None)
    else:
        server = _launch(program, _log(state, program.name))
    _write(_record(state, program.name), server)
    return server


def _launch(program: _Program, log: Path) -> _Server:
    port = _free_port()
    with log.open("ab") as output:
        if not _until(lambda: _lock(output, fcntl.LOCK_EX), seconds=1):
            raise PlatformError(
                f"{log} is in use by a server that is not recorded beside it; "
                f"end the process that `lsof {log}` names"
            )
        output.truncate(0)
        process = subprocess.Popen(  # noqa: S603 - our own interpreter and arguments
            [sys.executable, "-m", *program.arguments, "--host", _HOST, "--port", str(port)],
            stdin=subprocess.DEVNULL,
            stdout=output,  # passes the lock on
            stderr=subprocess.STDOUT,
            env={**os.environ, **program.environment},
            start_new_session=True,
        )
    return _Server(store=program.store, url=f"http://{_HOST}:{port}", pid=process.pid)


def _wait_until_ready(state: Path, name: str, server: _Server) -> None:
    if server.pid is None:
        return
    log = _log(state, name)
    settled = _until(lambda: not _locked(log) or _answers(server.url), seconds=_START_SECONDS)
    if settled and _locked(log):
        return
    problem = "ended while starting" if settled else f"did not answer in {_START_SECONDS} s"
    raise PlatformError(f"the {name} server {problem}; {log} ends with:\n{_last_lines(log)}")


def _stop_all(state: Path) -> tuple[str, ...]:
    urls = [_stop(state, name) for name in (_ZENML, _MLFLOW)]
    return tuple(url for url in urls if url)


def _stop(state: Path, name: str) -> str | None:
    """Forget the server, after ending it if we started it; return the address it then had."""
    server = _recorded(state, name)
    if server and server.pid is not None:
        _end(server.pid, _log(state, name))
    _record(state, name).unlink(missing_ok=True)
    return server.url if server and server.pid is not None else None


def _end(group: int, log: Path) -> None:
    for number in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError):  # it ended by itself just now
            os.killpg(group, number)
        if _until(lambda: not _locked(log), seconds=_STOP_SECONDS):
            return
    raise PlatformError(f"process group {group} does not end; `lsof {log}` names what is left")


def _recorded(state: Path, name: str) -> _Server | None:
    """Return the server that was recorded, unless it has ended since."""
    path = _record(state, name)
    try:
        server = _Server.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return None
    except ValidationError as error:
        raise PlatformError(
            f"{path} does not describe a server: {explain(error)}; delete it, after ending "
            f"the process that `lsof {_log(state, name)}` names, if any"
        ) from error
    return server if server.pid is None or _locked(_log(state, name)) else None


def _write(path: Path, server: _Server) -> None:
    draft = path.with_suffix(".new")
    draft.write_text(server.model_dump_json(), encoding="utf-8")
    draft.replace(path)  # at once, because `running` reads without waiting for `start`


def _record(state: Path, name: str) -> Path:
    return state / f"{name}.json"


def _log(state: Path, name: str) -> Path:
    return state / f"{name}.log"


def _last_lines(log: Path) -> str:
    return "\n".join(log.read_text(errors="replace").splitlines()[-_QUOTED_LOG_LINES:])


@contextmanager
def _exclusive(state: Path) -> Iterator[None]:
    """Let one command at a time start and stop servers; others wait."""
    state.mkdir(parents=True, exist_ok=True)
    with (state / "lock").open("ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


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
    connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=5)
    try:
        connection.request("GET", "/health")
        return connection.getresponse().status == http.HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _is_server(uri: str) -> bool:
    return uri.startswith(("http://", "https://"))


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((_HOST, 0))
        port: int = probe.getsockname()[1]
    return port


def _until(condition: Callable[[], bool], *, seconds: float) -> bool:
    """Return whether `condition` came true in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(_POLL_SECONDS)
    return True
