"""The schema as Great Expectations suites, and their results as a page.

Importing Great Expectations takes seconds, so only `validate` imports this module.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

import great_expectations as gx
import great_expectations.expectations as gxe
import pandas as pd
from great_expectations.core import ExpectationSuiteValidationResult, ExpectationValidationResult
from great_expectations.data_context.types.base import (
    DataContextConfig,
    InMemoryStoreBackendDefaults,
    ProgressBarsConfig,
)
from great_expectations.expectations.expectation import Expectation
from great_expectations.expectations.metadata_types import FailureSeverity
from great_expectations.expectations.row_conditions import Column, ComparisonCondition, Operator
from great_expectations.render.renderer.page_renderer import ValidationResultsPageRenderer
from great_expectations.render.view import DefaultJinjaPageView

from bank_marketing.config import ValidationSettings
from bank_marketing.schema import (
    COLUMNS,
    POSITIVE,
    RULES,
    TARGET,
    Categorical,
    Condition,
    Numeric,
    Rule,
    Severity,
)

_TEMPLATES = Path(__file__).with_name("templates")
_SUITE = "bank-marketing"
_ORDER = {column.name: position for position, column in enumerate(COLUMNS)}

_WHOLE_NUMBER = r"^[+-]?[0-9]+(?:\.0*)?$"  # pandas writes 30.0 for 30 beside an empty cell
_NUMBER = r"^[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?$"


@dataclass(frozen=True)
class Finding:
    """What one expectation found."""

    name: str
    column: str | None  # None: it is about the table or about whole rows
    severity: Severity
    passed: bool
    words: str  # what is wrong with a broken row, or with the table
    rows: list[int]  # the index labels of the broken rows
    result: ExpectationValidationResult


def of_columns(found: Sequence[str]) -> list[Expectation]:
    """Say which columns a table with the columns `found` must have, and which it need not."""
    return [
        gxe.ExpectTableColumnsToMatchSet(
            column_set=list(_ORDER),
            exact_match=False,
            severity=FailureSeverity.CRITICAL,
            description=f"the {len(COLUMNS)} columns of the schema are there",
            meta={"name": "columns_present", "words": "missing columns: {observed}"},
        ),
        gxe.ExpectTableColumnsToMatchSet(
            column_set=[name for name in _ORDER if name in found],
            exact_match=True,
            severity=FailureSeverity.WARNING,
            description="there is no other column (warning)",
            meta={
                "name": "no_other_columns",
                "words": "columns outside the schema, left out: {observed}",
            },
        ),
    ]


def of_cells(cells: pd.DataFrame) -> list[Expectation]:
    """Say what the `cells` must hold before numbers are read from text, and that rows differ."""
    expectations: list[Expectation] = []
    for column in COLUMNS:
        expectations.append(
            gxe.ExpectColumnValuesToNotBeNull(
                column=column.name,
                severity=FailureSeverity.CRITICAL,
                meta={"name": f"{column.name}_filled", "words": "is not allowed"},
            )
        )
        if isinstance(column, Categorical):
            expectations.append(_known_category(column))
        elif cells[column.name].dtype != column.dtype:
            expectations.append(_readable(column))
    expectations.append(
        gxe.ExpectCompoundColumnsToBeUnique(
            column_list=list(_ORDER),
            severity=FailureSeverity.WARNING,
            description="no row is an exact copy of another (warning)",
            meta={"name": "rows_unique", "words": "is an exact copy of another row"},
        )
    )
    return expectations


def of_values() -> list[Expectation]:
    """Say in which range numbers lie, and how columns depend on each other."""
    ranges = [_in_range(column) for column in COLUMNS if isinstance(column, Numeric)]
    return [*ranges, *map(_rule, RULES)]


def of_types() -> list[Expectation]:
    """Say which type each column of the accepted rows has, from which the model reads it."""
    types = {
        column.name: column.dtype if isinstance(column, Numeric) else "str" for column in COLUMNS
    }
    return [
        gxe.ExpectColumnValuesToBeOfType(
            column=name,
            type_=type_,
            severity=FailureSeverity.CRITICAL,
            meta={"name": f"{name}_typed", "words": f"{name} is {{observed}}, not {type_}"},
        )
        for name, type_ in types.items()
    ]


def of_table(settings: ValidationSettings) -> list[Expectation]:
    """Say how many rows are needed, and how many of them may be positive (1 in `TARGET`)."""
    low, high = settings.min_positive_share, settings.max_positive_share
    return [
        gxe.ExpectTableRowCountToBeBetween(
            min_value=settings.min_rows,
            severity=FailureSeverity.CRITICAL,
            meta={
                "name": "enough_rows",
                "words": f"{{observed}} accepted rows, at least {settings.min_rows:,} are needed "
                "(validation.min_rows)",
            },
        ),
        gxe.ExpectColumnMeanToBeBetween(
            column=TARGET,
            min_value=low,
            max_value=high,
            severity=FailureSeverity.CRITICAL,
            description=f"the share of {POSITIVE!r} is between {low:g} and {high:g}",
            meta={
                "name": "share_of_positives",
                "words": f"the share of {POSITIVE!r} in the accepted rows is {{observed}}, "
                f"expected {low:g} to {high:g} (validation.min_positive_share, "
                "validation.max_positive_share)",
            },
        ),
    ]


def evaluate(frame: pd.DataFrame, expectations: Sequence[Expectation]) -> list[Finding]:
    """Hold `frame` against `expectations`; the findings come in the same order."""
    context = gx.get_context(
        mode="ephemeral",
        project_config=DataContextConfig(
            store_backend_defaults=InMemoryStoreBackendDefaults(init_temp_docs_sites=False),
            progress_bars=ProgressBarsConfig(globally=False),
            analytics_enabled=False,
        ),
    )
    asset = context.data_sources.add_pandas("memory").add_dataframe_asset("table")
    batch = asset.add_batch_definition_whole_dataframe("all").get_batch({"dataframe": frame})
    validated = batch.validate(
        gx.ExpectationSuite(name=_SUITE, expectations=list(expectations)),
        result_format={"result_format": "COMPLETE", "return_unexpected_index_query": False},
    )
    findings = {finding.name: finding for finding in map(_finding, validated.results)}
    metas: list[Any] = [expectation.meta for expectation in expectations]
    return [findings[meta["name"]] for meta in metas]  # it returns them in another order


def render(findings: Sequence[Finding], summary: Mapping[str, object]) -> str:
    """Return the Data Docs page of `findings` below the `summary`, complete without a network.

    Great Expectations writes the sections; its frame around them loads styles and scripts from
    the web, links to pages that do not exist here and takes the place of ours.
    """
    document = ValidationResultsPageRenderer().render(
        ExpectationSuiteValidationResult(
            success=all(finding.passed for finding in findings),
            results=[finding.result for finding in findings],
            suite_name=_SUITE,
        )
    )
    _, *sections = document.to_json_dict()["sections"]  # the first is an overview: ours is above
    sections.sort(key=lambda section: _ORDER.get(section["section_name"], -1))
    view = DefaultJinjaPageView(custom_views_directory=str(_TEMPLATES))
    page: str = view.env.get_template("data_docs.html").render(
        summary=summary, sections=_escape_tables(sections)
    )
    return page


def _finding(result: ExpectationValidationResult) -> Finding:
    config: Any = result.expectation_config
    found: dict[str, Any] = result.result
    about_table = "observed_value" in found
    if isinstance(found.get("observed_value"), float):
        found["observed_value"] = float(found["observed_value"])  # the page fails on NumPy's
    words = config.meta["words"]
    return Finding(
        name=config.meta["name"],
        column=config.kwargs.get("column"),
        severity=config.severity.value,
        passed=bool(result.success),
        words=words.format(observed=_observed(found)) if about_table else words,
        rows=[] if about_table else found["unexpected_index_list"],
        result=result,
    )


def _observed(found: Mapping[str, Any]) -> str:
    value = found["observed_value"]
    if isinstance(value, list):  # names of columns
        names = found.get("details", {"mismatched": {}})["mismatched"]
        return ", ".join(names.get("missing", names.get("unexpected", [])))
    if isinstance(value, str):  # the name of a type
        return value
    if isinstance(value, int):
        return f"{value:,}"
    return "undefined" if value is None else f"{value:.3f}"  # None is the mean of no rows


def _known_category(column: Categorical) -> Expectation:
    return gxe.ExpectColumnValuesToBeInSet(
        column=column.name,
        value_set=list(column.categories),
        severity=FailureSeverity.CRITICAL,
        meta={
            "name": f"{column.name}_known",
            "words": f"is not one of the {len(column.categories)} categories",
        },
    )


def _readable(column: Numeric) -> Expectation:
    kind = "a whole number" if column.whole else "a number"
    return gxe.ExpectColumnValuesToMatchRegex(
        column=column.name,
        regex=_WHOLE_NUMBER if column.whole else _NUMBER,
        severity=FailureSeverity.CRITICAL,
        description=f"every value is {kind}",
        meta={"name": f"{column.name}_readable", "words": f"is not {kind}"},
    )


def _in_range(column: Numeric) -> Expectation:
    return gxe.ExpectColumnValuesToBeBetween(
        column=column.name,
        min_value=column.low,
        max_value=column.high,
        severity=FailureSeverity.CRITICAL,
        meta={
            "name": f"{column.name}_in_range",
            "words": f"is outside {column.low:g} to {column.high:g}",
        },
    )


def _rule(rule: Rule) -> Expectation:
    when, then = rule.when, rule.then
    statement = (
        f"where {when.column} {when.operator} {when.value!r}, {then.column} {then.operator} "
        f"{then.value!r} ({rule.severity}): {rule.reason}"
    )
    return _conditional(
        then,
        row_condition=ComparisonCondition(
            column=Column(when.column), operator=Operator(when.operator), parameter=when.value
        ),
        severity=FailureSeverity(rule.severity),
        description=escape(statement, quote=False),  # a description is printed as it is
        meta={
            "name": rule.name,
            "words": f"where {when.column} {when.operator} {when.value!r}: {rule.reason}",
        },
    )


def _conditional(then: Condition, **common: Any) -> Expectation:
    value: Any = then.value  # a number where the operator compares sizes
    match then.operator:
        case "==":
            return gxe.ExpectColumnValuesToBeInSet(column=then.column, value_set=[value], **common)
        case "!=":
            return gxe.ExpectColumnValuesToNotBeInSet(
                column=then.column, value_set=[value], **common
            )
        case "<":
            return gxe.ExpectColumnValuesToBeBetween(
                column=then.column, max_value=value, strict_max=True, **common
            )
        case ">":
            return gxe.ExpectColumnValuesToBeBetween(
                column=then.column, min_value=value, strict_min=True, **common
            )


def _escape_tables(content: Any) -> Any:
    """Escape the text in the cells of tables: user data that would be printed as it is."""
    if isinstance(content, list):
        return [_escape_tables(item) for item in content]
    if isinstance(content, dict):
        return {
            key: _escape_cells(value) if key == "table" else _escape_tables(value)
            for key, value in content.items()
        }
    return content


def _escape_cells(rows: list[list[Any]]) -> list[list[Any]]:
    return [
        [escape(cell) if isinstance(cell, str) else _escape_tables(cell) for cell in row]
        for row in rows
    ]
