"""Several machines that train one model: who takes part, and XGBoost's own communication."""

import json
import logging
import socket
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext
from functools import partial
from typing import Any

from sagemaker_algorithm_toolkit.exceptions import UserError
from xgboost import collective
from xgboost.tracker import RabitTracker

_PORT = 9099
_PATIENCE_S = 15 * 60
_PAUSE_S = 0.1

# XGBoost 2.1 rewrote its tracker and renamed what it is told.
_NEW = hasattr(RabitTracker, "worker_args")


def wait_hostname_resolution(sm_hosts: Sequence[str]) -> None:
    """Wait until the names of all machines are known."""
    for host in sm_hosts:
        _patiently(partial(socket.gethostbyname, host))


def rabit_run(  # noqa: PLR0913  AWS's own signature, which scripts call by keyword
    exec_fun: Callable[..., object],
    args: Mapping[str, object],
    include_in_training: bool,
    hosts: Sequence[str],
    current_host: str,
    first_port: int | None = None,
    second_port: int | None = None,
    update_rabit_args: bool = False,
    **_: object,
) -> None:
    """Call `exec_fun` on every machine that has data, while XGBoost connects them.

    With `update_rabit_args` it also gets `is_master`, true on the one machine that should save
    the model.

    Raises:
        SystemExit: With code 0 on a machine that takes no part.
    """
    hosts, port = sorted(hosts), first_port or _PORT
    train_port, tracker = second_port or port + 1, None
    if current_host == hosts[0]:
        members, tracker = _gather(hosts, include_in_training, port, train_port)
    else:
        members = _report(hosts[0], current_host, include_in_training, port)
    if current_host in members:
        more = {"is_master": current_host == members[0]} if update_rabit_args else {}
        with _communication(hosts[0], train_port, members, current_host):
            exec_fun(**args, **more)
    if tracker is not None:
        tracker.wait_for() if _NEW else tracker.join()
    if current_host not in members:
        logging.warning("Host %s not being used for distributed training.", current_host)
        sys.exit(0)


def _gather(
    hosts: Sequence[str], takes_part: bool, port: int, train_port: int
) -> tuple[list[str], Any]:
    """Hear from all others whether they take part, start the tracker, tell them who does."""
    taking_part = {hosts[0]: takes_part}
    with ExitStack() as stack:
        server = socket.create_server((socket.gethostbyname(hosts[0]), port))
        stack.enter_context(server).settimeout(_PATIENCE_S)
        lines = []
        for _ in hosts[1:]:
            connection, _ = server.accept()
            line = stack.enter_context(stack.enter_context(connection).makefile("rw"))
            taking_part.update(json.loads(line.readline()))
            lines.append(line)
        members = [host for host in hosts if taking_part[host]]
        if not members:
            raise UserError("No hosts received training data.")
        tracker = _tracker(hosts[0], train_port, len(members)) if len(members) > 1 else None
        for line in lines:
            line.write(json.dumps(members) + "\n")
            line.flush()
    return members, tracker


def _report(first_host: str, current_host: str, takes_part: bool, port: int) -> list[str]:
    address = (socket.gethostbyname(first_host), port)
    with ExitStack() as stack:
        connection = stack.enter_context(_patiently(partial(socket.create_connection, address)))
        line = stack.enter_context(connection.makefile("rw"))
        line.write(json.dumps({current_host: takes_part}) + "\n")
        line.flush()
        return list(json.loads(line.readline()))


def _patiently(action: Callable[[], Any]) -> Any:
    end = time.monotonic() + _PATIENCE_S
    while True:
        try:
            return action()
        except OSError:
            if time.monotonic() > end:
                raise
            time.sleep(_PAUSE_S)


def _tracker(host: str, port: int, workers: int) -> Any:
    address = socket.gethostbyname(host)
    tracker: Any = _patiently(  # a port that was just in use is not free for a minute
        partial(RabitTracker, n_workers=workers, host_ip=address, port=port, sortby="task")
    )
    tracker.start() if _NEW else tracker.start(workers)
    return tracker


def _communication(
    host: str, port: int, members: Sequence[str], current_host: str
) -> AbstractContextManager[Any]:
    if len(members) == 1:
        return nullcontext()
    names = ("dmlc_tracker_uri", "dmlc_tracker_port", "dmlc_task_id")
    values = (socket.gethostbyname(host), port, f"{members.index(current_host):04}")
    told: dict[str, Any] = dict(zip(names if _NEW else map(str.upper, names), values, strict=True))
    return collective.CommunicatorContext(**told)
