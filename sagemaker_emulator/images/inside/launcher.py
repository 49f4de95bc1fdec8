"""Starts the containers of one environment, and ends them all when the emulator ends.

Runs in the environment's own Python with the standard library alone. The emulator writes one JSON
object a line to file descriptor FD, and reads what became of it:

    {"id", "argv", "env", "cwd", "log", "binds": [[from, to]], "layer": [folder, changes],
     "hostname"} -> {"id", "exit"}
    {"id", "signal"}

With modules to preload, a command `python -m MODULE` or `python FILE` runs in a fork of this
process, which has imported them already: a start takes a tenth of the time.
"""

from __future__ import annotations

import atexit
import ctypes
import gc
import importlib
import json
import os
import re
import runpy
import select
import signal
import socket
import sys
import threading
import traceback
from collections.abc import Callable
from contextlib import suppress
from typing import Any, NamedTuple

_CLONE_NEWNS, _CLONE_NEWUTS = 0x00020000, 0x04000000
_MS_BIND, _MS_REC, _MS_PRIVATE = 0x1000, 0x4000, 0x40000

_SHIM = os.path.join(os.path.dirname(os.path.abspath(__file__)), "shim", "sitecustomize.py")

Order = dict[str, Any]


class Script(NamedTuple):
    """A program in Python, and what runs it."""

    run: Callable[..., Any]
    name: str
    argv: list[str]


class Launcher:
    """Forks a process for each container, and reports how it ended."""

    def __init__(self, connection: socket.socket, preload: list[str]) -> None:
        self._connection = connection
        self._preloaded = bool(preload)
        self._containers: dict[int, str] = {}  # by process id
        for name in preload:
            importlib.import_module(name)
        gc.collect()
        gc.freeze()  # so that a fork shares these pages for longer

    def serve(self) -> None:
        """Work until the emulator closes the connection, however it ended."""
        woken, wake = os.pipe()
        os.set_blocking(wake, False)
        os.set_blocking(woken, False)
        signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        unread = b""
        while True:
            ready, _, _ = select.select([self._connection.fileno(), woken], [], [])
            if woken in ready:
                os.read(woken, 65536)
                self._reap()
            if self._connection.fileno() in ready:
                received = self._connection.recv(1 << 20)
                if not received:
                    break
                *lines, unread = (unread + received).split(b"\n")
                for line in lines:
                    self._obey(json.loads(line))
        for pid in self._containers:
            _kill(pid, signal.SIGKILL)

    def _obey(self, order: Order) -> None:
        if "signal" in order:
            for pid, name in self._containers.items():
                if name == order["id"]:
                    _kill(pid, order["signal"])
            return
        pid = os.fork()
        if pid == 0:
            self._connection.close()  # the emulator's own; all else may belong to what is preloaded
            _become(order, preloaded=self._preloaded)
        with suppress(PermissionError, ProcessLookupError):  # it has done so, and gone on
            os.setpgid(pid, pid)
        self._containers[pid] = order["id"]

    def _reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            name = self._containers.pop(pid, None)
            if name is not None:
                _kill(pid, signal.SIGKILL)  # what the container's first process left running
                code = os.waitstatus_to_exitcode(status)
                answer = json.dumps({"id": name, "exit": code if code >= 0 else 128 - code})
                self._connection.sendall(answer.encode() + b"\n")


def _kill(group: int, number: int) -> None:
    with suppress(ProcessLookupError, PermissionError):  # macOS: a group of zombies
        os.killpg(group, number)


def _become(order: Order, *, preloaded: bool) -> None:
    """Turn this fork into the container's first process; never returns."""
    code = 1
    try:
        _prepare(order)
        script = _script(order["argv"]) if preloaded else None
        code = _execute(order) if script is None else _run(script, order["env"])
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _prepare(order: Order) -> None:
    os.setpgid(0, 0)  # its parent does so too: a signal may come before this line
    signal.set_wakeup_fd(-1)
    for number in (signal.SIGCHLD, signal.SIGINT):
        signal.signal(number, signal.SIG_DFL)
    log = os.open(order["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for source, target in ((nothing, 0), (log, 1), (log, 2)):
        os.dup2(source, target)
    if order["binds"]:
        _mount(order["binds"], order["layer"], order["hostname"])
    os.chdir(order["cwd"])


def _mount(binds: list[tuple[str, str]], layer: tuple[str, str] | None, hostname: str) -> None:
    """Give this process its own view of the file system, as a container has.

    Args:
        binds: What is seen where.
        layer: A folder that may be changed, and where the changes go; they end with the job.
        hostname: The name of the machine.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    _check(libc.unshare(_CLONE_NEWNS | _CLONE_NEWUTS), "unshare")
    _check(libc.mount(b"none", b"/", None, _MS_REC | _MS_PRIVATE, None), "mount /")
    if layer and not _mount_layer(libc, *layer):
        print(f"what this job changes in {layer[0]} stays there: the file system has no overlays")
    for source, target in binds:
        _check(libc.mount(source.encode(), target.encode(), None, _MS_BIND, None), target)
    _check(libc.sethostname(hostname.encode(), len(hostname)), "sethostname")


def _mount_layer(libc: ctypes.CDLL, target: str, changes: str) -> bool:
    upper, work = (os.path.join(changes, name) for name in ("upper", "work"))
    for folder in (upper, work):
        os.makedirs(folder)
    folders = {"lowerdir": target, "upperdir": upper, "workdir": work}
    options = ",".join(f"{name}={_escaped(path)}" for name, path in folders.items())
    return not libc.mount(b"overlay", target.encode(), b"overlay", 0, options.encode())


def _escaped(path: str) -> str:
    return re.sub(r"([:,\\])", r"\\\1", path)


def _check(result: int, what: str) -> None:
    if result:
        number = ctypes.get_errno()
        raise OSError(number, f"{os.strerror(number)}: {what}")


def _execute(order: Order) -> int:
    """Become another program; returns what a shell would if there is no such program."""
    try:
        os.execvpe(order["argv"][0], order["argv"], order["env"])  # noqa: S606
    except FileNotFoundError as error:
        print(error, file=sys.stderr)
        return 127


def _script(argv: list[str]) -> Script | None:
    """Return what of a command Python can run without a new interpreter."""
    if os.path.basename(argv[0]) in ("python", "python3") and len(argv) > 1:
        if argv[1] == "-m" and len(argv) > 2:
            return Script(runpy.run_module, argv[2], argv[2:])
        if not argv[1].startswith("-"):
            return Script(runpy.run_path, argv[1], argv[1:])
    return None


def _run(script: Script, env: dict[str, str]) -> int:
    how, name, argv = script
    os.environ.clear()
    os.environ.update(env)
    first = os.getcwd() if how is runpy.run_module else os.path.dirname(os.path.abspath(name))
    sys.path[:] = [first, *env.get("PYTHONPATH", "").split(os.pathsep), *sys.path[1:]]
    sys.argv = list(argv)
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    if "SAGEMAKER_EMULATOR_PATHS" in env:  # without namespaces: what a new interpreter imports
        runpy.run_path(_SHIM)
    options = {"alter_sys": True} if how is runpy.run_module else {}
    try:
        how(name, run_name="__main__", **options)
    except SystemExit as end:
        if isinstance(end.code, str):
            print(end.code, file=sys.stderr)
            return 1
        return int(end.code or 0) & 255
    finally:
        _finish()
    return 0


def _finish() -> None:
    """Do what an interpreter does at its end, which `os._exit` leaves out."""
    threading._shutdown()  # type: ignore[attr-defined]  # waits for threads; has no public name
    atexit._run_exitfuncs()


if __name__ == "__main__":
    Launcher(socket.socket(fileno=int(sys.argv[1])), sys.argv[2:]).serve()
