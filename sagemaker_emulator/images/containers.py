"""Containers without Docker: a process in an image's environment, with a file system of its own.

Where the system allows it (Linux, as root) each container has a mount namespace with its own
`/opt/ml`, `/app` and `/etc/hosts`, and all of an environment share a process namespace that ends
with the emulator. Elsewhere `inside/shim` redirects these paths for Python programs.
"""

import itertools
import json
import os
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Literal

from sagemaker_emulator.api.errors import JobError

INSIDE = Path(__file__).parent / "inside"

Isolation = Literal["namespace", "shim"]

_UNSHARE = ("unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc")
_TARGETS = ("/opt/ml", "/app")


@cache
def best_isolation() -> Isolation:
    """Return what this system allows."""
    if sys.platform != "linux" or os.geteuid() != 0 or not shutil.which("unshare"):
        return "shim"
    tried = subprocess.run([*_UNSHARE, "true"], check=False, capture_output=True)
    return "shim" if tried.returncode else "namespace"


@dataclass(frozen=True)
class Environment:
    """What an image is here: a folder with `bin/python`, and what the image sets by itself.

    Args:
        variables: As `ENV` of a Dockerfile.
        serve: The command of a model container.
        preload: Modules that a process which is forked for each container imports once.
        layered: Whether a container may change the folder, as if it had its own.
    """

    folder: Path
    variables: Mapping[str, str] = field(default_factory=dict)
    serve: tuple[str, ...] = ("serve",)
    preload: tuple[str, ...] = ()
    layered: bool = False

    @property
    def python(self) -> Path:
        return self.folder / "bin" / "python"


@dataclass(frozen=True)
class Command:
    """What to run, and where.

    Args:
        folder: Holds `ml` and `app`, which the container sees as `/opt/ml` and `/app`, and `log`.
        hosts: Address by name of the machines that the container can reach, itself first.
    """

    argv: Sequence[str]
    variables: Mapping[str, str]
    folder: Path
    hosts: Mapping[str, str]

    @property
    def log(self) -> Path:
        return self.folder / "log"


class Container:
    """A container that was started."""

    def __init__(self, launcher: "_Launcher", name: str) -> None:
        self._launcher = launcher
        self._name = name
        self._ended = threading.Event()
        self._exit: int | None = None

    def wait(self, timeout_s: float | None = None) -> int | None:
        """Return the exit code, 128 + n after signal n; none if it still runs."""
        self._ended.wait(timeout_s)
        return self._exit

    @property
    def exit_code(self) -> int | None:
        return self._exit

    def kill(self, number: int) -> None:
        """Send a signal to all processes of the container."""
        self._launcher.send({"id": self._name, "signal": number})

    def end(self, code: int) -> None:
        self._exit = code
        self._ended.set()


class ContainerRuntime:
    """Starts containers; they all end with it.

    Args:
        home: Home folder of what is imported before there is a container.
        variables: What that finds in its environment: some libraries read it as they are loaded.
    """

    def __init__(
        self, isolation: Isolation, home: Path, variables: Mapping[str, str] | None = None
    ) -> None:
        self.isolation = isolation
        self._environ = {
            "PATH": os.environ.get("PATH", os.defpath),
            "LANG": "C.UTF-8",
            **(variables or {}),
            "HOME": str(home),
        }
        self._launchers: dict[tuple[Path, tuple[str, ...]], _Launcher] = {}
        self._lock = threading.Lock()
        self._networks = itertools.count(1)
        self._stopped = False
        if isolation == "namespace":
            for target in _TARGETS:
                Path(target).mkdir(parents=True, exist_ok=True)

    def start(self, environment: Environment, command: Command) -> Container:
        """Start a container.

        Raises:
            JobError: The environment is gone, or its launcher has ended.
        """
        return self._launcher(environment).start(environment, command)

    def warm_up(self, environment: Environment) -> None:
        """Begin to import what `environment` preloads, before its first container is asked for.

        Raises:
            JobError: The environment is gone.
        """
        self._launcher(environment)

    def _launcher(self, environment: Environment) -> "_Launcher":
        with self._lock:
            if self._stopped:
                raise JobError("InternalServerError: the emulator has ended")
            key = (environment.folder, environment.preload)
            launcher = self._launchers.get(key)
            if launcher is None or not launcher.alive:
                launcher = self._launchers[key] = _Launcher(
                    environment, self.isolation, self._environ
                )
        return launcher

    def addresses(self, hosts: Sequence[str]) -> dict[str, str]:
        """Give each of the machines of a job a loopback address that no other job has."""
        network = next(self._networks)
        prefix = f"127.{16 + network // 250 % 200}.{network % 250}"
        return {host: f"{prefix}.{number}" for number, host in enumerate(hosts, 1)}

    def stop(self) -> None:
        """End all containers."""
        with self._lock:
            self._stopped = True
            for launcher in self._launchers.values():
                launcher.stop()
            self._launchers.clear()


class _Launcher:
    """The process that starts the containers of one environment."""

    def __init__(
        self, environment: Environment, isolation: Isolation, environ: Mapping[str, str]
    ) -> None:
        if not environment.python.exists():
            raise JobError(f"CannotPullContainerError: there is no {environment.python}")
        self._isolation = isolation
        ours, theirs = socket.socketpair()
        argv = [
            str(environment.python),
            str(INSIDE / "launcher.py"),
            str(theirs.fileno()),
            *environment.preload,
        ]
        self._process = subprocess.Popen(
            [*_UNSHARE, *argv] if isolation == "namespace" else argv,
            pass_fds=[theirs.fileno()],
            env=environ,
            stdin=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C in a terminal is for the emulator alone
        )
        theirs.close()
        self._connection = ours
        self._containers: dict[str, Container] = {}
        self._numbers = itertools.count(1)
        self._lock = threading.Lock()
        threading.Thread(target=self._listen, name="launcher", daemon=True).start()

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    def start(self, environment: Environment, command: Command) -> Container:
        name = str(next(self._numbers))
        container = self._containers[name] = Container(self, name)
        hostname = next(iter(command.hosts))
        self.send(
            {
                "id": name,
                "argv": list(command.argv),
                "env": self._variables(environment, command),
                "cwd": "/app" if self._isolation == "namespace" else str(command.folder / "app"),
                "log": str(command.log),
                "binds": self._binds(command),
                "layer": self._layer(environment, command),
                "hostname": hostname,
            }
        )
        return container

    def send(self, order: Mapping[str, object]) -> None:
        try:
            with self._lock:
                self._connection.sendall(json.dumps(order).encode() + b"\n")
        except OSError as error:
            raise JobError("InternalServerError: the machine of this job is gone") from error

    def stop(self) -> None:
        self._connection.shutdown(socket.SHUT_RDWR)
        try:
            self._process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._connection.close()

    def _listen(self) -> None:
        with self._connection.makefile("r") as answers:
            try:
                for line in answers:
                    answer = json.loads(line)
                    self._containers.pop(answer["id"]).end(answer["exit"])
            except OSError:
                pass  # the connection was closed under it
        for container in list(self._containers.values()):
            container.end(137)

    def _variables(self, environment: Environment, command: Command) -> dict[str, str]:
        variables = {
            "PATH": f"{environment.folder / 'bin'}:/usr/local/bin:/usr/bin:/bin",
            "HOME": str(command.folder),
            "LANG": "C.UTF-8",
            "PYTHONUNBUFFERED": "1",
            **environment.variables,
            **command.variables,
        }
        if self._isolation == "shim":
            shim = str(INSIDE / "shim")
            variables["PYTHONPATH"] = os.pathsep.join(
                filter(None, [shim, variables.get("PYTHONPATH")])
            )
            variables["SAGEMAKER_BASE_DIR"] = str(command.folder / "ml")
            variables["SAGEMAKER_EMULATOR_PATHS"] = json.dumps(
                {"/opt/ml": str(command.folder / "ml"), "/app": str(command.folder / "app")}
            )
            variables["SAGEMAKER_EMULATOR_HOSTS"] = json.dumps(dict(command.hosts))
        return variables

    def _layer(self, environment: Environment, command: Command) -> tuple[str, str] | None:
        """Return what a container may change as if it were its own, and where the changes go."""
        if self._isolation == "shim" or not environment.layered:
            return None
        return str(environment.folder), str(command.folder / "layer")

    def _binds(self, command: Command) -> list[tuple[str, str]]:
        if self._isolation == "shim":
            return []
        hosts = command.folder / "hosts"
        lines = [f"{address} {name}" for name, address in command.hosts.items()]
        hosts.write_text("\n".join(["127.0.0.1 localhost", *lines, ""]))
        folders = [(str(command.folder / Path(target).name), target) for target in _TARGETS]
        return [*folders, (str(hosts), "/etc/hosts")]
