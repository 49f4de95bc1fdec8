"""Bring a file from a path, a web server or S3 to this machine, whole and verified."""

import hashlib
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import unquote, urlencode, urljoin, urlsplit

import requests

from bank_marketing.errors import DataError, PlatformError

# Called with the bytes received so far, and with how many there will be if that is known.
Progress = Callable[[int, int | None], None]

# The pieces of a download, each with the size of the whole if the server told it.
_Chunks = Generator[tuple[bytes, int | None], None, None]

_CHUNK_BYTES = 2**18


class UnreachableError(PlatformError):
    """A web server never answered: there is no network, no such name, no route or no listener."""


@dataclass(frozen=True)
class LocalFile:
    """A file on this machine and the SHA-256 of its bytes."""

    path: Path
    sha256: str


@dataclass(frozen=True)
class Limits:
    """How long to wait for a server, in seconds, and how much to take from it."""

    connect: float
    read: float
    max_bytes: int


DEFAULT_LIMITS = Limits(connect=5, read=30, max_bytes=8 * 2**30)


def fetch(
    uri: str,
    cache: Path,
    *,
    sha256: str | None = None,
    progress: Progress,
    limits: Limits = DEFAULT_LIMITS,
) -> LocalFile:
    """Return the local file behind `uri`: a path, `file://`, `https://` or `s3://`.

    `http://` is for this machine only. A download appears in `cache`, under a name made from
    `uri`, when it is complete and verified. A cached copy is used while it has the checksum
    `sha256`; without one the server is asked again, because what a URI serves may change.
    Proxies and certificates come from the environment.

    Raises:
        DataError: There is no such file, it is too large, or it has another checksum.
        UnreachableError: A web server never answered.
        PlatformError: The server refused or broke off, or the cache cannot be written.
    """
    if "://" not in uri or uri.startswith("file://"):
        path = _local_path(uri)
        file = LocalFile(path, sha256_of(path))
        _require_checksum(str(path), file.sha256, sha256)
        return file

    cached = cache / _cache_name(uri)
    if sha256 and cached.is_file() and sha256_of(cached) == sha256:
        return LocalFile(cached, sha256)
    with staged(cached) as partial:
        received = _receive(uri, partial, progress, limits)
        _require_checksum(_public(uri), received, sha256)
    return LocalFile(cached, received)


def publish(
    file: LocalFile, prefix: str, tags: Mapping[str, str], *, limits: Limits = DEFAULT_LIMITS
) -> str:
    """Copy a file of this machine below the `s3://` prefix, once, and return the copy's URI.

    The copy carries `tags`. Its name tells the content: what is there already is not sent again.

    Raises:
        DataError: There is no such bucket.
        PlatformError: S3 refused, or cannot be reached.
    """
    uri = f"{prefix}/{file.sha256[:32]}-{file.path.name[-64:]}"
    bucket, key = bucket_and_key(uri)
    with _s3_errors(uri):
        s3 = _s3(limits)
        if not _has_copy(s3, bucket, key, file.path.stat().st_size):
            tagging = {"Tagging": urlencode(tags)} if tags else None
            s3.upload_file(str(file.path), bucket, key, tagging)
    return uri


@contextmanager
def staged(target: Path) -> Iterator[Path]:
    """Yield a path to write to, in a folder that goes away; it becomes `target` in one move.

    If the block raises, `target` stays as it was and nothing is left beside it.

    Raises:
        PlatformError: The folder of `target` cannot be written.
    """
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(dir=target.parent, prefix=".download-") as folder:
            partial = Path(folder) / target.name
            yield partial
            partial.replace(target)
    except OSError as error:
        raise PlatformError(f"{target} cannot be written: {error.strerror or error}") from error


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file's bytes, in hexadecimal.

    Raises:
        DataError: The file cannot be read.
    """
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from error


def bucket_and_key(uri: str) -> tuple[str, str]:
    """Split an `s3://` URI."""
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    return bucket, key


def _local_path(uri: str) -> Path:
    if "://" not in uri:
        return Path(uri).expanduser().resolve()
    parts = urlsplit(uri)
    if parts.netloc not in {"", "localhost"}:
        raise DataError(f"{uri} is on another machine, {parts.netloc!r}; expected file:///path")
    return Path(unquote(parts.path)).resolve()


def _cache_name(uri: str) -> str:
    name = PurePosixPath(urlsplit(uri).path).name
    return f"{hashlib.sha256(uri.encode()).hexdigest()[:16]}-{name[-64:]}"


def _require_checksum(name: str, found: str, expected: str | None) -> None:
    if expected and found != expected:
        raise DataError(
            f"{name} has the sha256 {found}, expected {expected}: "
            "it is damaged, or it has changed since it was chosen"
        )


def _receive(uri: str, target: Path, progress: Progress, limits: Limits) -> str:
    digest = hashlib.sha256()
    done = 0
    with closing(_open(uri, limits)) as chunks, target.open("wb") as file:
        for chunk, total in chunks:
            done += len(chunk)
            if max(done, total or 0) > limits.max_bytes:
                raise DataError(f"{_public(uri)} is larger than {limits.max_bytes:,} bytes")
            file.write(chunk)
            digest.update(chunk)
            progress(done, total)
    return digest.hexdigest()


def _open(uri: str, limits: Limits) -> _Chunks:
    scheme = urlsplit(uri).scheme
    if scheme == "s3":
        return _s3_chunks(uri, limits)
    if scheme in {"https", "http"}:
        return _http_chunks(uri, limits)
    raise DataError(f"{uri!r} cannot be fetched; expected a path, file://, https:// or s3://")


def _http_chunks(url: str, limits: Limits) -> _Chunks:
    if not _secure(url):
        raise DataError(f"{_public(url)} is not encrypted; use https://")
    with _answer(url, limits) as response:
        if response.status_code in {404, 410}:
            raise DataError(f"{_public(url)} does not exist (HTTP {response.status_code})")
        if response.status_code != 200:
            raise PlatformError(f"{_public(url)} answered HTTP {response.status_code}, not 200")
        length = response.headers.get("Content-Length", "")
        total = int(length) if length.isdigit() else None
        try:
            for chunk in response.iter_content(_CHUNK_BYTES):
                yield chunk, total
        except requests.RequestException as error:
            raise PlatformError(
                f"{_public(url)} broke off before its end ({type(error).__name__}); try again"
            ) from error


def _answer(url: str, limits: Limits) -> requests.Response:
    """Send the request; the messages of `requests` would show a signed URL with its secret."""
    try:
        return requests.get(
            url,
            stream=True,
            timeout=(limits.connect, limits.read),
            headers={"Accept-Encoding": "identity"},  # else the size told is not the size received
            hooks={"response": _refuse_downgrade},
        )
    except requests.exceptions.SSLError as error:
        raise PlatformError(
            f"{_public(url)} offers no connection that this machine trusts; "
            "behind a proxy that decrypts, set REQUESTS_CA_BUNDLE to its certificate"
        ) from error
    except requests.ConnectionError as error:
        raise UnreachableError(
            f"{_public(url)} cannot be reached ({type(error).__name__}); "
            "check the network and HTTPS_PROXY"
        ) from error
    except requests.Timeout as error:
        raise PlatformError(
            f"{_public(url)} accepted the connection and did not answer in {limits.read:g} s"
        ) from error
    except OSError as error:  # any other error of `requests`, or a bad REQUESTS_CA_BUNDLE
        raise PlatformError(f"{_public(url)} cannot be requested: {error}") from error


def _refuse_downgrade(response: requests.Response, **_: Any) -> None:
    if not response.is_redirect:
        return
    target = urljoin(response.url, response.headers["Location"])
    encrypted = urlsplit(response.url).scheme == "https"
    if not _secure(target) or (encrypted and urlsplit(target).scheme != "https"):
        raise PlatformError(
            f"{_public(response.url)} redirects to {_public(target)}, which is not encrypted"
        )


def _secure(url: str) -> bool:
    """Whether nobody on the way can read or change what `url` serves."""
    parts = urlsplit(url)
    return parts.scheme == "https" or (parts.scheme == "http" and _is_loopback(parts.hostname))


def _is_loopback(host: str | None) -> bool:
    try:
        return host == "localhost" or ip_address(host or "").is_loopback
    except ValueError:
        return False


def _s3_chunks(uri: str, limits: Limits) -> _Chunks:
    bucket, key = bucket_and_key(uri)
    with _s3_errors(uri):
        answer = _s3(limits).get_object(Bucket=bucket, Key=key)
        for chunk in answer["Body"].iter_chunks(_CHUNK_BYTES):
            yield chunk, answer["ContentLength"]


def _has_copy(s3: Any, bucket: str, key: str, size: int) -> bool:
    found = s3.list_objects_v2(Bucket=bucket, Prefix=key).get("Contents", [])
    return any(each["Key"] == key and each["Size"] == size for each in found)


def _s3(limits: Limits) -> Any:
    import boto3  # half a second to import, for this one scheme
    from botocore.config import Config

    return boto3.client(
        "s3",
        config=Config(
            connect_timeout=limits.connect,
            read_timeout=limits.read,
            retries={"total_max_attempts": 2, "mode": "standard"},
        ),
    )


@contextmanager
def _s3_errors(uri: str) -> Iterator[None]:
    from boto3.exceptions import S3UploadFailedError
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        yield
    except ClientError as error:
        details = error.response["Error"]
        if details["Code"] in {"NoSuchKey", "NoSuchBucket"}:
            raise DataError(f"{uri} does not exist ({details['Code']})") from error
        raise PlatformError(
            f"S3 refused {error.operation_name} on {uri}: {details['Code']}: {details['Message']}"
        ) from error
    except (BotoCoreError, S3UploadFailedError) as error:
        raise PlatformError(f"S3 failed on {uri}: {error}") from error


def _public(uri: str) -> str:
    """Return `uri` without its password and query, which may be secrets."""
    parts = urlsplit(uri)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
