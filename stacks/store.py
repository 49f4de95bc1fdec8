"""ZenML's store: where a process meets it first, and may meet another process or a ruin."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy.exc import SQLAlchemyError
from zenml.client import Client
from zenml.config.global_config import GlobalConfiguration
from zenml.exceptions import ZenMLBaseException
from zenml.utils.io_utils import get_global_config_directory
from zenml.zen_stores.base_zen_store import BaseZenStore

from bank_marketing.errors import PlatformError


def open_store() -> BaseZenStore:
    """Return the store behind ZenML's client; the first call of a process connects to it.

    Raises:
        PlatformError: The database or the server cannot be used.
    """
    try:
        return Client().zen_store
    except (SQLAlchemyError, OSError, RuntimeError, ZenMLBaseException) as error:
        raise PlatformError(
            f"ZenML's store cannot be opened: {' '.join(str(error).split())}; "
            "ZENML_CONFIG_PATH and ZENML_STORE_URL say where it is"
        ) from error


def store_url() -> str:
    """Return where ZenML keeps what it knows, without going there."""
    return GlobalConfiguration().store_configuration.url


@contextmanager
def locked() -> Iterator[None]:
    """Keep other processes out of the block: two that create ZenML's database at once break it.

    Raises:
        PlatformError: ZenML's folder, which holds the lock, cannot be written to.
    """
    file = Path(get_global_config_directory()) / "bank-marketing.lock"
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        lock = file.open("w")
    except OSError as error:
        raise PlatformError(
            f"ZENML_CONFIG_PATH {file.parent} cannot be used: {error.strerror}; name another folder"
        ) from error
    with lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # until the file is closed
        yield
