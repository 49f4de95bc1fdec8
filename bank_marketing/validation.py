"""Is a table what the schema says, and which of its rows can be trained on?"""

import logging
import reprlib
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pandas as pd
from pydantic import BaseModel, ConfigDict

from bank_marketing.config import ValidationSettings
from bank_marketing.dataset import no_unreadable_rows
from bank_marketing.errors import DataError
from bank_marketing.schema import COLUMNS, POSITIVE, TARGET, Numeric, Severity

if TYPE_CHECKING:
    from bank_marketing.expectations import Finding

_TYPES = {column.name: column.dtype if isinstance(column, Numeric) else "str" for column in COLUMNS}
_NUMBERS = [column.name for column in COLUMNS if isinstance(column, Numeric)]
_EXAMPLES = 3


class Check(BaseModel):
    """What one expectation found."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    column: str | None  # None: about the table or about whole rows
    severity: Severity
    passed: bool
    unexpected_rows: int
    unexpected_share: float  # of all rows of the table, 0 to 1
    examples: tuple[str, ...]  # the first ones, as "row 7: 'abc'"; rows count from 0
    reason: str  # in words; empty if passed


class ValidationSummary(BaseModel):
    """Whether the run may go on, and what became of the rows."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    passed: bool
    rows: int
    accepted_rows: int
    rejected_rows: int
    failures: tuple[str, ...]  # why the run must stop
    warnings: tuple[str, ...]  # what else is wrong
    checks: tuple[Check, ...]


class ValidationReport(ValidationSummary):
    """The summary and the page that shows every expectation, complete without a network."""

    data_docs: str


@dataclass(frozen=True)
class Validation:
    """A table, taken apart.

    `accepted` has the columns and types of the schema. `rejected` keeps the cells, as text, none of
    a row that could not be read; `row` is their position in the table, from 0, and `reason` says
    what is wrong. Both have a new RangeIndex.
    """

    report: ValidationReport
    accepted: pd.DataFrame
    rejected: pd.DataFrame


def validate(
    frame: pd.DataFrame, settings: ValidationSettings, *, unreadable: pd.DataFrame | None = None
) -> Validation:
    """Hold `frame` against the schema; set single bad rows aside.

    Nothing about the data raises: what is wrong is in the report. A row is rejected if it breaks
    a critical check of a cell or a critical rule; a missing column leaves no row to accept.

    Args:
        frame: What could be read of a `Table`.
        settings: How many rows there must be, and how many may be rejected.
        unreadable: The rows of the same `Table` that could not be read; rejected as they are.
    """
    # Its import logs a line for each of some 200 functions.
    logging.getLogger("great_expectations").setLevel(logging.WARNING)
    from bank_marketing import expectations

    if unreadable is None:
        unreadable = no_unreadable_rows()
    table = frame.set_axis(_positions(len(frame), unreadable))
    cells = _cells(table)
    values = cells.assign(
        **{name: pd.to_numeric(cells[name], errors="coerce") for name in _NUMBERS}
    )
    of_columns = expectations.evaluate(table.head(0), expectations.of_columns(list(table.columns)))
    of_rows = [
        *expectations.evaluate(cells, expectations.of_cells(cells)),
        *expectations.evaluate(values, expectations.of_values()),
    ]

    reasons = _reasons(of_rows, cells)
    broken = table.loc[reasons.index].astype("str")
    broken = broken.assign(row=reasons.index.astype("int64"), reason=reasons)
    rejected = pd.concat([broken, unreadable]).sort_values("row", ignore_index=True)
    accepted = values.drop(index=reasons.index).astype(_TYPES).reset_index(drop=True)
    of_table = [
        *expectations.evaluate(accepted, expectations.of_types()),
        *expectations.evaluate(
            accepted.assign(**{TARGET: accepted[TARGET].eq(POSITIVE).astype("int64")}),
            expectations.of_table(settings),
        ),
    ]

    rows = len(table) + len(unreadable)
    columns_checks, row_checks, table_checks = (
        [_check(finding, cells, rows) for finding in findings]
        for findings in (of_columns, of_rows, of_table)
    )
    summary = _summarize(
        columns_checks,
        [_readable_check(unreadable, rows), *row_checks],
        table_checks,
        rejected_rows=len(rejected),
        accepted_rows=len(accepted),
        max_rejected_share=settings.max_rejected_share,
    ).model_dump()
    page = expectations.render([*of_columns, *of_rows, *of_table], summary)
    return Validation(ValidationReport(**summary, data_docs=page), accepted, rejected)


def require_passed(report: ValidationReport, *, page: str) -> None:
    """Stop the run unless the table passed; `page` is where its Data Docs can be seen.

    Raises:
        DataError: It did not; names every failure.
    """
    if not report.passed:
        failures = "; ".join(report.failures)
        raise DataError(f"the data did not pass validation: {failures}; see {page}")


def _cells(table: pd.DataFrame) -> pd.DataFrame:
    """Return the schema's columns, as text where one is not yet of its type.

    Every cell of a missing column is empty.
    """
    cells = table.reindex(columns=list(_TYPES))
    return cells.astype(
        {name: "str" for name, dtype in _TYPES.items() if cells[name].dtype != dtype}
    )


def _positions(rows: int, unreadable: pd.DataFrame) -> pd.Index:
    """Say where each of `rows` stood in the table, with those that could not be read."""
    every = pd.RangeIndex(rows + len(unreadable))
    return every.delete(unreadable["row"].tolist()) if len(unreadable) else every


def _reasons(findings: Sequence["Finding"], cells: pd.DataFrame) -> "pd.Series[str]":
    """Say for each row that breaks a critical expectation, in the order of rows, what is wrong."""
    reasons: defaultdict[int, list[str]] = defaultdict(list)
    for finding in findings:
        if finding.severity == "critical":
            broken = cells.loc[finding.rows, finding.column]
            for row, cell in zip(finding.rows, broken, strict=True):
                reasons[row].append(f"{finding.column}: {_show(cell)} {finding.words}")
    rows = sorted(reasons)
    return pd.Series(["; ".join(reasons[row]) for row in rows], index=rows, dtype="str")


def _readable_check(unreadable: pd.DataFrame, rows: int) -> Check:
    reasons = unreadable["reason"].tolist()
    return Check(
        name="rows_readable",
        column=None,
        severity="critical",
        passed=not reasons,
        unexpected_rows=len(reasons),
        unexpected_share=len(reasons) / max(rows, 1),
        examples=tuple(
            f"row {row}: {reason}"
            for row, reason in zip(unreadable["row"], reasons[:_EXAMPLES], strict=False)
        ),
        reason=f"{reasons[0]} ({_count(len(reasons))} rejected)" if reasons else "",
    )


def _check(finding: "Finding", cells: pd.DataFrame, rows: int) -> Check:
    return Check(
        name=finding.name,
        column=finding.column,
        severity=finding.severity,
        passed=finding.passed,
        unexpected_rows=len(finding.rows),
        unexpected_share=len(finding.rows) / max(rows, 1),
        examples=tuple(
            f"row {row}: {_show(cells.at[row, finding.column])}" if finding.column else f"row {row}"
            for row in finding.rows[:_EXAMPLES]
        ),
        reason="" if finding.passed else _sentence(finding, cells),
    )


def _sentence(finding: "Finding", cells: pd.DataFrame) -> str:
    if not finding.rows:
        return finding.words
    column, rows = finding.column, finding.rows
    subject = f"{column}: {_show(cells.at[rows[0], column])}" if column else "a row"
    fate = " rejected" if finding.severity == "critical" else ""
    return f"{subject} {finding.words} ({_count(len(rows))}{fate})"


def _summarize(
    columns: Sequence[Check],
    rows: Sequence[Check],
    table: Sequence[Check],
    *,
    rejected_rows: int,
    accepted_rows: int,
    max_rejected_share: float,
) -> ValidationSummary:
    """Decide whether the run may go on; of all that stops it, report what causes the rest."""
    failures = (
        _wrong_columns(columns)
        or _too_many_rejected(
            rows, rejected_rows, rejected_rows + accepted_rows, max_rejected_share
        )
        or _reasons_to_stop(table)
    )
    return ValidationSummary(
        passed=not failures,
        rows=rejected_rows + accepted_rows,
        accepted_rows=accepted_rows,
        rejected_rows=rejected_rows,
        failures=failures,
        warnings=tuple(
            check.reason
            for check in (*columns, *rows)
            if not check.passed and check.reason not in failures
        ),
        checks=(*columns, *rows, *table),
    )


def _wrong_columns(checks: Sequence[Check]) -> tuple[str, ...]:
    """Name missing columns and, because one may be renamed, also those that are not ours."""
    if not _reasons_to_stop(checks):
        return ()
    return tuple(check.reason for check in checks if not check.passed)


def _reasons_to_stop(checks: Sequence[Check]) -> tuple[str, ...]:
    return tuple(
        check.reason for check in checks if check.severity == "critical" and not check.passed
    )


def _too_many_rejected(
    checks: Sequence[Check], rejected: int, rows: int, max_share: float
) -> tuple[str, ...]:
    if not rejected or rejected / rows <= max_share:
        return ()
    critical = [check for check in checks if check.severity == "critical"]
    worst = max(critical, key=lambda check: check.unexpected_rows)
    return (
        f"{rejected:,} of {_count(rows)} ({rejected / rows:.1%}) are rejected, at most "
        f"{max_share:.1%} may be (validation.max_rejected_share); most often {worst.reason}",
    )


def _count(rows: int) -> str:
    return "1 row" if rows == 1 else f"{rows:,} rows"


def _show(cell: Any) -> str:
    """Quote a cell within a sentence, shortened if it is long."""
    if isinstance(cell, str):
        return reprlib.repr(cell)
    return "an empty cell" if pd.isna(cell) else str(cell)
