"""Where trials are kept: on disk after every step, so that a search outlives its process.

Any number of processes can work on one study, those of one machine through a file, those of many
through a database. Nothing tells a process that another one has died, so each shows that it lives,
and frees the trials of those that do not.
"""

import fcntl
import os
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, NamedTuple
from uuid import uuid4

import optuna
from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock
from optuna.trial import FrozenTrial, TrialState

from bank_marketing.errors import PlatformError

# What trials carry beside Optuna's own.
FOLD_VALUES = "fold_values"
FOLD_TREES = "fold_trees"
ERROR = "error"  # why a trial failed; one that failed without it was given back
_OWNER = "owner"
_COPY = "copy"  # an earlier trial made this one superfluous

_KEPT = (TrialState.RUNNING, TrialState.COMPLETE, TrialState.PRUNED)

_SIGN_OF_LIFE_S = 1.0
_PATIENCE_S = 5.0  # more than a busy machine holds a process up, less than people mind

_ATTEMPTS = 5
# The packages of the drivers that SQLAlchemy takes where the URL names none; none of them is ours.
_DRIVERS = {"psycopg2": "psycopg2-binary", "MySQLdb": "mysqlclient"}

_TORN_LINE_BYTES = 2**20


@contextmanager
def open_study(
    name: str, *, maximize: bool, storage: str | None, folder: Path
) -> Iterator[optuna.Study]:
    """Open the study `name`, or begin it: in the database `storage`, else in a file of `folder`.

    Raises:
        PlatformError: The database cannot be used, now or within the block.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)  # it reports every trial otherwise
    if storage is None:
        folder.mkdir(parents=True, exist_ok=True)
        yield _open(name, maximize, _journal(folder / f"{name}.journal"))
        return

    from sqlalchemy.exc import SQLAlchemyError

    try:
        with _database(storage) as database:
            yield _open(name, maximize, database)
    except ImportError as error:
        raise PlatformError(_missing_driver(storage, error)) from error
    except (SQLAlchemyError, optuna.exceptions.StorageInternalError) as error:
        reason = " ".join(str(error.__cause__ or error).split())
        raise PlatformError(f"the database of tuning.storage cannot be used: {reason}") from error


def _open(name: str, maximize: bool, storage: BaseStorage) -> optuna.Study:
    return optuna.create_study(
        study_name=name,
        storage=storage,
        direction="maximize" if maximize else "minimize",
        load_if_exists=True,
    )


@contextmanager
def _database(url: str) -> Iterator[RDBStorage]:
    """Open a database, and close its connections in the end."""
    storage = _connected(url)
    try:
        yield storage
    finally:
        storage.remove_session()
        storage.engine.dispose()


def _connected(url: str) -> RDBStorage:
    """Connect; of those who find a database empty at the same moment, one makes the tables."""
    from sqlalchemy.exc import IntegrityError, ProgrammingError

    for _ in range(_ATTEMPTS):
        try:
            return RDBStorage(url)
        except (IntegrityError, ProgrammingError):  # they are there now, or will be in a moment
            time.sleep(_SIGN_OF_LIFE_S)
    return RDBStorage(url)


def _missing_driver(url: str, error: ImportError) -> str:
    kind = url.partition(":")[0]
    module = getattr(error.__cause__ or error, "name", None)
    package = _DRIVERS.get(module or "", module)
    return (
        f"tuning.storage names a {kind} database, whose driver {module} is not installed; "
        f"install it: .venv/bin/uv pip install --python .venv/bin/python {package}"
    )


def _journal(path: Path) -> JournalStorage:
    return JournalStorage(JournalFileBackend(str(path), lock_obj=_JournalLock(path)))


class _JournalLock(JournalFileOpenLock):
    """A lock that the system releases when its holder dies, unlike Optuna's own.

    Who holds it finds whole lines only: a line without an end is one whose writer was killed.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(str(path))
        self._path = path

    def acquire(self) -> bool:
        self._file = self._path.open("r+b")
        fcntl.flock(self._file, fcntl.LOCK_EX)
        _cut_torn_line(self._file)
        return True

    def release(self) -> None:
        self._file.close()


def _cut_torn_line(file: BinaryIO) -> None:
    size = file.seek(0, os.SEEK_END)
    start = file.seek(max(0, size - _TORN_LINE_BYTES))
    end = start + file.read().rfind(b"\n") + 1
    if end < size:
        file.truncate(end)


class _Sign(NamedTuple):
    """A sign of life, and when it was first seen here; clocks of machines differ."""

    number: int
    seen_s: float


class Ownership:
    """Which process works on which trial, and which of them still live."""

    def __init__(self, study: optuna.Study, patience_s: float = _PATIENCE_S) -> None:
        self._study = study
        self._patience_s = patience_s
        self._me = f"owner-{uuid4().hex[:12]}"
        self._mine = _Sign(0, -_SIGN_OF_LIFE_S)
        self._signs: dict[str, _Sign] = {}

    def claim(self, trial: optuna.Trial) -> None:
        trial.set_user_attr(_OWNER, self._me)

    def show_life(self) -> None:
        """To be called more often than once in `patience_s`."""
        now = time.monotonic()
        if now - self._mine.seen_s >= _SIGN_OF_LIFE_S:
            self._mine = _Sign(self._mine.number + 1, now)
            self._study.set_user_attr(self._me, self._mine.number)

    def free_stalled(self) -> None:
        """Give back the trials of every process that has not moved for `patience_s`."""
        running = self._study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
        owners = {_owner(trial) for trial in running} - {self._me}
        stalled = {owner for owner in owners if self._has_stalled(owner)}
        for trial in running:
            if _owner(trial) in stalled:
                give_back(self._study, trial.number)

    def _has_stalled(self, owner: str) -> bool:
        number = self._study.user_attrs.get(owner, 0)
        last = self._signs.get(owner)
        if last is None or last.number != number:
            last = self._signs[owner] = _Sign(number, time.monotonic())
        return time.monotonic() - last.seen_s > self._patience_s


def _owner(trial: FrozenTrial) -> str:
    """Name the process that works on `trial`, or the trial itself until somebody claims it."""
    owner: str = trial.user_attrs.get(_OWNER, f"owner-of-{trial.number}")
    return owner


class Standing(NamedTuple):
    """How far a study is at one moment.

    `finished` came to an end by themselves, in the order they began; `running` have not yet ended.
    `copies` were dropped because another process had begun the same.
    """

    finished: tuple[FrozenTrial, ...]
    running: tuple[FrozenTrial, ...]
    copies: int


def standing(study: optuna.Study) -> Standing:
    """Read a study once: a trial that ends while two readings are made is in both, or in none."""
    trials = study.get_trials(deepcopy=False)
    return Standing(
        finished=tuple(
            trial
            for trial in trials
            if trial.state in (TrialState.COMPLETE, TrialState.PRUNED)
            or (trial.state == TrialState.FAIL and ERROR in trial.user_attrs)
        ),
        running=tuple(
            trial
            for trial in trials
            if trial.state == TrialState.RUNNING and _COPY not in trial.user_attrs
        ),
        copies=sum(_COPY in trial.user_attrs for trial in trials),
    )


def is_copy(study: optuna.Study, number: int, *, known: Collection[int]) -> bool:
    """Return whether an earlier trial makes this one, just begun, superfluous.

    Processes that open a new study at the same moment plan the same trials, and those that ask at
    the same moment are told the same. The one whose trial came second finds out here; where the
    first has not yet written all of its parameters, it takes what is there for a copy as well.

    Args:
        study: Where trials are kept.
        number: Of the trial that was begun.
        known: The numbers of those that could be seen before it was.
    """
    *earlier, trial = study.get_trials(deepcopy=False)[: number + 1]
    planned = trial.system_attrs.get("fixed_params")
    alive = [other for other in earlier if other.state in _KEPT]
    if planned:
        return any(
            planned in (other.params, other.system_attrs.get("fixed_params")) for other in alive
        )
    return any(
        other.number not in known and other.params.items() <= trial.params.items()
        for other in alive
    )


def drop_copy(study: optuna.Study, trial: optuna.Trial) -> None:
    """End a trial of which `is_copy` is true; it counts for nothing but `Standing.copies`."""
    trial.set_user_attr(_COPY, value=True)
    finish(study, trial.number, TrialState.FAIL)


def give_back(study: optuna.Study, number: int) -> None:
    """Have a trial that was begun tried anew, by whoever comes next."""
    trial = study.get_trials(deepcopy=False)[number]
    # A process that was killed while it began the trial has not read all that was planned.
    planned = trial.system_attrs.get("fixed_params", {})
    if finish(study, number, TrialState.FAIL):
        study.enqueue_trial(planned | trial.params)


def finish(study: optuna.Study, number: int, state: TrialState, value: float | None = None) -> bool:
    """End a trial, and return whether nobody had ended it before."""
    try:
        study.tell(number, value, state)
    except (ValueError, optuna.exceptions.UpdateFinishedTrialError):  # the first: seen earlier
        return False
    return True
