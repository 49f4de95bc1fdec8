"""Where the table comes from: what `--data` may say, and what the ingest step then loads."""

import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path
from urllib.parse import urlsplit

from bank_marketing.config import SyntheticSettings
from bank_marketing.dataset import (
    TABLE_FILE,
    DataSource,
    Table,
    extract_csv,
    read_table,
    synthetic_settings,
    synthetic_source,
)
from bank_marketing.errors import DataError
from bank_marketing.synthetic import make_table
from platforms import object_store
from platforms.object_store import LocalFile, Progress, UnreachableError, fetch, sha256_of, staged

UCI_URL = "https://archive.ics.uci.edu/static/public/222/bank+marketing.zip"
# Of the csv inside: UCI may pack the archive anew, but the table is finished.
UCI_SHA256 = "74adfc578bf77a7ff4bb1ba4a9f8709d9e3c6907342959c2c8416847e0afb4d8"

DATA_VARIABLE = "BANK_MARKETING_DATA"


def locate(
    choice: str,
    *,
    synthetic: SyntheticSettings,
    cache: Path,
    environ: Mapping[str, str],
    progress: Progress,
    warn: Callable[[str], None],
) -> DataSource:
    """Turn `--data auto|uci|synthetic|PATH|https://…|s3://…` into one immutable table.

    `auto` is the path or URI in `BANK_MARKETING_DATA`, else the table of UCI, from the cache or
    the network, else, only if there is no network, the synthetic table, with a warning. Any other
    choice that cannot be had is an error.

    Returns:
        The source; its `uri` is an absolute path, or a URI that can be read again. A URL with a
        query or a password, which may be secrets, gives the path of its copy in the cache. Its
        `origin` is "uci" for every file with the bytes of UCI's table.

    Raises:
        DataError: There is no such file, or UCI's is not the one we know.
        PlatformError: A server or the cache folder failed.
    """
    if choice == "synthetic":
        return synthetic_source(synthetic)
    if choice == "uci":
        return _uci(cache, progress)
    if choice != "auto":
        return _file(choice, cache, progress)
    if given := environ.get(DATA_VARIABLE):
        return _file_of_variable(given, cache, progress)
    try:
        return _uci(cache, progress)
    except UnreachableError as error:
        warn(
            f"{error}. This run uses a SYNTHETIC table of {synthetic.rows:,} rows: its results "
            "say nothing about real customers. Give the real one with --data PATH."
        )
        return synthetic_source(synthetic)


def publish(source: DataSource, prefix: str, tags: Mapping[str, str]) -> DataSource:
    """Return `source` where other machines can read it: a local file is copied below `s3://...`.

    The copy carries `tags`.

    Raises:
        DataError: The file is gone, or there is no such bucket.
        PlatformError: S3 refused, or cannot be reached.
    """
    if source.origin == "synthetic" or "://" in source.uri:
        return source
    file = LocalFile(Path(source.uri), source.sha256)
    return source.model_copy(update={"uri": object_store.publish(file, prefix, tags)})


def load(source: DataSource, cache: Path, progress: Progress) -> Table:
    """Read or generate the table that `locate` has found.

    Raises:
        DataError: The file is gone or has changed, or is not our table.
        PlatformError: A server or the cache folder failed.
    """
    if source.origin == "synthetic":
        settings = synthetic_settings(source)
        return Table(make_table(rows=settings.rows, seed=settings.seed), "synthetic")
    return read_table(fetch(source.uri, cache, sha256=source.sha256, progress=progress).path)


def _file(uri: str, cache: Path, progress: Progress) -> DataSource:
    file = fetch(uri, cache, progress=progress)
    return DataSource(
        origin="uci" if file.sha256 == UCI_SHA256 else "file",
        uri=uri if _is_public(uri) else str(file.path.resolve()),
        sha256=file.sha256,
    )


def _is_public(uri: str) -> bool:
    """Whether any machine can fetch `uri`, and whether everybody may see it."""
    parts = urlsplit(uri)
    if parts.scheme == "s3":
        return True
    return parts.scheme in {"https", "http"} and not parts.query and "@" not in parts.netloc


def _file_of_variable(uri: str, cache: Path, progress: Progress) -> DataSource:
    try:
        return _file(uri, cache, progress)
    except DataError as error:
        raise DataError(f"{DATA_VARIABLE}: {error}") from error


def _uci(cache: Path, progress: Progress) -> DataSource:
    table = cache / TABLE_FILE
    if not (table.is_file() and sha256_of(table) == UCI_SHA256):
        with staged(table) as partial:
            archive = fetch(UCI_URL, partial.parent, progress=progress)
            partial.write_bytes(_known_csv(archive.path.read_bytes()))
    return DataSource(origin="uci", uri=str(table.resolve()), sha256=UCI_SHA256)


def _known_csv(archive: bytes) -> bytes:
    try:
        content = extract_csv(archive)
    except DataError as error:
        raise DataError(f"{UCI_URL} {error}") from error
    found = hashlib.sha256(content).hexdigest()
    if found != UCI_SHA256:
        raise DataError(
            f"{UCI_URL} holds a table with the sha256 {found}, expected {UCI_SHA256}; "
            "give a copy of the known one with --data PATH"
        )
    return content
