"""What travels between a step and its jobs: code, rows and models, as objects in S3."""

import gzip
import io
import tarfile
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO
from urllib.parse import urlencode

import numpy as np
from numpy.typing import NDArray

from bank_marketing.bundle import BOOSTER_FILE
from bank_marketing.errors import ModelError, PlatformError
from platforms.object_store import bucket_and_key
from platforms.sagemaker.session import aws_errors

SCRIPT = "train.py"
_JOBS = Path(__file__).parent.parent.parent / "sagemaker_jobs"

MAX_MODEL_BYTES = 2**30
_FILE_MODE = 0o644


def packed_code() -> bytes:
    """Return `sourcedir.tar.gz` with the script of a job."""
    return packed_files({SCRIPT: (_JOBS / SCRIPT).read_bytes()})


def packed_files(files: Mapping[str, bytes]) -> bytes:
    """Return files by name as a `.tar.gz`; equal files give equal bytes."""
    packed = io.BytesIO()
    with (
        gzip.GzipFile(fileobj=packed, mode="wb", filename="", mtime=0) as stream,
        tarfile.open(fileobj=stream, mode="w") as tar,
    ):
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(content), _FILE_MODE
            tar.addfile(entry, io.BytesIO(content))
    return packed.getvalue()


def packed_rows(**arrays: NDArray[Any]) -> bytes:
    """Return `rows.npz`, which holds every bit of the arrays; equal arrays give equal bytes."""
    packed = io.BytesIO()
    np.savez_compressed(packed, allow_pickle=False, **arrays)
    return packed.getvalue()


def csv_rows(features: NDArray[np.float32], labels: NDArray[np.int8]) -> bytes:
    """Return the rows as Amazon's built-in algorithm wants them: the label first, no header.

    Nine digits tell every float32 from its neighbours.
    """
    text = io.StringIO()
    np.savetxt(text, np.column_stack([labels, features]), fmt="%.9g", delimiter=",")
    return text.getvalue().replace("nan", "").encode()


def booster_of(archive: BinaryIO, *, max_bytes: int = MAX_MODEL_BYTES) -> bytes:
    """Return the file `xgboost-model` of a `model.tar.gz`; nothing is written, nothing else read.

    Raises:
        ModelError: It is no such archive, lacks the file, or unpacks to more than `max_bytes`.
    """
    size = 0
    try:
        with tarfile.open(fileobj=archive, mode="r|gz") as tar:
            for entry in tar:
                size += entry.size
                if size > max_bytes:
                    raise ModelError(f"model.tar.gz unpacks to more than {max_bytes:,} bytes")
                file = tar.extractfile(entry) if entry.isfile() else None
                if file is not None and str(PurePosixPath(entry.name)) == BOOSTER_FILE:
                    return file.read()
    except (tarfile.TarError, EOFError, OSError) as error:
        raise ModelError(f"model.tar.gz cannot be unpacked: {error}") from error
    raise ModelError(f"model.tar.gz holds no file {BOOSTER_FILE!r}")


def upload(s3: Any, uri: str, content: bytes, tags: Mapping[str, str]) -> None:
    """Write an object, with its tags.

    Raises:
        PlatformError: S3 refused.
    """
    bucket, key = bucket_and_key(uri)
    with aws_errors(f"write {uri}"):
        s3.put_object(Bucket=bucket, Key=key, Body=content, Tagging=urlencode(tags))


def download_booster(s3: Any, uri: str) -> bytes:
    """Return the model in the `model.tar.gz` at `uri`.

    Raises:
        PlatformError: S3 refused, or the object is too large.
        ModelError: It is not what a job of ours leaves.
    """
    bucket, key = bucket_and_key(uri)
    with aws_errors(f"read {uri}"):
        found = s3.get_object(Bucket=bucket, Key=key)
        if found["ContentLength"] > MAX_MODEL_BYTES:
            raise PlatformError(
                f"{uri} has {found['ContentLength']:,} bytes, more than {MAX_MODEL_BYTES:,}"
            )
        content = found["Body"].read()
    return booster_of(io.BytesIO(content))
