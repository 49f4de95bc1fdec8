"""From the bytes of a file to a typed frame, and what identifies either of them.

Formats are told by content, never by a file's name: csv with `;` or `,`, gzip, zip (also a zip in
a zip, as UCI serves it) and parquet all give the same frame.
"""

import csv
import gzip
import hashlib
import io
import lzma
import re
import reprlib
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Literal, NamedTuple, Self

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet
from pydantic import Field

from bank_marketing import schema
from bank_marketing.config import Settings, SyntheticSettings
from bank_marketing.errors import DataError

TABLE_FILE = "bank-additional-full.csv"
MAX_UNPACKED_BYTES = 4 * 2**30  # about 30 million rows of csv

Edition = Literal["semicolon", "comma", "parquet", "synthetic"]

_GZIP_MAGIC = b"\x1f\x8b"
_ZIP_MAGIC = (b"PK\x03\x04", b"PK\x05\x06")
_PARQUET_MAGIC = b"PAR1"
_MAX_HEADER_BYTES = 2**16
_DELIMITERS: dict[str, Edition] = {";": "semicolon", ",": "comma"}
_BROKEN_ARCHIVE = (
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    OSError,
    RuntimeError,  # zipfile's word for encrypted members and unknown compressions
    ValueError,  # and for offsets and names that make no sense
)

_COLUMN_NAMES = tuple(column.name for column in schema.COLUMNS)
_NUMBERS = {
    column.name: column.dtype for column in schema.COLUMNS if isinstance(column, schema.Numeric)
}
_BANK_FULL_ONLY = {"balance", "day"}


class DataSource(Settings):
    """One immutable table: where it is, and the checksum that it must have.

    `sha256` is that of the file's bytes; of a synthetic table, that of the text of `uri`.
    """

    origin: Literal["uci", "file", "synthetic"]
    uri: str
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


def no_unreadable_rows() -> pd.DataFrame:
    """Return what a table has whose rows could all be read."""
    return _unreadable([], [])


@dataclass(frozen=True)
class Table:
    """A typed frame, the form in which it came, and what could not be read into it.

    `unreadable` has a row for each line of a csv with too many or too few cells: `row`, where it
    stood in the table, from 0 and counting lines like itself, and `reason`.
    """

    frame: pd.DataFrame
    edition: Edition
    unreadable: pd.DataFrame = field(default_factory=no_unreadable_rows)

    @property
    def rows(self) -> int:
        return len(self.frame) + len(self.unreadable)


class DataOrigin(DataSource):
    """Which table a run read: the source, what was found there, and its typed content.

    `rows` counts those that could not be read as well; `fingerprint` is of the others.
    """

    edition: Edition
    fingerprint: str
    rows: int

    @classmethod
    def of(cls, source: DataSource, table: Table) -> Self:
        """Describe the table that was read from `source`."""
        return cls(
            **source.model_dump(),
            edition=table.edition,
            fingerprint=fingerprint(table.frame),
            rows=table.rows,
        )


class _Member(NamedTuple):
    name: PurePosixPath
    archive: zipfile.ZipFile
    info: zipfile.ZipInfo


def synthetic_source(settings: SyntheticSettings) -> DataSource:
    """Name the synthetic table that `settings` make."""
    uri = f"synthetic:rows={settings.rows},seed={settings.seed}"
    return DataSource(origin="synthetic", uri=uri, sha256=hashlib.sha256(uri.encode()).hexdigest())


def synthetic_settings(source: DataSource) -> SyntheticSettings:
    """Return the settings that `synthetic_source` made `source` from.

    Raises:
        DataError: `source` is not what `synthetic_source` makes.
    """
    match = re.fullmatch(r"synthetic:rows=(\d+),seed=(\d+)", source.uri)
    if match:
        settings = SyntheticSettings(rows=int(match[1]), seed=int(match[2]))
        if source == synthetic_source(settings):
            return settings
    raise DataError(
        f"{source.uri!r} with checksum {source.sha256} names no synthetic table; "
        "expected synthetic:rows=N,seed=N and the checksum of that text"
    )


def read_table(path: Path) -> Table:
    """Read a table of `schema.COLUMNS` from csv, csv in gzip or zip, or parquet.

    Columns come in schema order, then those that the schema does not know. Whole numbers are
    int64, other numbers float64, the rest text (`str`) without surrounding blanks; an empty cell
    is missing. A number column with a cell that is not such a number stays text: validation names
    the cell. Missing and unknown columns are left to validation as well, and so are lines of a
    csv with too many or too few cells.

    Raises:
        DataError: The file cannot be read, or is not a table of at least one row with at least
            half of our columns.
    """
    try:
        return _parse(path.read_bytes())
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}") from error
    except (pa.ArrowException, csv.Error, UnicodeDecodeError) as error:
        reason = " ".join(str(error).split())
        raise DataError(f"{path} cannot be read as a table: {reason}") from error
    except DataError as error:
        raise DataError(f"{path} {error}") from error


def extract_csv(content: bytes, *, max_bytes: int = MAX_UNPACKED_BYTES) -> bytes:
    """Return the table inside a gzip or zip archive; any other content as it is.

    In a zip, or in the zips that it holds, that is `TABLE_FILE`, or else the only csv. Nothing is
    written to disk, and no more than `max_bytes` are unpacked.

    Raises:
        DataError: The archive is broken, encrypted or too large, or its table is not evident. The
            message starts with a verb: the caller knows the archive's name.
    """
    try:
        if content.startswith(_GZIP_MAGIC):
            return _gunzip(content, max_bytes)
        if content.startswith(_ZIP_MAGIC):
            return _unzip(content, max_bytes)
    except _BROKEN_ARCHIVE as error:
        raise DataError(f"is an archive that cannot be unpacked: {error}") from error
    return content


def fingerprint(frame: pd.DataFrame) -> str:
    """Return the SHA-256 of a frame's typed content, equal for equal tables of any file format.

    Hashed per column, in order: name, kind, and the values as little-endian 64-bit numbers, or as
    text in UTF-8 after the length of every cell in characters (-1 for a missing one), so that no
    two tables share their bytes. The index does not count.
    """
    digest = hashlib.sha256()
    for name, values in frame.items():
        kind, payload = _canonical(values)
        digest.update(f"{len(str(name))}:{name}:{kind}:{len(values)}:".encode())
        digest.update(payload)
    return digest.hexdigest()


def _canonical(values: "pd.Series[Any]") -> tuple[str, bytes]:
    if pd.api.types.is_integer_dtype(values.dtype):
        return "whole", values.to_numpy("<i8").tobytes()
    if pd.api.types.is_float_dtype(values.dtype):
        return "number", (values.to_numpy("<f8") + 0.0).tobytes()  # -0.0 equals 0.0
    lengths = values.str.len().fillna(-1).to_numpy("<i8")
    return "text", lengths.tobytes() + "".join(values.fillna("").tolist()).encode()


def _gunzip(content: bytes, max_bytes: int) -> bytes:
    with gzip.open(io.BytesIO(content)) as file:
        table = file.read(max_bytes + 1)
    _require_size(len(table), max_bytes)
    return table


def _unzip(content: bytes, max_bytes: int) -> bytes:
    found = list(_csv_members(content, max_bytes=max_bytes, nested=True))
    chosen = [member for member in found if member.name.name == TABLE_FILE] or found
    if len(chosen) != 1:
        names = ", ".join(str(member.name) for member in found) or "no csv"
        raise DataError(f"is an archive that holds {names}; expected {TABLE_FILE} or a single csv")
    return chosen[0].archive.read(chosen[0].info)


def _csv_members(content: bytes, *, max_bytes: int, nested: bool) -> Iterator[_Member]:
    """List the csv files of a zip and, where `nested`, of the zips that it holds.

    The sizes that the archive declares can be trusted: zipfile reads no further than them.
    """
    archive = zipfile.ZipFile(io.BytesIO(content))
    _require_size(sum(info.file_size for info in archive.infolist()), max_bytes)
    for info in archive.infolist():
        name = PurePosixPath(info.filename)
        if "__MACOSX" in name.parts:  # macOS adds a ._ twin of every file there
            continue
        if name.suffix.lower() == ".csv":
            yield _Member(name, archive, info)
        elif name.suffix.lower() == ".zip" and nested:
            yield from _csv_members(archive.read(info), max_bytes=max_bytes, nested=False)


def _require_size(size: int, max_bytes: int) -> None:
    if size > max_bytes:
        raise DataError(f"is an archive that unpacks to more than {max_bytes:,} bytes, the limit")


def _parse(content: bytes) -> Table:
    if not content:
        raise DataError("is empty")
    if content.startswith(_PARQUET_MAGIC):
        return _read_parquet(content)
    return _read_csv(extract_csv(content))


def _read_parquet(content: bytes) -> Table:
    file = pyarrow.parquet.ParquetFile(pa.BufferReader(content))
    _require_our_table(file.schema_arrow.names, empty=file.metadata.num_rows == 0)
    return Table(_typed_frame(file.read()), "parquet")


def _read_csv(content: bytes) -> Table:
    """Read every cell as text; a broken character becomes U+FFFD, for validation to find."""
    content = content.decode("utf-8-sig", errors="replace").strip().encode()
    first_line = io.BytesIO(content).readline(_MAX_HEADER_BYTES)
    delimiter, header = _header(first_line.decode(errors="replace"))
    _require_our_table(header, empty=len(first_line) == len(content))
    ragged = _RaggedLines()
    table = pyarrow.csv.read_csv(
        pa.BufferReader(content),
        # Without threads, because only then a ragged line knows its number.
        read_options=pyarrow.csv.ReadOptions(use_threads=False, column_names=header, skip_rows=1),
        parse_options=pyarrow.csv.ParseOptions(
            delimiter=delimiter, newlines_in_values=True, invalid_row_handler=ragged.set_aside
        ),
        convert_options=pyarrow.csv.ConvertOptions(column_types=dict.fromkeys(header, pa.string())),
    )
    return Table(_typed_frame(table), _DELIMITERS[delimiter], ragged.frame())


class _RaggedLines:
    """The lines of a csv that have too many or too few cells.

    A quote that nobody closes swallows the lines up to the next one: each of them counts.
    """

    def __init__(self) -> None:
        self._rows: list[int] = []
        self._reasons: list[str] = []
        self._swallowed = 0

    def set_aside(self, line: Any) -> Literal["skip"]:
        first = line.number + self._swallowed  # the header is line 1; empty lines do not count
        texts = line.text.splitlines()
        last = first + len(texts) - 1
        self._swallowed += last - first
        cells = "1 cell" if line.actual_columns == 1 else f"{line.actual_columns} cells"
        found = f"line {first} has {cells}"
        if len(texts) > 1:
            found = f"lines {first} to {last} have {cells}, because a quote is not closed"
        for row, text in enumerate(texts, start=first - 2):
            self._rows.append(row)
            self._reasons.append(f"{found}, expected {line.expected_columns}: {reprlib.repr(text)}")
        return "skip"

    def frame(self) -> pd.DataFrame:
        return _unreadable(self._rows, self._reasons)


def _unreadable(rows: list[int], reasons: list[str]) -> pd.DataFrame:
    return pd.DataFrame(
        {"row": pd.Series(rows, dtype="int64"), "reason": pd.Series(reasons, dtype="str")}
    )


def _header(line: str) -> tuple[str, list[str]]:
    """Return the delimiter that finds most of our columns in `line`, and the columns."""
    headers = {
        delimiter: [name.strip() for name in next(csv.reader([line], delimiter=delimiter))]
        for delimiter in _DELIMITERS
    }
    return max(headers.items(), key=lambda item: len(set(item[1]) & set(_COLUMN_NAMES)))


def _require_our_table(names: list[str], *, empty: bool) -> None:
    found = set(names)
    known = len(found & set(_COLUMN_NAMES))
    if known < len(_COLUMN_NAMES) and found >= _BANK_FULL_ONLY:
        raise DataError(
            "is bank-full.csv, another data set (it has the columns 'balance' and 'day'); "
            f"give {TABLE_FILE}"
        )
    if known < len(_COLUMN_NAMES) / 2:
        raise DataError(
            f"is not our table: {known} of its {len(_COLUMN_NAMES)} columns were found, "
            f"expected at least half; it starts with {', '.join(names)[:60]!r}"
        )
    if len(found) < len(names):
        repeated = sorted({name for name in names if names.count(name) > 1})
        raise DataError(f"has more than one column of the name {', '.join(repeated)}")
    if empty:
        raise DataError("has a header but no rows")


def _typed_frame(table: Any) -> pd.DataFrame:
    known = [name for name in _COLUMN_NAMES if name in table.column_names]
    extra = [name for name in table.column_names if name not in _COLUMN_NAMES]
    frame: pd.DataFrame = pa.table(
        {name: _typed(table[name], _NUMBERS.get(name)) for name in known + extra}
    ).to_pandas()
    return frame


def _typed(column: Any, dtype: str | None) -> Any:
    """Give `column` the type `dtype` if every cell allows it, else make it text."""
    if not (pa.types.is_integer(column.type) or pa.types.is_floating(column.type)):
        column = pc.utf8_trim_whitespace(column.cast(pa.string()))
        column = pc.if_else(pc.equal(column, ""), None, column)
    numbers = _numbers(column, dtype) if dtype else None
    return column.cast(pa.string()) if numbers is None else numbers


def _numbers(column: Any, dtype: str) -> Any | None:
    try:
        numbers = column.cast(pa.float64())  # first, because "56.0" is a whole number as well
        if numbers.null_count or not pc.all(pc.is_finite(numbers)).as_py():
            return None
        return numbers.cast(dtype)  # refuses 56.5 for int64
    except pa.ArrowInvalid:
        return None
