"""A container's own paths and host names, where the system gives no namespaces.

Python imports this module at its start. Programs in other languages are not redirected.
"""

import builtins
import functools
import io
import json
import os
import socket
from typing import Any

_PATHS = json.loads(os.environ.get("SAGEMAKER_EMULATOR_PATHS", "{}"))
_HOSTS = json.loads(os.environ.get("SAGEMAKER_EMULATOR_HOSTS", "{}"))


def _moved(path: Any) -> Any:
    text = os.fspath(path) if isinstance(path, os.PathLike) else path
    if isinstance(text, str):
        for source, target in _PATHS.items():
            if text == source or text.startswith(source + "/"):
                return target + text[len(source) :]
    return path


def _redirect(module: Any, name: str) -> None:
    original = getattr(module, name)

    @functools.wraps(original)
    def redirected(*args: Any, **kwargs: Any) -> Any:
        return original(*map(_moved, args), **kwargs)

    setattr(module, name, redirected)


if _PATHS:
    _redirect(builtins, "open")
    _redirect(io, "open")
    for _name in (
        *("access", "chdir", "chmod", "listdir", "lstat", "mkdir", "open", "remove", "rename"),
        *("replace", "rmdir", "scandir", "stat", "symlink", "unlink", "utime"),
    ):
        _redirect(os, _name)

if _HOSTS:
    _getaddrinfo, _gethostbyname = socket.getaddrinfo, socket.gethostbyname
    socket.getaddrinfo = lambda host, *args, **kwargs: _getaddrinfo(
        _HOSTS.get(host, host), *args, **kwargs
    )
    socket.gethostbyname = lambda host: _gethostbyname(_HOSTS.get(host, host))
    socket.gethostname = lambda: next(iter(_HOSTS))
