import subprocess
import sys
import tempfile
from html.parser import HTMLParser
from pathlib import Path

import pandas as pd
import pytest

from bank_marketing import expectations, schema
from bank_marketing.config import ValidationSettings
from bank_marketing.errors import DataError
from bank_marketing.validation import Validation, ValidationReport, require_passed, validate

SETTINGS = ValidationSettings(
    min_rows=10, max_rejected_share=0.5, min_positive_share=0.1, max_positive_share=0.6
)
STRICT = SETTINGS.model_copy(update={"max_rejected_share": 0.01})
HOSTILE = "<img src=https://evil.example/x onerror=alert(1)>"


def valid_table(rows: int = 20) -> pd.DataFrame:
    """Return rows that differ in age and keep every rule; every second one is positive."""
    cells = {
        column.name: column.low if isinstance(column, schema.Numeric) else column.categories[0]
        for column in schema.COLUMNS
    }
    table = pd.DataFrame([cells] * rows).astype(
        {c.name: c.dtype for c in schema.COLUMNS if isinstance(c, schema.Numeric)}
    )
    return table.assign(
        age=range(20, 20 + rows),
        pdays=schema.NEVER_CONTACTED,
        previous=0,
        poutcome="nonexistent",
        y=[schema.POSITIVE if row % 2 else schema.NEGATIVE for row in range(rows)],
    )


def with_cells(table: pd.DataFrame, column: str, cells: dict[int, object]) -> pd.DataFrame:
    """Return `table` as the reader gives it when `column` holds such cells: as text."""
    text = table[column].astype("str")
    text.loc[list(cells)] = pd.Series(cells, dtype="str")
    return table.assign(**{column: text})


def unreadable(*rows: int) -> pd.DataFrame:
    """Return what the reader sets aside when these rows of a csv have too few cells."""
    reasons = [f"line {row + 2} has 2 cells, expected 21: '56;a'" for row in rows]
    return pd.DataFrame({"row": rows, "reason": reasons})


class Page(HTMLParser):
    """The tags of a page, and the addresses in its attributes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.addresses: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.addresses |= {
            value or "" for name, value in attrs if name in {"src", "href", "action", "data"}
        }


@pytest.fixture(scope="module")
def valid() -> Validation:
    return validate(valid_table(), SETTINGS)


@pytest.fixture(scope="module")
def broken() -> Validation:
    """Every kind of breach, each in its own row; row 0 and those from 12 on are valid."""
    table = valid_table(30)
    table = with_cells(table, "age", {1: "abc", 2: "56.5", 3: None, 4: "121", 12: "32.0"})
    table = with_cells(table, "euribor3m", {5: "1,5", 12: "4.857", 13: "1e-1"})
    table.loc[6, "job"] = "astronaut"
    table.loc[6, "cons.price.idx"] = float("nan")
    table.loc[7, "housing"] = "unknown"
    table.loc[8, ["loan", "marital"]] = ["unknown", ""]
    table.loc[9, "poutcome"] = "success"
    table.loc[10, "previous"] = 1
    table.loc[11, "campaign"] = 0
    table.loc[14, ["previous", "poutcome"]] = [1, "failure"]
    return validate(pd.concat([table, table.loc[[29]]]), SETTINGS)


@pytest.fixture(scope="module")
def renamed() -> Validation:
    return validate(valid_table().rename(columns={"job": "occupation"}), SETTINGS)


@pytest.fixture(scope="module")
def ragged() -> Validation:
    """Rows 1 and 4 of 22 could not be read; of the others, the third has an unknown job."""
    table = valid_table()
    table.loc[2, "job"] = "astronaut"
    return validate(table, SETTINGS, unreadable=unreadable(1, 4))


def test_a_valid_table_passes_without_a_word(valid):
    report = valid.report

    assert (report.passed, report.failures, report.warnings) == (True, (), ())
    assert (report.rows, report.accepted_rows, report.rejected_rows) == (20, 20, 0)
    assert all(check.passed and not check.reason for check in report.checks)


def test_a_valid_table_is_accepted_as_it_is(valid):
    pd.testing.assert_frame_equal(valid.accepted, valid_table())
    assert list(valid.rejected.columns) == [*valid_table().columns, "row", "reason"]


def test_every_column_and_rule_of_the_schema_is_checked(valid):
    names = {check.name for check in valid.report.checks}

    for column in schema.COLUMNS:
        second = "in_range" if isinstance(column, schema.Numeric) else "known"
        assert {f"{column.name}_{check}" for check in ("filled", "typed", second)} <= names
    assert {rule.name for rule in schema.RULES} <= names


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (1, "age: 'abc' is not a whole number"),
        (2, "age: '56.5' is not a whole number"),
        (3, "age: an empty cell is not allowed"),
        (4, "age: '121' is outside 17 to 120"),
        (5, "euribor3m: '1,5' is not a number"),
        (
            6,
            "job: 'astronaut' is not one of the 12 categories; "
            "cons.price.idx: an empty cell is not allowed",
        ),
        (
            7,
            "loan: 'no' where housing == 'unknown': the two loans are known or unknown together",
        ),
        (
            8,
            "marital: '' is not one of the 4 categories; "
            "housing: 'no' where loan == 'unknown': the two loans are known or unknown together",
        ),
        (
            9,
            "poutcome: 'success' where previous == 0: "
            "a customer who was never contacted has no earlier outcome; "
            "pdays: 999 where poutcome == 'success': "
            "an earlier success lies a known number of days back",
        ),
        (
            10,
            "poutcome: 'nonexistent' where previous > 0: "
            "a customer who was contacted before has an earlier outcome",
        ),
        (11, "campaign: 0 is outside 1 to 100"),
    ],
)
def test_a_rejected_row_says_everything_that_is_wrong_with_it(broken, row, reason):
    assert broken.rejected.set_index("row").loc[row, "reason"] == reason


def test_only_broken_rows_are_rejected_and_keep_their_cells(broken):
    assert broken.rejected["row"].tolist() == list(range(1, 12))
    assert broken.rejected["row"].dtype == "int64"
    assert broken.rejected["age"].head(3).fillna("empty").tolist() == ["abc", "56.5", "empty"]


def test_accepted_rows_have_their_final_types_and_a_new_index(broken):
    accepted = broken.accepted

    assert accepted.dtypes.astype("str").to_dict() == valid_table().dtypes.astype("str").to_dict()
    assert list(accepted.index) == list(range(20))  # 31 rows less 11
    # rows 0, 12, 13: ages 20, 20 + 12 and 20 + 13, of which one was written as 32.0
    assert accepted["age"].head(3).tolist() == [20, 32, 33]
    assert accepted["euribor3m"].head(3).tolist() == [-2.0, 4.857, 0.1]


def test_contradictions_and_copies_are_warnings_that_reject_nothing(broken):
    checks = {check.name: check for check in broken.report.checks}

    # previous > 0 with pdays 999: rows 10 and 14; the last row is a copy of the one before
    assert checks["contact_has_a_date"].unexpected_rows == 2
    assert checks["rows_unique"].examples == ("row 29", "row 30")
    assert "a row is an exact copy of another row (2 rows)" in broken.report.warnings
    assert broken.report.passed


def test_a_check_reports_count_share_and_examples(broken):
    check = next(check for check in broken.report.checks if check.name == "age_readable")

    assert (check.column, check.severity, check.passed) == ("age", "critical", False)
    assert (check.unexpected_rows, check.unexpected_share) == (2, 2 / 31)
    assert check.examples == ("row 1: 'abc'", "row 2: '56.5'")
    assert check.reason == "age: 'abc' is not a whole number (2 rows rejected)"


def test_a_renamed_column_stops_the_run_and_shows_its_new_name(renamed):
    report = renamed.report

    assert report.failures == (
        "missing columns: job",
        "columns outside the schema, left out: occupation",
    )
    assert (report.accepted_rows, report.rejected_rows) == (0, 20)
    assert list(renamed.accepted.columns) == list(valid_table().columns)


def test_a_column_of_another_type_than_the_schema_says_is_named():
    table = valid_table().astype({"age": "float64", "job": "category"})

    findings = expectations.evaluate(table, expectations.of_types())

    assert [finding.words for finding in findings if not finding.passed] == [
        "age is float64, not int64",
        "job is CategoricalDtypeType, not str",
    ]


def test_an_extra_column_is_left_out_with_a_warning():
    found = validate(valid_table().assign(agent=7), SETTINGS)

    assert found.report.warnings == ("columns outside the schema, left out: agent",)
    pd.testing.assert_frame_equal(found.accepted, valid_table())


def test_an_empty_table_fails_in_words():
    found = validate(valid_table().head(0), SETTINGS)

    assert found.report.failures[0] == (
        "0 accepted rows, at least 10 are needed (validation.min_rows)"
    )
    assert (len(found.accepted), len(found.rejected)) == (0, 0)


def test_too_few_positives_stop_the_run():
    found = validate(valid_table().assign(y="no"), SETTINGS)

    assert found.report.failures == (
        "the share of 'yes' in the accepted rows is 0.000, expected 0.1 to 0.6 "
        "(validation.min_positive_share, validation.max_positive_share)",
    )


@pytest.mark.parametrize(("broken_rows", "passed"), [(2, True), (3, False)])
def test_rows_may_be_rejected_up_to_the_limit(broken_rows, passed):
    table = valid_table(20)
    table.loc[: broken_rows - 1, "job"] = "astronaut"

    found = validate(table, SETTINGS.model_copy(update={"max_rejected_share": 0.1}))

    assert found.report.rejected_rows == broken_rows
    assert found.report.passed is passed


class TestUnreadableRows:
    def test_they_are_rejected_in_their_place_with_the_reason(self, ragged):
        assert ragged.rejected["row"].tolist() == [1, 3, 4]
        assert ragged.rejected["reason"].tolist() == [
            "line 3 has 2 cells, expected 21: '56;a'",
            "job: 'astronaut' is not one of the 12 categories",
            "line 6 has 2 cells, expected 21: '56;a'",
        ]

    def test_they_have_no_cells_and_leave_those_of_others_as_they_are(self, ragged):
        assert ragged.rejected["age"].fillna("none").tolist() == ["none", "22", "none"]

    def test_they_are_counted_and_reported(self, ragged):
        report = ragged.report
        check = next(check for check in report.checks if check.name == "rows_readable")

        assert (report.rows, report.accepted_rows, report.rejected_rows) == (22, 19, 3)
        assert (check.unexpected_rows, check.unexpected_share) == (2, 2 / 22)
        assert report.warnings[0] == "line 3 has 2 cells, expected 21: '56;a' (2 rows rejected)"

    @pytest.mark.parametrize(("lines", "passed"), [(2, True), (3, False)])
    def test_they_stop_the_run_above_the_limit(self, lines, passed):
        settings = SETTINGS.model_copy(update={"max_rejected_share": 0.1})

        found = validate(valid_table(20), settings, unreadable=unreadable(*range(lines)))

        # 2 of 22 rows are 9.1 %, 3 of 23 are 13.0 %
        assert found.report.passed is passed
        assert all(
            failure.startswith("3 of 23 rows (13.0%) are rejected, at most 10.0% may be")
            for failure in found.report.failures
        )

    def test_a_table_of_nothing_else_is_rejected_as_a_whole(self):
        found = validate(valid_table().head(0), SETTINGS, unreadable=unreadable(0, 1))

        assert found.report.failures[0].startswith("2 of 2 rows (100.0%) are rejected")
        assert len(found.rejected) == 2


def test_only_a_failed_report_raises_and_names_the_failures_and_its_page(valid, renamed):
    require_passed(valid.report, page="/store/page.html")

    with pytest.raises(
        DataError,
        match=r"did not pass validation: missing columns: job; .*; see /store/page\.html$",
    ):
        require_passed(renamed.report, page="/store/page.html")


def test_a_report_survives_json(broken):
    report = broken.report

    assert ValidationReport.model_validate_json(report.model_dump_json()) == report


def test_the_page_needs_nothing_from_outside(broken):
    page = Page(broken.report.data_docs)

    assert {address for address in page.addresses if not address.startswith("#")} == set()
    assert page.tags.isdisjoint({"script", "link", "img", "iframe", "object"})
    assert "url(" not in broken.report.data_docs
    assert "@import" not in broken.report.data_docs


def test_the_page_says_what_happened(renamed):
    page = renamed.report.data_docs

    assert "The data stopped the run" in page
    assert "<li>missing columns: job</li>" in page
    assert "values must belong to this set" in page  # a sentence of Great Expectations
    assert "values must be of type" in page


def test_the_page_shows_hostile_text_as_text():
    table = valid_table().assign(**{HOSTILE: 1})
    table.loc[[3, 4], ["age", "job", "poutcome", "housing", "y"]] = [30, *[HOSTILE] * 4]
    table = with_cells(table, "age", {5: HOSTILE})

    found = validate(table, SETTINGS)

    # once in the table of each check: age, job, poutcome and its rule, housing, y, copies
    assert found.report.data_docs.count("&lt;img src=https://evil.example") > 7
    assert "img" not in Page(found.report.data_docs).tags


def test_nothing_is_written_and_nothing_is_printed(tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))

    validate(valid_table(), SETTINGS)

    assert list(tmp_path.iterdir()) == []
    assert capfd.readouterr() == ("", "")


def test_importing_the_module_does_not_load_great_expectations():
    code = "import sys, bank_marketing.validation; sys.exit('great_expectations' in sys.modules)"

    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", code], cwd=root, check=False)

    assert done.returncode == 0


def test_the_real_table_passes_with_its_known_flaws_as_warnings(real_table):
    found = validate(real_table, STRICT)

    # the 4,110 rows and the 12 exact copies (24 rows) are documented facts of the file
    assert found.report.warnings == (
        "a row is an exact copy of another row (24 rows)",
        "pdays: 999 where previous > 0: a known contradiction of this table: "
        "earlier contacts without their date (4,110 rows)",
    )
    assert (found.report.passed, found.report.accepted_rows) == (True, 41_188)
    assert len(found.report.data_docs) < 200_000


def test_fifty_broken_rows_of_the_real_table_are_set_aside(real_table):
    broken = with_cells(real_table, "age", dict.fromkeys(range(0, 41_000, 820), "abc"))

    found = validate(broken, STRICT)

    assert found.report.passed
    assert found.rejected["row"].tolist() == list(range(0, 41_000, 820))  # 41,000 / 820 = 50
    assert set(found.rejected["reason"]) == {"age: 'abc' is not a whole number"}
    expected = real_table.drop(index=found.rejected["row"]).reset_index(drop=True)
    pd.testing.assert_frame_equal(found.accepted, expected)


def test_a_fifth_of_broken_rows_stops_the_run(real_table):
    broken = real_table.copy()
    broken.loc[::5, "job"] = "astronaut"

    found = validate(broken, STRICT)

    # every fifth of 41,188 rows: 8,238
    assert found.report.failures == (
        "8,238 of 41,188 rows (20.0%) are rejected, at most 1.0% may be "
        "(validation.max_rejected_share); most often job: 'astronaut' is not one of the "
        "12 categories (8,238 rows rejected)",
    )
