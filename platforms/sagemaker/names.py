"""Names in an account that several people share: they begin with the project and the user."""

import hashlib
import json
import re
import unicodedata
from collections.abc import Mapping
from typing import Any

_DIGITS = 12  # of a hash: an account would need millions of jobs for two to be equal
_LONGEST_LABEL = 20


def label(text: str) -> str:
    """Return `text` as a part of a name that every service of AWS takes; "" if nothing is left.

    That is at most 20 of a to z, digits, and hyphens between them.
    """
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9]+", "-", plain).strip("-")[:_LONGEST_LABEL].rstrip("-")


def owner(tags: Mapping[str, str], *, longest: int) -> str:
    """Return the beginning of a name: the labels of project and user, both shortened to fit."""
    project, user = tags["project"], tags["user"]
    user = user[: max(longest // 2, longest - 1 - len(project))].rstrip("-")
    return f"{project[: longest - 1 - len(user)].rstrip('-')}-{user}"


def name_of(tags: Mapping[str, str], request: Mapping[str, Any], *, longest: int) -> str:
    """Name a job by its owner and all that is asked for; equal requests share a name."""
    text = json.dumps(request, sort_keys=True)
    digest = hashlib.sha256(text.encode()).hexdigest()[:_DIGITS]
    return f"{owner(tags, longest=longest - 1 - _DIGITS)}-{digest}"
