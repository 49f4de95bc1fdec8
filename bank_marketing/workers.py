"""Processes that score hyperparameters, one fold at a time each."""

import signal
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from pathlib import Path

from xgboost.core import XGBoostError

from bank_marketing.config import ModelSettings
from bank_marketing.errors import PlatformError
from bank_marketing.folds import CrossValidation, FoldedRows, FoldScore, Metric

# A fork would copy the locks of threads that it does not copy; XGBoost and others have such.
_PROCESSES = get_context("spawn")


class Refusal(str):
    """Why XGBoost would not train, in its words."""

    __slots__ = ()


class Worker:
    """A process that trains with one thread."""

    def __init__(self) -> None:
        self.connection, theirs = _PROCESSES.Pipe()
        self._process = _PROCESSES.Process(target=_serve, args=(theirs,), daemon=True)
        with _this_code_first():
            self._process.start()
        theirs.close()  # so that the end of the process is the end of the connection

    def take(self, rows: FoldedRows, metric: Metric) -> None:
        """Have what is asked from now on scored on `rows`, as soon as the process has started."""
        # Not as an argument: `start` would wait for the import of XGBoost, one process at a time,
        # and for ever if the process ended without reading it.
        self._send((rows, metric))

    def ask(self, model: ModelSettings, fold: int) -> None:
        """Have `model` scored on `fold`."""
        self._send((model, fold))

    def answer(self) -> FoldScore | Refusal:
        """Wait for the answer to what was asked.

        Raises:
            PlatformError: The process has ended.
        """
        try:
            answer: FoldScore | Refusal = self.connection.recv()
        except (EOFError, OSError) as error:
            raise self._death() from error
        return answer

    def stop(self) -> None:
        self._process.terminate()
        self._process.join()
        self.connection.close()

    def _send(self, message: object) -> None:
        try:
            self.connection.send(message)
        except OSError as error:
            raise self._death() from error

    def _death(self) -> PlatformError:
        self._process.join()
        return PlatformError(
            f"a tuning process ended with exit code {self._process.exitcode}; -9 is most often a "
            "lack of memory: lower tuning.workers, and start again to continue the search"
        )


@contextmanager
def start_workers(count: int) -> Iterator[list[Worker]]:
    """Start `count` processes; they end with the block, or with this process.

    They take two seconds to import what they need, in which the caller can prepare the rows.
    """
    workers: list[Worker] = []
    try:
        for _ in range(count):
            workers.append(Worker())  # noqa: PERF401  # `finally` stops what started
        yield workers
    finally:
        for worker in workers:
            worker.stop()


def with_answers(workers: Iterable[Worker], timeout_s: float) -> list[Worker]:
    """Return those whose answer is there, after waiting for the first one."""
    by_connection = {worker.connection: worker for worker in workers}
    ready = wait(list(by_connection), timeout_s)
    return [worker for connection, worker in by_connection.items() if connection in ready]


@contextmanager
def _this_code_first() -> Iterator[None]:
    """Have a process that starts here import what this one did; it is given the path of this one.

    MLflow puts the code of every model that it loads first: a part of this package, by its name.
    """
    before = sys.path[:]
    sys.path.insert(0, str(Path(__file__).parent.parent))
    try:
        yield
    finally:
        sys.path[:] = before


def _serve(connection: Connection) -> None:
    # Ctrl-C reaches every process of a terminal; the one that asks decides what it means.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        validation = CrossValidation(*connection.recv())
        while True:
            model, fold = connection.recv()
            connection.send(_score(validation, model, fold))
    except (EOFError, OSError):
        return  # nobody asks any more


def _score(validation: CrossValidation, model: ModelSettings, fold: int) -> FoldScore | Refusal:
    try:
        return validation.score(model, fold)
    except XGBoostError as error:
        return Refusal(str(error).partition("\n")[0])
