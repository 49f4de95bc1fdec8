import gzip
import hashlib
import io
import zipfile

import pandas as pd
import pytest
from pydantic import ValidationError

from bank_marketing import schema
from bank_marketing.config import SyntheticSettings
from bank_marketing.dataset import (
    DataOrigin,
    DataSource,
    extract_csv,
    fingerprint,
    no_unreadable_rows,
    read_table,
    synthetic_settings,
    synthetic_source,
)
from bank_marketing.errors import DataError

HEADER = ";".join(column.name for column in schema.COLUMNS)
# The first two rows of the real file; `nr.employed` looks whole and is not.
ROWS = (
    "56;housemaid;married;basic.4y;no;no;no;telephone;may;mon;261;1;999;0;nonexistent;1.1;93.994;-36.4;4.857;5191;no",
    "57;services;married;high.school;unknown;no;no;telephone;may;mon;149;1;999;0;nonexistent;1.1;93.994;-36.4;4.857;5191;no",
)
CSV = "\n".join((HEADER, *ROWS, "")).encode()
NAMES = [column.name for column in schema.COLUMNS]
DTYPES = ["int64"] + ["str"] * 9 + ["int64"] * 4 + ["str"] + ["float64"] * 5 + ["str"]


@pytest.fixture
def read(tmp_path):
    def read_content(content: bytes):
        path = tmp_path / "table"
        path.write_bytes(content)
        return read_table(path)

    return read_content


def zipped(files: dict[str, bytes]) -> bytes:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in files.items():
            file.writestr(name, content)
    return archive.getvalue()


def quoted(content: bytes) -> bytes:
    """Write as UCI does: quotes around names and texts, CRLF."""
    lines = [
        ";".join(cell if cell[0] in "-0123456789" else f'"{cell}"' for cell in line.split(";"))
        for line in content.decode().splitlines()
    ]
    return "\r\n".join((*lines, "")).encode()


def parquet(frame: pd.DataFrame) -> bytes:
    return frame.to_parquet(index=False)


class TestFormats:
    @pytest.mark.parametrize(
        ("content", "edition"),
        [
            (CSV, "semicolon"),
            (CSV.rstrip(), "semicolon"),
            (b"\n" + CSV + b"\n\n", "semicolon"),
            (quoted(CSV), "semicolon"),
            (b"\xef\xbb\xbf" + quoted(CSV), "semicolon"),
            (CSV.replace(b";", b" ; "), "semicolon"),
            (CSV.replace(b";", b","), "comma"),
            (gzip.compress(CSV), "semicolon"),
            (zipped({"any.csv": CSV.replace(b";", b",")}), "comma"),
        ],
        ids=[
            "plain",
            "no-last-newline",
            "blank-lines",
            "quoted",
            "bom",
            "padded",
            "comma",
            "gzip",
            "zip",
        ],
    )
    def test_every_csv_gives_the_same_frame(self, read, content, edition):
        expected = read(CSV).frame

        table = read(content)

        assert table.edition == edition
        pd.testing.assert_frame_equal(table.frame, expected)

    def test_parquet_gives_the_same_frame_as_csv(self, read):
        expected = read(CSV).frame

        table = read(parquet(expected))

        assert table.edition == "parquet"
        pd.testing.assert_frame_equal(table.frame, expected)

    def test_parquet_with_other_types_for_the_same_values_gives_the_same_frame(self, read):
        expected = read(CSV).frame
        written = expected.astype({"age": "float64", "pdays": "int16", "job": "category"})

        table = read(parquet(written))

        pd.testing.assert_frame_equal(table.frame, expected)

    def test_the_real_file_and_its_comma_edition_and_parquet_are_equal(self, read, real_data):
        frame = read_table(real_data).frame
        comma = frame.to_csv(index=False).encode()

        editions = [read(comma).frame, read(parquet(frame)).frame]

        assert frame.shape == (41_188, 21)
        assert frame["y"].eq("yes").sum() == 4_640
        assert frame["nr.employed"].agg(["min", "max"]).tolist() == [4963.6, 5228.1]
        for edition in editions:
            pd.testing.assert_frame_equal(edition, frame)
            assert fingerprint(edition) == fingerprint(frame)


class TestTypes:
    def test_columns_have_the_types_and_the_order_of_the_schema(self, read):
        frame = read(CSV).frame

        assert list(frame.columns) == NAMES
        assert [str(dtype) for dtype in frame.dtypes] == DTYPES
        assert frame.index.equals(pd.RangeIndex(2))

    def test_columns_of_the_file_in_another_order_come_in_schema_order_and_extras_last(self, read):
        backwards = b"\n".join(
            b"7;" + b";".join(reversed(line.split(b";"))) for line in CSV.splitlines()
        )

        frame = read(backwards.replace(b"7;y;", b"score;y;")).frame

        assert list(frame.columns) == [*NAMES, "score"]
        assert frame["score"].tolist() == ["7", "7"]
        pd.testing.assert_frame_equal(frame[NAMES], read(CSV).frame)

    @pytest.mark.parametrize("cell", ["abc", "56.5", "", "nan", "inf", "0x38", "1_000"])
    def test_a_cell_that_is_no_whole_number_leaves_its_column_as_text(self, read, cell):
        frame = read(CSV.replace(b"\n56;", f"\n{cell};".encode())).frame

        assert frame["age"].dtype == "str"
        assert frame["age"].fillna("").tolist() == [cell, "57"]
        assert frame["duration"].dtype == "int64"

    def test_a_cell_that_is_no_number_leaves_its_column_as_text(self, read):
        frame = read(CSV.replace(b"4.857", b"4,857", 1)).frame

        assert frame["euribor3m"].tolist() == ["4,857", "4.857"]

    def test_a_whole_number_may_be_written_with_a_point(self, read):
        frame = read(CSV.replace(b"\n56;", b"\n56.0;")).frame

        assert frame["age"].dtype == "int64"
        assert frame["age"].tolist() == [56, 57]

    @pytest.mark.parametrize("cell", [b"", b'""', b"  "])
    def test_an_empty_text_cell_is_missing(self, read, cell):
        frame = read(CSV.replace(b"housemaid", cell)).frame

        assert frame["job"].isna().tolist() == [True, False]

    def test_a_broken_character_stays_in_its_cell(self, read):
        frame = read(CSV.replace(b"housemaid", b"house\xffmaid")).frame

        assert frame["job"].tolist() == ["house\N{REPLACEMENT CHARACTER}maid", "services"]

    def test_renamed_and_missing_columns_are_left_to_validation(self, read):
        frame = read(CSV.replace(b"age;", b"Age;")).frame

        assert list(frame.columns) == [*NAMES[1:], "Age"]

    def test_extra_columns_may_have_the_names_of_another_data_set(self, read):
        extended = CSV.replace(b"\n", b";1;2\n").replace(b"1;2", b"balance;day", 1)

        frame = read(extended).frame

        assert list(frame.columns) == [*NAMES, "balance", "day"]


class TestRaggedLines:
    @pytest.mark.parametrize("delimiter", [";", ","])
    @pytest.mark.parametrize(
        ("line", "reason"),
        [
            ("56;housemaid", "line 3 has 2 cells, expected 21: '56;housemaid'"),
            ("56", "line 3 has 1 cell, expected 21: '56'"),
            (f"{ROWS[0]};no", "line 3 has 22 cells, expected 21: '56;housemaid...57;5191;no;no'"),
        ],
    )
    def test_a_line_with_too_few_or_too_many_cells_is_set_aside(
        self, read, delimiter, line, reason
    ):
        lines = "\n".join((HEADER, ROWS[0], line, ROWS[1]))

        table = read(lines.replace(";", delimiter).encode())

        pd.testing.assert_frame_equal(table.frame, read(CSV).frame)
        assert table.unreadable["row"].tolist() == [1]
        assert table.unreadable["reason"].tolist() == [reason.replace(";", delimiter)]
        assert table.rows == 3

    def test_each_line_that_an_open_quote_swallows_counts(self, read):
        opened = "\n".join((HEADER, ROWS[0], '56;"housemaid', *ROWS, "57;services", "")).encode()

        table = read(opened)

        assert len(table.frame) == 1
        assert table.unreadable["row"].tolist() == [1, 2, 3, 4]
        assert table.unreadable["reason"].iloc[1] == (
            "lines 3 to 6 have 2 cells, because a quote is not closed, expected 21: "
            "'56;housemaid...4.857;5191;no'"
        )

    def test_a_line_after_an_open_quote_keeps_its_number(self, read):
        # The second quote ends the cell, and the line after it is whole: 2 lines, then 1.
        closed = "\n".join((HEADER, '56;"housemaid', 'maid"', *ROWS, "57", "")).encode()

        table = read(closed)

        assert len(table.frame) == 2
        assert table.unreadable["row"].tolist() == [0, 1, 4]
        assert table.unreadable["reason"].iloc[2].startswith("line 6 has 1 cell")

    def test_a_file_of_nothing_but_ragged_lines_is_left_to_validation(self, read):
        table = read("\n".join((HEADER, "56;housemaid")).encode())

        assert (len(table.frame), table.rows) == (0, 1)

    def test_whole_lines_leave_nothing_aside(self, read):
        table = read(CSV)

        pd.testing.assert_frame_equal(table.unreadable, no_unreadable_rows())


class TestRefusals:
    @pytest.mark.parametrize(
        ("content", "message"),
        [
            (b"", "table is empty"),
            (HEADER.encode(), "has a header but no rows"),
            (HEADER.encode() + b"\r\n\r\n", "has a header but no rows"),
            (b"\x89PNG\r\n\x1a\n\x00", "is not our table: 0 of its 21 columns were found"),
            (b"x" * 300_000, "is not our table: 0 of its 21 columns"),
            (b"<html>\n<body>", r"starts with '<html>'"),
            # 10 of 21 columns are fewer than half.
            ("\n".join((";".join(NAMES[:10]), "1;" * 9 + "1")).encode(), "10 of its 21 columns"),
            (b"age;job;balance;day;y\n1;a;2;3;no", "is bank-full.csv.* give bank-additional-full"),
            (CSV.replace(b"job", b"age", 1), "more than one column of the name age"),
            (CSV.replace(b"\n", b"\r"), "cannot be read as a table: new-line character"),
            (b"PAR1" + CSV, "cannot be read as a table: Parquet magic bytes not found"),
        ],
    )
    def test_what_is_not_our_table_is_refused_with_the_reason(self, read, content, message):
        with pytest.raises(DataError, match=message):
            read(content)

    def test_parquet_without_rows_is_refused(self, read):
        frame = read(CSV).frame

        with pytest.raises(DataError, match="has a header but no rows"):
            read(parquet(frame.head(0)))

    def test_parquet_with_lists_in_a_column_is_refused(self, read):
        frame = read(CSV).frame.assign(calls=[[1], [2, 3]])

        with pytest.raises(
            DataError, match="cannot be read as a table: Unsupported cast from list"
        ):
            read(parquet(frame))

    def test_a_missing_file_is_refused_by_name(self, tmp_path):
        with pytest.raises(DataError, match=r"gone\.csv cannot be read: No such file"):
            read_table(tmp_path / "gone.csv")


class TestArchives:
    def test_the_full_table_is_found_in_the_archive_of_uci(self):
        inner = {
            "bank-additional/bank-additional.csv": b"a tenth",
            "bank-additional/bank-additional-full.csv": CSV,
            "__MACOSX/bank-additional/._bank-additional-full.csv": b"resource fork",
            "bank-additional/bank-additional-names.txt": b"text",
        }
        archive = zipped(
            {
                "bank-additional.zip": zipped(inner),
                "bank.zip": zipped({"bank-full.csv": b"another", "bank.csv": b"its tenth"}),
            }
        )

        content = extract_csv(archive)

        assert content == CSV

    def test_content_that_is_no_archive_is_returned_as_it_is(self):
        assert extract_csv(CSV) == CSV

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            (zipped({"a.csv": b"1", "b/c.csv": b"2"}), r"holds a\.csv, b/c\.csv; expected"),
            (zipped({"read.me": b"1"}), "holds no csv; expected"),
            (zipped({}), "holds no csv; expected"),
            (zipped({"1.zip": zipped({"2.zip": zipped({"a.csv": b"1"})})}), "holds no csv"),
            (zipped({"a.csv": CSV})[:-30], "cannot be unpacked: File is not a zip file"),
            (gzip.compress(CSV)[:-9], "cannot be unpacked: Compressed file ended"),
        ],
        ids=["ambiguous", "no-csv", "empty", "too-deep", "cut-zip", "cut-gzip"],
    )
    def test_an_archive_without_an_evident_table_is_refused(self, content, message):
        with pytest.raises(DataError, match=message):
            extract_csv(content)

    @pytest.mark.parametrize(
        "bomb",
        [
            gzip.compress(bytes(1001)),
            zipped({"a.csv": bytes(1001)}),
            zipped({"a.csv": b"1", "other": bytes(1000)}),
            zipped({"a.zip": zipped({"a.csv": bytes(1001)})}),
        ],
        ids=["gzip", "zip", "sum", "nested"],
    )
    def test_an_archive_that_unpacks_to_more_than_the_limit_is_refused(self, bomb):
        with pytest.raises(DataError, match="unpacks to more than 1,000 bytes, the limit"):
            extract_csv(bomb, max_bytes=1000)

    def test_a_zip_that_lies_about_its_size_is_refused(self):
        # The size of the one member stands in the central directory as 1001 = 0x03e9.
        lying = zipped({"a.csv": bytes(1001)}).replace(b"\xe9\x03\0\0", b"\x01\0\0\0")

        with pytest.raises(DataError, match="cannot be unpacked: Bad CRC-32"):
            extract_csv(lying, max_bytes=1000)

    def test_an_archive_at_the_limit_is_read(self):
        assert extract_csv(gzip.compress(bytes(1000)), max_bytes=1000) == bytes(1000)


class TestFingerprint:
    def test_it_is_the_sha256_of_the_documented_bytes(self):
        frame = pd.DataFrame({"n": [1, -1], "x": [0.5, -0.0], "t": ["é", None]})
        canonical = (
            b"1:n:whole:2:" + (1).to_bytes(8, "little") + b"\xff" * 8
            # 0.5 = 2**-1 is 0x3fe0000000000000 in IEEE 754; -0.0 counts as 0.0
            + b"1:x:number:2:" + bytes.fromhex("000000000000e03f") + bytes(8)
            + b"1:t:text:2:" + (1).to_bytes(8, "little") + b"\xff" * 8 + b"\xc3\xa9"
        )  # fmt: skip

        assert fingerprint(frame) == hashlib.sha256(canonical).hexdigest()

    @pytest.mark.parametrize(
        "other",
        [
            {"t": ["a", "bc"], "n": [1, 2]},
            {"t": ["ab", None], "n": [1, 2]},
            {"t": ["ab", "c"], "n": [2, 1]},
            {"t": ["ab", "c"], "n": [1.0, 2.0]},
            {"t": ["ab", "c"], "m": [1, 2]},
            {"n": [1, 2], "t": ["ab", "c"]},
            {"t": ["ab", "c"]},
        ],
    )
    def test_another_table_has_another_fingerprint(self, other):
        frame = pd.DataFrame({"t": ["ab", "c"], "n": [1, 2]})

        assert fingerprint(pd.DataFrame(other)) != fingerprint(frame)

    def test_the_index_does_not_count(self):
        frame = pd.DataFrame({"t": ["ab", "c"], "n": [1, 2]})

        assert fingerprint(frame.set_axis([7, 3])) == fingerprint(frame)


class TestSources:
    def test_a_synthetic_source_gives_its_settings_back(self):
        settings = SyntheticSettings(rows=400, seed=7)

        source = synthetic_source(settings)

        assert source.uri == "synthetic:rows=400,seed=7"
        assert source.sha256 == hashlib.sha256(b"synthetic:rows=400,seed=7").hexdigest()
        assert synthetic_settings(source) == settings

    @pytest.mark.parametrize(
        "uri", ["synthetic:rows=400", "/a/file.csv", "synthetic:rows=500,seed=7"]
    )
    def test_a_source_that_names_no_synthetic_table_is_refused(self, uri):
        source = synthetic_source(SyntheticSettings(rows=400, seed=7)).model_copy(
            update={"uri": uri}
        )

        with pytest.raises(DataError, match=f"'{uri}' with checksum .* names no synthetic table"):
            synthetic_settings(source)

    def test_what_could_not_be_read_counts_as_rows_but_not_for_the_fingerprint(self, read):
        source = synthetic_source(SyntheticSettings(rows=400, seed=7))

        whole, ragged = (DataOrigin.of(source, read(csv)) for csv in (CSV, CSV + b"56\n"))

        assert (whole.rows, ragged.rows) == (2, 3)
        assert ragged.fingerprint == whole.fingerprint

    def test_a_checksum_must_look_like_one(self):
        with pytest.raises(ValidationError, match="sha256"):
            DataSource(origin="file", uri="/a.csv", sha256="abc")
