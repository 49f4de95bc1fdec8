"""What users read when ZenML fails."""

import pytest
import requests
from sqlalchemy.exc import IntegrityError, OperationalError
from zenml.exceptions import IllegalOperationError

from bank_marketing.errors import PlatformError
from platforms.base import OutageError
from registry.zenml_errors import zenml_errors


@pytest.mark.parametrize(
    "error",
    [
        requests.ConnectionError("refused"),
        RuntimeError("502"),
        OperationalError("UPDATE model", {}, Exception("database is locked")),
    ],
)
def test_what_may_pass_is_an_outage(error):
    with (
        pytest.raises(OutageError, match="stages: ZenML does not answer: "),
        zenml_errors("stages"),
    ):
        raise error


@pytest.mark.parametrize(
    "error",
    [
        KeyError("no such version"),
        IllegalOperationError("not allowed"),
        IntegrityError("INSERT INTO model", {}, Exception("already there")),
    ],
)
def test_what_will_not_pass_is_a_refusal(error):
    with (
        pytest.raises(PlatformError, match="stages: ZenML refused: ") as raised,
        zenml_errors("stages"),
    ):
        raise error

    assert not isinstance(raised.value, OutageError)


def test_a_statement_of_sql_is_left_out():
    error = OperationalError("UPDATE model", {}, Exception("database is locked"))

    with pytest.raises(OutageError) as raised, zenml_errors("stages"):
        raise error

    assert "database is locked" in str(raised.value)
    assert "UPDATE" not in str(raised.value)
