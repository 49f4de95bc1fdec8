"""What a signed HTTP request to AWS asks for: which service and operation, where, and by whom."""

import itertools
import json
import re
from collections.abc import Mapping
from functools import cache
from io import BytesIO
from typing import Any, NamedTuple
from urllib.parse import parse_qs, unquote

from botocore.exceptions import UnknownServiceError

from sagemaker_emulator.api import shapes

Environ = dict[str, Any]

_SCOPE = re.compile(r"Credential=([^/,]+)/\d+/([\w-]+)/([\w-]+)/aws4_request")
_RPC = re.compile(r"/service/\w+/operation/(\w+)")

_LARGEST_BYTES = 128 * 2**20

# Where the name in a signature is not that of botocore's description.
_MODELS = {"tagging": "resourcegroupstaggingapi", "monitoring": "cloudwatch"}


class Request(NamedTuple):
    """A request; `body` is left unread where the service streams."""

    service: str
    operation: str
    region: str
    key: str
    resource: str
    body: bytes


def parse(environ: Environ) -> Request | None:
    """Read who asks for what; none if the request is not signed."""
    signed = environ.get("HTTP_AUTHORIZATION", "") or unquote(environ.get("QUERY_STRING", ""))
    scope = _SCOPE.search(signed.replace("X-Amz-Credential=", "Credential="))
    if scope is None:
        return None
    key, region, service = scope.groups()
    body = b"" if service == "s3" else _body(environ)
    path = environ.get("PATH_INFO", "/")
    operation = _operation(environ, service, path, body)
    return Request(service, operation, region, key, _resource(path, body), body)


def is_from_a_client(environ: Environ) -> bool:
    """Return whether a program on this machine asks, not a page in a browser.

    A page of another site can send requests here, under its own host name even with an answer
    that it may read (DNS rebinding); a browser then names the site.
    """
    host = environ.get("HTTP_HOST", "").rpartition(":")[0]
    is_local = host in ("127.0.0.1", "localhost") or host.endswith(".localhost")
    return is_local and "HTTP_ORIGIN" not in environ and "HTTP_SEC_FETCH_SITE" not in environ


def _body(environ: Environ) -> bytes:
    """Read the body, and leave it there for whoever reads it next.

    Raises:
        ValueError: It is larger than any request to a service but S3.
    """
    if int(environ.get("CONTENT_LENGTH") or 0) > _LARGEST_BYTES:
        raise ValueError(f"a body of more than {_LARGEST_BYTES} bytes")
    if environ.get("wsgi.input_terminated"):
        body: bytes = environ["wsgi.input"].read()
    else:
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
    environ["wsgi.input"] = BytesIO(body)
    environ["CONTENT_LENGTH"] = str(len(body))
    environ.pop("HTTP_TRANSFER_ENCODING", None)
    return body


def _operation(environ: Environ, service: str, path: str, body: bytes) -> str:
    if target := environ.get("HTTP_X_AMZ_TARGET"):
        return str(target).rpartition(".")[2]
    if found := _RPC.fullmatch(path):
        return str(found.group(1))
    if "x-www-form-urlencoded" in environ.get("CONTENT_TYPE", ""):
        return str(parse_qs(body.decode()).get("Action", [""])[0])
    if service == "sagemaker" and path.endswith("/invocations"):
        return "InvokeEndpoint"
    query = parse_qs(environ.get("QUERY_STRING", ""), keep_blank_values=True)
    if "Action" in query:
        return str(query["Action"][0])
    copied = "HTTP_X_AMZ_COPY_SOURCE" in environ
    return _rest_operation(service, environ["REQUEST_METHOD"], path, query, copied=copied)


def _rest_operation(
    service: str, method: str, path: str, query: Mapping[str, list[str]], *, copied: bool
) -> str:
    """Name a REST operation by the template that fits best: the one with most of the query."""
    best, most = "", -1
    for name, pattern, literals in _templates(service, method):
        fits = pattern.fullmatch(path) and all(
            key in query and value in ("", query[key][0]) for key, value in literals.items()
        )
        if fits and len(literals) > most and name.startswith("Copy") == copied:
            best, most = name, len(literals)
    return best


@cache
def _templates(service: str, method: str) -> list[tuple[str, re.Pattern[str], dict[str, str]]]:
    try:
        model = shapes.service(_MODELS.get(service, service))
    except UnknownServiceError:
        return []
    templates = []
    for name in model.operation_names:
        http = model.operation_model(name).http
        if http["method"] == method:
            path, _, query = http["requestUri"].partition("?")
            literals = {key: values[0] for key, values in parse_qs(query, True).items()}
            templates.append((name, _pattern(path), literals))
    return templates


def _pattern(template: str) -> re.Pattern[str]:
    """Turn `/{Bucket}/{Key+}` into an expression; a plus sign takes slashes too."""
    parts = re.split(r"(\{\w+\+?\})", template)
    fields = [".+" if part.endswith("+}") else "[^/]+" for part in parts[1::2]]
    texts = [re.escape(part) for part in parts[::2]]
    return re.compile(
        "".join(itertools.chain(*itertools.zip_longest(texts, fields, fillvalue=""))) + "/?"
    )


def _resource(path: str, body: bytes) -> str:
    """Return what a call is about: its path, or the first name or ARN in its body."""
    if path != "/":
        return path
    try:
        request = json.loads(body)
    except ValueError:
        return ""
    return named(request)


def named(request: Mapping[str, Any]) -> str:
    """Return the first name or ARN in a request."""
    values = (value for key, value in request.items() if key.endswith(("Name", "Arn")))
    return str(next(values, ""))
