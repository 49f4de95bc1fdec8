"""What one row of the table means: the only file to change for another table.

Source:
    S. Moro, P. Cortez, P. Rita, "A data-driven approach to predict the success of bank
    telemarketing", Decision Support Systems 62, 2014. UCI Machine Learning Repository, id 222.
"""

from dataclasses import dataclass
from typing import Literal

CITATION = (
    'S. Moro, P. Cortez, P. Rita, "A data-driven approach to predict the success of bank '
    'telemarketing", Decision Support Systems 62, 2014'
)
LICENCE = "CC BY 4.0"

# What a model of this table is for, and what not, as its card says.
INTENDED_USE = (
    "To put the customers of a bank in order for a telephone campaign for term deposits, and to "
    "say whom to call. It scores a customer before the call is made."
)
PROHIBITED_USE = (
    "It is not meant for decisions about credit, prices or people, nor for another product, bank "
    "or channel than the data are about."
)

Severity = Literal["critical", "warning"]

UNKNOWN = "unknown"


@dataclass(frozen=True)
class Categorical:
    """A text column and every value that it may take."""

    name: str
    categories: tuple[str, ...]

    @property
    def optional(self) -> bool:
        """Whether a row may lack the column when it is scored: "not known" is a category."""
        return UNKNOWN in self.categories


@dataclass(frozen=True)
class Numeric:
    """A number column and the closed range of its values."""

    name: str
    low: float
    high: float
    whole: bool

    @property
    def dtype(self) -> Literal["int64", "float64"]:
        return "int64" if self.whole else "float64"


@dataclass(frozen=True)
class Indicator:
    """A derived feature: 1 where `column` holds one of `values`, else 0."""

    name: str
    column: str
    values: tuple[str, ...] | tuple[float, ...]


@dataclass(frozen=True)
class Condition:
    """A comparison of one column with a constant."""

    column: str
    operator: Literal["==", "!=", "<", ">"]
    value: str | float


@dataclass(frozen=True)
class Rule:
    """A statement over two columns: where `when` holds, `then` must hold as well.

    A breach of a critical rule rejects the row; a breach of a warning is reported.
    """

    name: str
    when: Condition
    then: Condition
    severity: Severity
    reason: str


TARGET = "y"
POSITIVE = "yes"
NEGATIVE = "no"

CALENDAR_COLUMN = "month"  # rows are in the order of time, its categories in that of the year
NEVER_CONTACTED = 999  # the value of `pdays` for customers without an earlier campaign

ECONOMIC_INDICATORS = (
    Numeric("emp.var.rate", low=-10, high=10, whole=False),
    Numeric("cons.price.idx", low=80, high=110, whole=False),
    Numeric("cons.conf.idx", low=-100, high=50, whole=False),
    Numeric("euribor3m", low=-2, high=15, whole=False),
    Numeric("nr.employed", low=3_000, high=8_000, whole=False),
)

# In the order of the file, so that a table written by us looks like the one that UCI serves.
COLUMNS: tuple[Categorical | Numeric, ...] = (
    Numeric("age", low=17, high=120, whole=True),
    Categorical(
        "job",
        (
            "admin.",
            "blue-collar",
            "entrepreneur",
            "housemaid",
            "management",
            "retired",
            "self-employed",
            "services",
            "student",
            "technician",
            "unemployed",
            UNKNOWN,
        ),
    ),
    Categorical("marital", ("divorced", "married", "single", UNKNOWN)),
    Categorical(
        "education",
        (
            "basic.4y",
            "basic.6y",
            "basic.9y",
            "high.school",
            "illiterate",
            "professional.course",
            "university.degree",
            UNKNOWN,
        ),
    ),
    Categorical("default", ("no", "yes", UNKNOWN)),
    Categorical("housing", ("no", "yes", UNKNOWN)),
    Categorical("loan", ("no", "yes", UNKNOWN)),
    Categorical("contact", ("cellular", "telephone")),
    Categorical("month", ("mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")),
    Categorical("day_of_week", ("mon", "tue", "wed", "thu", "fri")),
    Numeric("duration", low=0, high=18_000, whole=True),
    Numeric("campaign", low=1, high=100, whole=True),
    Numeric("pdays", low=0, high=NEVER_CONTACTED, whole=True),
    Numeric("previous", low=0, high=50, whole=True),
    Categorical("poutcome", ("failure", "nonexistent", "success")),
    *ECONOMIC_INDICATORS,
    Categorical(TARGET, (NEGATIVE, POSITIVE)),
)

# Columns that can never be a feature, with the reason.
LEAKING_COLUMNS = {
    TARGET: "it is the answer",
    "duration": "the length of a call is known only after the call",
}

DERIVED_FEATURES = (
    Indicator("no_previous_contact", "pdays", (NEVER_CONTACTED,)),
    Indicator("not_working", "job", ("student", "retired", "unemployed")),
)

RULES = (
    Rule(
        "loan_unknown_with_housing",
        when=Condition("housing", "==", UNKNOWN),
        then=Condition("loan", "==", UNKNOWN),
        severity="critical",
        reason="the two loans are known or unknown together",
    ),
    Rule(
        "housing_unknown_with_loan",
        when=Condition("loan", "==", UNKNOWN),
        then=Condition("housing", "==", UNKNOWN),
        severity="critical",
        reason="the two loans are known or unknown together",
    ),
    Rule(
        "no_outcome_without_contact",
        when=Condition("previous", "==", 0),
        then=Condition("poutcome", "==", "nonexistent"),
        severity="critical",
        reason="a customer who was never contacted has no earlier outcome",
    ),
    Rule(
        "outcome_after_contact",
        when=Condition("previous", ">", 0),
        then=Condition("poutcome", "!=", "nonexistent"),
        severity="critical",
        reason="a customer who was contacted before has an earlier outcome",
    ),
    Rule(
        "success_has_a_date",
        when=Condition("poutcome", "==", "success"),
        then=Condition("pdays", "<", NEVER_CONTACTED),
        severity="critical",
        reason="an earlier success lies a known number of days back",
    ),
    Rule(
        "contact_has_a_date",
        when=Condition("previous", ">", 0),
        then=Condition("pdays", "<", NEVER_CONTACTED),
        severity="warning",
        reason="a known contradiction of this table: earlier contacts without their date",
    ),
)


def feature_columns(*, economic_indicators: bool) -> tuple[Categorical | Numeric, ...]:
    """Return the raw columns that a model may read, numbers first, in a fixed order."""
    economic = {column.name for column in ECONOMIC_INDICATORS}
    columns = [
        column
        for column in COLUMNS
        if column.name not in LEAKING_COLUMNS
        and (economic_indicators or column.name not in economic)
    ]
    return (
        *(column for column in columns if isinstance(column, Numeric)),
        *(column for column in columns if isinstance(column, Categorical)),
    )
