"""Files between S3 and a container, and what it writes into CloudWatch."""

import math
import re
import tarfile
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from boto3.exceptions import S3UploadFailedError
from botocore.exceptions import BotoCoreError, ClientError

from sagemaker_emulator.api.cloud import Cloud
from sagemaker_emulator.api.errors import JobError

_LINES_A_CALL = 1000
_POLL_S = 0.2


def split_uri(uri: str) -> tuple[str, str]:
    """Return bucket and key of `s3://bucket/key`."""
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    return bucket, key


def keys_under(cloud: Cloud, region: str, uri: str) -> list[str]:
    """Return the keys that begin with the prefix `uri`, in order; none if the bucket is missing."""
    bucket, prefix = split_uri(uri)
    s3 = cloud.client("s3", region)
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
    try:
        return [item["Key"] for page in pages for item in page.get("Contents", [])]
    except s3.exceptions.NoSuchBucket:
        return []


def nothing_under(uri: str, region: str, role: str) -> str:
    """Say that there is no object under `uri`, in Amazon's words."""
    return (
        f'No S3 objects found under S3 URL "{uri}" given in input data source. Please ensure that '
        f"the bucket exists in the selected region ({region}), that objects exist under that S3 "
        f'prefix, and that the role "{role}" has "s3:ListBucket" permissions on bucket '
        f'"{split_uri(uri)[0]}".'
    )


def download(
    cloud: Cloud, region: str, uri: str, folder: Path, *, keys: Sequence[str] | None = None
) -> None:
    """Write the objects under `uri`, or those of them in `keys`, into `folder`.

    Raises:
        JobError: There are none, or S3 refuses.
    """
    bucket, prefix = split_uri(uri)
    folder.mkdir(parents=True, exist_ok=True)
    try:
        found = keys_under(cloud, region, uri) if keys is None else keys
        if not found:
            raise JobError(f"ClientError: Data download failed: No S3 objects found under {uri}")
        for key in found:
            if key.endswith("/"):
                continue  # what the console shows as an empty folder
            path = inside(folder, below(key, prefix))
            path.parent.mkdir(parents=True, exist_ok=True)
            cloud.client("s3", region).download_file(bucket, key, str(path))
    except ClientError as error:
        raise JobError(f"ClientError: Data download failed: {error}") from error


def below(key: str, prefix: str) -> str:
    """Return how a key is called where its prefix is a folder."""
    return Path(key).name if key == prefix else key[len(prefix) :].lstrip("/")


def inside(folder: Path, relative: str | Path) -> Path:
    """Return a path below `folder`.

    Raises:
        JobError: It would lead out of it.
    """
    path = (folder / relative).resolve()
    if not path.is_relative_to(folder.resolve()):
        raise JobError(f"ClientError: {relative} leads out of its folder")
    return path


def upload(cloud: Cloud, region: str, source: Path, uri: str) -> None:
    """Write a file to `uri`, or the files of a folder below it.

    Raises:
        JobError: S3 refuses.
    """
    bucket, prefix = split_uri(uri)
    files = [source] if source.is_file() else [path for path in source.rglob("*") if path.is_file()]
    try:
        for path in files:
            below = "" if path == source else path.relative_to(source).as_posix()
            key = "/".join(filter(None, [prefix.rstrip("/"), below]))
            cloud.client("s3", region).upload_file(str(path), bucket, key)
    except (ClientError, S3UploadFailedError) as error:
        raise JobError(f"ClientError: Failed to upload to {uri}: {error}") from error


def packed(folders: Iterable[Path], archive: Path) -> Path | None:
    """Pack what is in `folders` as SageMaker packs what hosts left; None if that is nothing.

    Of files of one name the first is kept: SageMaker demands that there are no such.
    """
    found: dict[str, Path] = {}
    for folder in folders:
        found |= {path.name: path for path in folder.iterdir() if path.name not in found}
    if not found:
        return None
    with tarfile.open(archive, "w:gz") as tar:
        for name, path in sorted(found.items()):
            tar.add(path, arcname=name)
    return archive


def unpacked(archive: Path, folder: Path) -> None:
    """Unpack an archive, which may not write outside `folder`.

    Raises:
        JobError: It is not such an archive.
    """
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with tarfile.open(archive) as tar:
            tar.extractall(folder, filter="data")
    except (tarfile.TarError, OSError) as error:
        raise JobError(f"ClientError: {archive.name} cannot be unpacked: {error}") from error


def tail(log: Path, characters: int = 700) -> str:
    """Return the end of what a container wrote."""
    return log.read_text(errors="replace")[-characters:].strip() if log.exists() else ""


class LogStreams:
    """Copies what containers write into a log group of CloudWatch while they write it.

    Args:
        files: What is written, by the name of its log stream.
        heard: Called with each line.
    """

    def __init__(
        self,
        logs: Any,
        group: str,
        files: Mapping[str, Path],
        heard: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._logs = logs
        self._group = group
        self._heard = heard
        self._files = files
        self._read = dict.fromkeys(files, 0)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._copy, daemon=True)

    def __enter__(self) -> "LogStreams":
        with suppress(self._logs.exceptions.ResourceAlreadyExistsException):
            self._logs.create_log_group(logGroupName=self._group)
        for stream in self._files:
            self._logs.create_log_stream(logGroupName=self._group, logStreamName=stream)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _copy(self) -> None:
        while not self._ended.wait(_POLL_S):
            self._copy_new(whole_lines=True)
        self._copy_new(whole_lines=False)

    def _copy_new(self, *, whole_lines: bool) -> None:
        for stream, path in self._files.items():
            if not path.exists():
                continue
            with path.open("rb") as file:
                file.seek(self._read[stream])
                new = file.read()
            if whole_lines:
                new = new[: new.rfind(b"\n") + 1]
            self._read[stream] += len(new)
            self._send(stream, new.decode(errors="replace").splitlines())

    def _send(self, stream: str, lines: Iterable[str]) -> None:
        # Amazon writes a tab as its octal code, which the metrics of its algorithms rely on.
        written = [line.replace("\t", "#011") for line in lines if line.strip()]
        for line in written:
            self._heard(line)
        stamp = int(time.time() * 1000)
        for start in range(0, len(written), _LINES_A_CALL):
            events = [
                {"timestamp": stamp, "message": line}
                for line in written[start : start + _LINES_A_CALL]
            ]
            # Where CloudWatch is away lines are missing there; metrics are read all the same.
            with suppress(ClientError, BotoCoreError):
                self._logs.put_log_events(
                    logGroupName=self._group, logStreamName=stream, logEvents=events
                )


class Metrics:
    """Finds the figures that a training job writes, by the regular expressions of its request."""

    def __init__(self, definitions: Sequence[Mapping[str, str]]) -> None:
        self._patterns = {each["Name"]: re.compile(each["Regex"]) for each in definitions}
        self.values: dict[str, list[tuple[float, float]]] = {name: [] for name in self._patterns}

    def read(self, line: str) -> None:
        """Keep each figure of `line`, with the time at which it was seen."""
        for name, pattern in self._patterns.items():
            for found in pattern.finditer(line):
                try:
                    value = float(found.group(1))
                except (ValueError, IndexError):
                    continue  # what the expression found is no number
                if math.isfinite(value):  # CloudWatch takes no other
                    self.values[name].append((time.time(), value))
