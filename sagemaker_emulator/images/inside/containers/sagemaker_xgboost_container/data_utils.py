"""Reads training channels and request bodies: csv and libsvm text."""

import csv
import io
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import IO

import numpy as np
import pandas as pd
import xgboost as xgb
from numpy.typing import NDArray
from sagemaker_algorithm_toolkit.exceptions import UserError
from scipy.sparse import csr_matrix

CSV, LIBSVM = "csv", "libsvm"

_TYPES = {
    "csv": CSV,
    "text/csv": CSV,
    "libsvm": LIBSVM,
    "text/libsvm": LIBSVM,
    "text/x-libsvm": LIBSVM,
}


def get_content_type(content_type: str | None) -> str:
    """Return `csv` or `libsvm`, which AWS takes where no type is given.

    Raises:
        UserError: It is another type, or a csv whose label has not one column.
    """
    if content_type is None:
        return LIBSVM
    name, *parameters = (part.strip() for part in content_type.lower().split(";"))
    if name not in _TYPES:
        raise UserError(
            f"{content_type} is not an accepted ContentType: {', '.join(_TYPES)}. "
            "(AWS also takes parquet and recordio-protobuf, which are not emulated.)"
        )
    sizes = [value for value in parameters if value.startswith("label_size=")]
    if _TYPES[name] == CSV and sizes not in ([], ["label_size=1"]):
        raise UserError(
            f"{content_type} is not an accepted csv ContentType. "
            "Optional parameter label_size must be equal to 1"
        )
    return _TYPES[name]


def get_dmatrix(
    data_path: str | Path | Sequence[str],
    content_type: str | None,
    csv_weights: int = 0,
    is_pipe: bool = False,
) -> xgb.DMatrix | None:
    """Return the rows of all files under a folder, in the order of their names; none if empty.

    `csv_weights` is 1 if the second column of a csv weighs the rows.

    Raises:
        UserError: A file is not what `content_type` says.
    """
    if is_pipe:
        raise UserError("TrainingInputMode Pipe is not emulated")
    kind = get_content_type(content_type)
    paths = [data_path] if isinstance(data_path, (str, Path)) else data_path
    files = [file for path in paths for file in _data_files(Path(path))]
    if not files:
        return None
    try:
        return _csv_matrix(files, csv_weights) if kind == CSV else _libsvm_matrix(files)
    except ValueError as error:
        raise UserError(f"Failed to load {kind} data with exception:\n{error}") from error


def csv_values(source: str | os.PathLike[str] | IO[str], first_line: str) -> NDArray[np.float32]:
    """Return the numbers of a csv without header, an empty cell as NaN, shape (rows, columns)."""
    try:
        delimiter = csv.Sniffer().sniff(first_line, delimiters=",;\t| ").delimiter
    except csv.Error:  # a single column has none
        delimiter = ","
    for cell in first_line.split(delimiter):
        float(cell.strip() or "nan")  # pandas would take True for 1, which AWS does not
    frame = pd.read_csv(source, header=None, sep=delimiter, dtype=np.float32)
    return frame.to_numpy()


def libsvm_values(rows: Iterable[Sequence[str]]) -> csr_matrix:
    """Return the features of rows of `column:value`, counted from 0; other words are skipped."""
    starts, columns, values = [0], [], []
    for row in rows:
        for column, colon, value in (word.partition(":") for word in row):
            if colon:
                columns.append(int(column))
                values.append(float(value))
        starts.append(len(columns))
    width = max(columns, default=-1) + 1
    data = np.array(values, dtype=np.float32)
    return csr_matrix((data, columns, starts), shape=(len(starts) - 1, width))


def _data_files(path: Path) -> list[Path]:
    if path.is_file():
        return [path]
    return [
        file
        for file in sorted(path.rglob("*"))
        if file.is_file() and not file.name.startswith((".", "_")) and file.stat().st_size
    ]


def _csv_matrix(files: Sequence[Path], csv_weights: int) -> xgb.DMatrix:
    rows = np.concatenate([_csv_rows(file) for file in files])
    weight = rows[:, 1] if csv_weights else None
    return xgb.DMatrix(rows[:, 1 + csv_weights :], label=rows[:, 0], weight=weight)


def _csv_rows(path: Path) -> NDArray[np.float32]:
    with path.open(errors="replace") as file:
        first_line = file.readline()
    return csv_values(path, first_line)


def _libsvm_matrix(files: Sequence[Path]) -> xgb.DMatrix:
    rows = [row for file in files for row in _libsvm_rows(file)]
    labels, colons, weights = zip(*(row[0].partition(":") for row in rows), strict=True)
    return xgb.DMatrix(
        libsvm_values(row[1:] for row in rows),
        label=np.array(labels, dtype=np.float32),
        weight=np.array(weights, dtype=np.float32) if all(colons) else None,
    )


def _libsvm_rows(path: Path) -> list[list[str]]:
    with path.open(errors="replace") as file:
        words = (line.partition("#")[0].split() for line in file)
        rows = [row for row in words if row]
    if rows and not (_is_label(rows[0][0]) and all(":" in word for word in rows[0][1:])):
        raise UserError(
            f"First line '{' '.join(rows[0])[:50]}...' of file '{path.name}' is not 'LIBSVM' "
            "format. Please ensure the file is in 'LIBSVM' format."
        )
    return rows


def _is_label(word: str) -> bool:
    try:
        return len([float(part) for part in word.split(":")]) < 3
    except ValueError:
        return False


def csv_dmatrix(text: str) -> xgb.DMatrix:
    """Return the rows of a request body without labels."""
    return xgb.DMatrix(csv_values(io.StringIO(text), text.partition("\n")[0]))


def libsvm_dmatrix(text: str) -> xgb.DMatrix:
    """Return the rows of a request body; a label in it is skipped."""
    return xgb.DMatrix(libsvm_values(line.split() for line in text.splitlines()))
