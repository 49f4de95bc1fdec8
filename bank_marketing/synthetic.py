"""A made-up table that behaves like the real one: offline, of any size, from a seed.

Kept from the real table:
    - the schema: columns, order, dtypes, categories, ranges; rows in date order;
    - the rules of `schema.RULES`, and the known contradiction (earlier contacts without a date);
    - the calendar: 26 months from May 2008 to November 2010, each with its share of the rows, its
      economic indicators, and its shares of "yes", of telephone calls and of known customers;
    - the customers: how common each job is, and the age, marital state and education of each job,
      apart for the mass lists and for the chosen lists that replaced them in 2009;
    - the difficulty: what models reach with and without the economic indicators and the duration,
      how much trees gain over a linear model, and how much is lost on later months.

Not kept: links between columns that are not named above (such as age with marital state within a
job), duplicate rows, the holes in the calendar's weeks, and calls of zero seconds. No row of the
real table is stored or copied: every figure is an aggregate.

Source:
    Aggregates of `bank-additional-full.csv` (cited in `schema`). `synthetic_calendar.csv` has one
    row per month: `rows` and `yes` as counted, `chosen` the part of the month (its end) that went
    to chosen lists, `calls` the mean of `campaign`, `default_unknown` a multiple of the customers'.
    `synthetic_customers.csv` has one row per list and job: shares, and percentiles of the age.
"""

from collections.abc import Iterable, Mapping
from importlib import resources
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.random import Generator
from numpy.typing import NDArray

from bank_marketing import schema

Floats = NDArray[np.float64]
Codes = NDArray[np.int8]  # positions in a column's categories
Flags = NDArray[np.bool_]
Values = dict[str, NDArray[Any]]  # by column: codes of its categories, or numbers

CATEGORIES = {
    column.name: column.categories
    for column in schema.COLUMNS
    if isinstance(column, schema.Categorical)
}

DAYS_PER_MONTH = 20  # working days, Monday first
AGE_PERCENTILES = (1, 10, 25, 50, 75, 90, 99)
IN_DEFAULT = 0.0001
HOUSING_AND_LOAN = {
    ("no", "no"): 0.390,
    ("no", "yes"): 0.062,
    ("yes", "no"): 0.434,
    ("yes", "yes"): 0.090,
    (schema.UNKNOWN, schema.UNKNOWN): 0.024,
}

CALLS_SPREAD = 1.03  # of the logarithm: the number of calls is a rounded-up log-normal
MOST_CALLS = 56
DATED_FAILURES = 0.033  # the other failures are the contradiction
LAST_CONTACT = {"failure": 0.87, "success": 0.63}  # chance that an earlier contact was the last
MOST_CONTACTS = 7
# Share of customers, per mille, by days since the earlier contact: 0, 1, ... 27.
DAYS_SINCE_CONTACT = (
    *(10, 17, 40, 290, 78, 30, 272, 40, 12, 42, 34, 18, 38, 24),
    *(13, 16, 7, 5, 5, 2, 1, 1, 2, 0, 0, 1, 1, 1),
)

# Log-odds of "yes" against the categories left out, on (mass, chosen) lists: a logistic regression
# with one intercept per month, fitted to 2008 (mass) and to 2009 and 2010 without April and May
# 2009 (chosen); small effects are left out. Three are raised from what was fitted, so that models
# score as on the real table: the telephone (-0.85) and a dated contact (0.94) on chosen lists, and
# being on a chosen list (2.2, from April and May 2009, which mix both kinds).
EFFECTS = {
    "job": {
        "blue-collar": (0.0, -0.19),
        "housemaid": (-0.28, -0.14),
        "retired": (0.33, -0.15),
        "student": (0.41, 0.0),
    },
    "education": {"basic.4y": (-0.22, 0.15)},
    "default": {schema.UNKNOWN: (0.0, -0.20)},
    "contact": {"telephone": (-0.34, -1.00)},
    "day_of_week": {
        "tue": (0.01, 0.49),
        "wed": (0.22, 0.51),
        "thu": (0.05, 0.42),
        "fri": (0.17, 0.47),
    },
    "poutcome": {"failure": (-0.55, -0.48), "success": (0.16, 0.31)},
}
DATED_CONTACT_EFFECT = (0.16, 1.30)
CALLS = (3, 5, 10)
CALLS_EFFECT = ((0.0, 0.0, -0.10), (0.0, -0.16, -0.80))  # at each of CALLS, linear in between
CHOSEN_EFFECT = 2.4
DAY_SPREAD = 0.30  # standard deviation of what a single day adds; 0.2 to 0.7 in most real months

# Logarithm of the seconds of a call. A "yes" takes the longer the less likely it was: the medians
# are 850 s in May 2008 (3 % yes) and 300 s in September 2010 (50 % yes).
NO_SECONDS, NO_SPREAD = 5.09, 0.79
YES_SECONDS, YES_SECONDS_PER_LOG_PROBABILITY, YES_SPREAD = 5.50, -0.37, 0.47
LONGEST_CALL = 4_918

ROUNDS = 12  # of adjusting the months' shares of "yes"


class _Calls(NamedTuple):
    """When each row was called, and from which kind of list; arrays of shape (rows,)."""

    calendar: pd.DataFrame
    month: NDArray[np.intp]  # row of `calendar`
    day: NDArray[np.int64]  # 0 to DAYS_PER_MONTH - 1
    chosen: Codes  # 0 mass, 1 chosen

    def of_month(self, figure: str) -> Floats:
        return self.calendar[figure].to_numpy(dtype=np.float64)[self.month]


def make_table(*, rows: int, seed: int) -> pd.DataFrame:
    """Make `rows` rows with the columns, dtypes and behaviour of the real table.

    The same `rows` and `seed` give the same table with any Python version; NumPy keeps its
    streams of random numbers from release to release, but does not promise to.
    """
    rng = np.random.default_rng(seed)
    calls = _schedule(_read("synthetic_calendar.csv"), rows)

    values = _timing(calls) | _customers(rng, calls) | _contacts(rng, calls)
    probability = _probability(_scores(rng, calls, values), calls)
    yes = rng.random(rows) < probability
    values[schema.TARGET] = _codes(schema.TARGET, {schema.POSITIVE: yes}, otherwise=schema.NEGATIVE)
    values["duration"] = _seconds(rng, yes, probability)

    return pd.DataFrame({column.name: _typed(column, values) for column in schema.COLUMNS})


def _read(name: str) -> pd.DataFrame:
    with resources.files("bank_marketing").joinpath(name).open(encoding="utf-8") as file:
        return pd.read_csv(file)


def _schedule(calendar: pd.DataFrame, rows: int) -> _Calls:
    """Spread the rows evenly over the calendar: what a month gets does not depend on chance."""
    counts = calendar["rows"].to_numpy()
    ends = counts.cumsum()
    at = (np.arange(rows) + 0.5) / rows * ends[-1]
    month = np.searchsorted(ends, at, side="right")
    part = (at - (ends - counts)[month]) / counts[month]  # of the month, 0 <= part < 1

    day = (part * DAYS_PER_MONTH).astype(np.int64)
    chosen = part >= 1 - calendar["chosen"].to_numpy()[month]
    return _Calls(calendar, month, day, chosen.astype(np.int8))


def _timing(calls: _Calls) -> Values:
    """Return month, weekday and the economy; the interest rate moves from day to day."""
    values: Values = {
        indicator.name: calls.of_month(indicator.name)
        for indicator in schema.ECONOMIC_INDICATORS
        if indicator.name != "euribor3m"
    }
    first, last = calls.of_month("euribor_first"), calls.of_month("euribor_last")
    values["euribor3m"] = (first + (last - first) * calls.day / (DAYS_PER_MONTH - 1)).round(3)
    values["month"] = _positions("month", calls.calendar["month"])[calls.month]
    values["day_of_week"] = calls.day % len(CATEGORIES["day_of_week"])
    return values


def _customers(rng: Generator, calls: _Calls) -> Values:
    """Draw the job from the list, and what depends on the job."""
    customers = _read("synthetic_customers.csv")
    jobs = len(CATEGORIES["job"])
    job = _draw(rng, customers["share"].to_numpy().reshape(2, jobs), calls.chosen)
    group = calls.chosen * jobs + job  # row of `customers`

    unknown = customers["default_unknown"].to_numpy()[group] * calls.of_month("default_unknown")
    luck = rng.random(len(group))
    loans = _draw(rng, np.array([list(HOUSING_AND_LOAN.values())]), np.zeros_like(group))
    return {
        "age": _ages(rng, customers.filter(like="age_p").to_numpy(), group),
        "job": job,
        "marital": _draw(rng, customers.filter(like="marital=").to_numpy(), group),
        "education": _draw(rng, customers.filter(like="education=").to_numpy(), group),
        "default": _codes(
            "default",
            {schema.UNKNOWN: luck < unknown, "yes": luck > 1 - IN_DEFAULT},
            otherwise="no",
        ),
        "housing": _positions("housing", [housing for housing, _ in HOUSING_AND_LOAN])[loans],
        "loan": _positions("loan", [loan for _, loan in HOUSING_AND_LOAN])[loans],
    }


def _ages(rng: Generator, percentiles: Floats, group: Codes) -> Floats:
    """Draw from each group's percentiles, linear in between; the outer 1 % are not drawn."""
    at = np.array(AGE_PERCENTILES) / 100
    drawn = rng.uniform(at[0], at[-1], len(group))
    upper = np.searchsorted(at[1:-1], drawn, side="right") + 1
    part = (drawn - at[upper - 1]) / (at[upper] - at[upper - 1])
    low, high = percentiles[group, upper - 1], percentiles[group, upper]
    return np.rint(low + (high - low) * part)


def _contacts(rng: Generator, calls: _Calls) -> Values:
    """Draw the calls of this campaign and the outcome of earlier ones."""
    rows = len(calls.month)
    # 0.5 is what rounding up adds to the mean; the mean of exp(N(m, s)) is exp(m + s**2 / 2).
    location = np.log(calls.of_month("calls") - 0.5) - CALLS_SPREAD**2 / 2
    count = np.ceil(np.exp(location + CALLS_SPREAD * rng.standard_normal(rows)))

    luck = rng.random(rows)
    success = luck < calls.of_month("success")
    failure = ~success & (luck < calls.of_month("contacted_before"))
    dated = success | (failure & (rng.random(rows) < DATED_FAILURES))
    days = _draw(rng, np.array([DAYS_SINCE_CONTACT]), np.zeros(rows, dtype=np.int8))
    last = np.where(success, LAST_CONTACT["success"], LAST_CONTACT["failure"])
    previous = np.minimum(rng.geometric(last), MOST_CONTACTS)
    return {
        "contact": _codes(
            "contact",
            {"telephone": rng.random(rows) < calls.of_month("telephone")},
            otherwise="cellular",
        ),
        "campaign": np.minimum(count, MOST_CALLS),
        "pdays": np.where(dated, days.astype(np.int64), schema.NEVER_CONTACTED),
        "previous": np.where(success | failure, previous, 0),
        "poutcome": _codes(
            "poutcome", {"success": success, "failure": failure}, otherwise="nonexistent"
        ),
    }


def _scores(rng: Generator, calls: _Calls, values: Values) -> Floats:
    """Add up the log-odds of "yes" of each row, without its month's intercept."""
    days = rng.normal(0, DAY_SPREAD, (len(calls.calendar), DAYS_PER_MONTH))
    scores = days[calls.month, calls.day] + CHOSEN_EFFECT * calls.chosen
    for column, effects in EFFECTS.items():
        table = np.array([effects.get(name, (0.0, 0.0)) for name in CATEGORIES[column]])
        scores += table[values[column], calls.chosen]
    dated = values["pdays"] != schema.NEVER_CONTACTED
    scores += np.array(DATED_CONTACT_EFFECT)[calls.chosen] * dated
    mass, chosen = (np.interp(values["campaign"], CALLS, effect) for effect in CALLS_EFFECT)
    return scores + np.where(calls.chosen, chosen, mass)


def _probability(scores: Floats, calls: _Calls) -> Floats:
    """Turn scores into probabilities whose mean in each month is the calendar's share of "yes".

    Moves each month's intercept by the error of the mean's log-odds. A round leaves about a
    quarter of the error, twelve leave less than one in a million.
    """
    present, month = np.unique(calls.month, return_inverse=True)
    rows = np.bincount(month)
    wanted = _log_odds(calls.calendar["yes"].to_numpy()[present])
    intercepts = wanted.copy()
    for _ in range(ROUNDS):
        mean = np.bincount(month, _logistic(scores + intercepts[month])) / rows
        intercepts += wanted - _log_odds(mean)
    return _logistic(scores + intercepts[month])


def _seconds(rng: Generator, yes: Flags, probability: Floats) -> Floats:
    yes_location = YES_SECONDS + YES_SECONDS_PER_LOG_PROBABILITY * np.log(probability)
    location = np.where(yes, yes_location, NO_SECONDS)
    spread = np.where(yes, YES_SPREAD, NO_SPREAD)
    seconds = np.exp(location + spread * rng.standard_normal(len(yes)))
    return np.minimum(np.floor(seconds), LONGEST_CALL)


def _draw(rng: Generator, shares: Floats, group: Codes) -> Codes:
    """Draw one position per row from the row of `shares`, shape (groups, k), that is its group."""
    ends = shares.cumsum(axis=1) / shares.sum(axis=1, keepdims=True)
    drawn = rng.random(len(group))
    positions = np.zeros(len(group), dtype=np.int8)
    for end in ends.T[:-1]:
        positions += drawn >= end[group]
    return positions


def _positions(column: str, names: Iterable[str]) -> Codes:
    return np.array([CATEGORIES[column].index(name) for name in names], dtype=np.int8)


def _codes(column: str, cases: Mapping[str, Flags], *, otherwise: str) -> Codes:
    """Code each row by the first of `cases` that holds for it."""
    *codes, default = _positions(column, (*cases, otherwise))
    return np.select(list(cases.values()), codes, default)


def _typed(column: schema.Categorical | schema.Numeric, values: Values) -> pd.Series:
    drawn = values[column.name]
    if isinstance(column, schema.Numeric):
        return pd.Series(drawn.astype(column.dtype))
    return pd.Series(pd.array(list(column.categories), dtype="str").take(drawn))


def _log_odds(probability: Floats) -> Floats:
    return np.log(probability / (1 - probability))


def _logistic(score: Floats) -> Floats:
    return 1 / (1 + np.exp(-score))
