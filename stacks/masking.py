"""Keep the secrets of a stack off the screen, and out of logs."""

import re
from typing import Any

MASK = "***"

# As ZenML's flavors call them; a test holds this to the flavors that we use.
_SECRET = re.compile(
    r"(^|_)(credentials?|key|passw(or)?d|secret|token|username)(_|$)|client_id$", re.IGNORECASE
)
_REFERENCE = re.compile(r"\{\{.+\}\}")
_IN_URL = re.compile(r"(?<=://)[^/@\s]+(?=@)")


def masked(value: Any, name: str = "") -> Any:
    """Return what a configuration says under `name`, with a mask over each secret in it.

    A reference to a secret that ZenML keeps, like {{mlflow.token}}, is none itself.
    """
    if value is None or (isinstance(value, str) and _REFERENCE.fullmatch(value)):
        return value
    if _SECRET.search(name):
        return MASK
    if isinstance(value, dict):
        return {key: masked(each, key) for key, each in value.items()}
    if isinstance(value, list):
        return [masked(each) for each in value]
    return _IN_URL.sub(MASK, value) if isinstance(value, str) else value
