"""What ZenML's client raises, in our words."""

from collections.abc import Iterator
from contextlib import contextmanager

from requests import RequestException
from sqlalchemy.exc import OperationalError, SQLAlchemyError
from zenml.exceptions import ZenMLBaseException

from bank_marketing.errors import PlatformError
from platforms.base import OutageError


@contextmanager
def zenml_errors(what: str) -> Iterator[None]:
    """Translate what ZenML's client raises in the block; `what` says what is asked for.

    Raises:
        OutageError: The server does not answer, or the database is locked.
        PlatformError: It refuses, or there is no such thing.
    """
    try:
        yield
    except (RequestException, OperationalError, RuntimeError) as error:  # the last: of the server
        raise OutageError(f"{what}: ZenML does not answer: {_in_one_line(error)}") from error
    except (KeyError, SQLAlchemyError, ZenMLBaseException) as error:
        raise PlatformError(f"{what}: ZenML refused: {_in_one_line(error)}") from error


def _in_one_line(error: Exception) -> str:
    """Leave out what follows the first line: SQLAlchemy's statements."""
    reason, *_ = str(error).splitlines() or [""]
    return reason
