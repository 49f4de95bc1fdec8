"""Clients of AWS, and its errors in our words."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, ConnectionError, HTTPClientError
from botocore.parsers import ResponseParserError

from bank_marketing.errors import PlatformError
from platforms.base import OutageError

# Throttling is normal where many jobs are polled; botocore waits and asks again.
_CONFIG = Config(
    connect_timeout=5, read_timeout=60, retries={"mode": "standard", "total_max_attempts": 6}
)


def client(service: str, region: str, config: Config = _CONFIG) -> Any:
    """Return a client of an AWS service; its address and credentials come from the environment."""
    return boto3.client(service, region_name=region, config=config)


_AMAZON = (".amazonaws.com", ".amazonaws.com.cn")
_THROTTLED = {"ThrottlingException", "Throttling", "TooManyRequestsException", "SlowDown"}
_UNAVAILABLE = {500, 502, 503, 504}


def is_amazons(client: Any) -> bool:
    """Say whether a client talks to Amazon, whose console then shows what the client sees."""
    host = urlsplit(client.meta.endpoint_url).hostname or ""
    return host.endswith(_AMAZON)


@contextmanager
def aws_errors(what: str) -> Iterator[None]:
    """Translate what botocore raises in the block; `what` says what was being done, to what.

    Raises:
        OutageError: AWS was away, or asked too often.
        PlatformError: AWS refused; its code and message are in the text.
    """
    try:
        yield
    except (ClientError, BotoCoreError, ResponseParserError) as error:
        raise _translated(what, error) from error
    except OSError as error:  # as which s3fs raises the refusals of S3
        if not isinstance(error.__cause__, ClientError):
            raise
        raise _translated(what, error.__cause__) from error.__cause__


def error_code(error: PlatformError) -> str | None:
    """Return the code of the refusal by AWS behind `error`, if there was one."""
    cause = error.__cause__
    return str(cause.response["Error"]["Code"]) if isinstance(cause, ClientError) else None


def _translated(what: str, error: Exception) -> PlatformError:
    if not isinstance(error, ClientError):
        will_pass = isinstance(error, (ConnectionError, HTTPClientError))
        return (OutageError if will_pass else PlatformError)(f"{what}: {error}")
    details = error.response["Error"]
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode")
    will_pass = details["Code"] in _THROTTLED or status in _UNAVAILABLE
    return (OutageError if will_pass else PlatformError)(
        f"{what}: AWS refused {error.operation_name}: {details['Code']}: {details['Message']}"
    )
