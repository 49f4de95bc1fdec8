"""The section that says what a model looks at: over all customers, and in five of them."""

import math
from functools import partial
from itertools import accumulate
from typing import TYPE_CHECKING

from markupsafe import Markup

from bank_marketing.explanation import ColumnEffect, ExplainedCustomer, Explanation
from reports.charts import ACCENT, CONTRAST, INK, MUTED, in_percent, svg
from reports.pages import Section, render_section

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis

_DEPENDENCE_CHARTS = 6
_STEPS = 8  # of a customer's score that are drawn one by one; the smaller ones stand together
_ROUND = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, *(n / 10 for n in range(1, 10)), 0.95, 0.98, 0.99)
_FINE = (*(n / 1000 for n in range(1, 10)), *(n / 100 for n in range(1, 100)))
_MAX_TICKS = 6


def explanation_section(explanation: Explanation) -> Section:
    """Show also the raw values of the explained customers: settle first who may see them."""
    return render_section(
        "explanation.html.j2",
        anchor="explanation",
        title="What does it look at?",
        explanation=explanation,
        importance=svg(
            "Importance of the columns",
            partial(_draw_importance, explanation.columns),
            size=(8, 0.9 + 0.32 * len(explanation.columns)),
        ),
        dependence=_dependence_charts(explanation.columns[:_DEPENDENCE_CHARTS]),
        customers=[
            (customer, _customer_chart(explanation.base, customer))
            for customer in explanation.customers
        ],
    )


def _draw_importance(columns: tuple[ColumnEffect, ...], axes: "Axes") -> None:
    """Draw both measures as shares of their sums, which makes them comparable."""
    total = sum(column.contribution for column in columns) or 1.0  # trees without a split
    positions = range(len(columns))
    axes.barh(
        [position - 0.18 for position in positions],
        [column.contribution / total for column in columns],
        height=0.36,
        color=ACCENT,
        label="share of what moves the scores",
    )
    axes.barh(
        [position + 0.18 for position in positions],
        [column.gain for column in columns],
        height=0.36,
        color=MUTED,
        alpha=0.5,
        label="share of what was gained in training",
    )
    axes.set_yticks(positions, [column.column for column in columns])
    axes.invert_yaxis()
    axes.grid(visible=False, axis="y")
    in_percent(axes.xaxis)
    axes.legend(loc="lower right")


def _dependence_charts(columns: tuple[ColumnEffect, ...]) -> list[Markup]:
    """Draw the columns on one scale, so that their effects can be compared."""
    points = [point for column in columns for point in column.points]
    limits = (
        min(-math.log(2), *(point.low for point in points)) - 0.1,
        max(math.log(2), *(point.high for point in points)) + 0.1,
    )
    return [
        svg(
            f"Effect of {column.column}",
            partial(_draw_dependence, column, limits),
            size=(4.5, 1 + 0.24 * len(column.points)),
        )
        for column in columns
    ]


def _draw_dependence(column: ColumnEffect, limits: tuple[float, float], axes: "Axes") -> None:
    positions = range(len(column.points))
    axes.axvline(0, color=MUTED, linewidth=1)
    axes.hlines(
        positions,
        [point.low for point in column.points],
        [point.high for point in column.points],
        color=ACCENT,
        alpha=0.4,
        linewidth=5,
    )
    axes.plot([point.contribution for point in column.points], positions, "o", color=ACCENT)
    axes.set_yticks(positions, [f"{point.label} ({point.rows:,})" for point in column.points])
    axes.set(title=column.column, xlabel="Effect on the odds", xlim=limits)
    axes.set_ylim(len(column.points) - 0.4, -0.6)
    _in_factors(axes.xaxis)


def _customer_chart(base: float, customer: ExplainedCustomer) -> Markup:
    return svg(
        f"Score of customer {customer.row}",
        partial(_draw_customer, base, customer),
        size=(10, 3.6) if customer.highest_score else (5, 4),
    )


def _draw_customer(base: float, customer: ExplainedCustomer, axes: "Axes") -> None:
    """Draw how the score moves, value by value, from the base to the customer's own."""
    steps = [
        (f"{step.column} = {step.value}", step.log_odds) for step in customer.contributions[:_STEPS]
    ]
    if rest := customer.contributions[_STEPS:]:
        steps.append((f"{len(rest)} others", sum(step.log_odds for step in rest)))
    labels, moves = zip(*steps, strict=True)
    levels = list(accumulate(moves, initial=base))
    positions = range(1, len(moves) + 1)
    last = len(moves) + 1

    colours = [CONTRAST if move > 0 else ACCENT for move in moves]
    axes.barh(positions, moves, left=levels[:-1], height=0.6, color=colours)
    axes.vlines(levels, range(last), range(1, last + 1), color=MUTED, linewidth=1)
    axes.plot([levels[0], levels[-1]], [0, last], "o", color=INK)
    axes.set_yticks(range(last + 1), ["usual score", *labels, "this customer"])
    axes.invert_yaxis()
    axes.grid(visible=False, axis="y")
    axes.set_xlabel("Probability before calibration")
    axes.use_sticky_edges = False
    axes.autoscale_view()
    _in_probabilities(axes.xaxis)


def _in_factors(axis: "Axis") -> None:
    """Write log-odds as what they do to the odds: doublings and halvings."""
    from matplotlib.ticker import FuncFormatter, MultipleLocator

    def factor(log_odds: float, _position: int) -> str:
        doublings = round(log_odds / math.log(2))
        return f"\N{MULTIPLICATION SIGN}{2**doublings}" if doublings >= 0 else f"÷{2**-doublings}"

    axis.set_major_locator(MultipleLocator(math.log(2)))
    axis.set_major_formatter(FuncFormatter(factor))


def _in_probabilities(axis: "Axis") -> None:
    """Write log-odds as probabilities, at a few of those in view."""
    low, high = (1 / (1 + math.exp(-bound)) for bound in axis.get_view_interval())
    rounded, fine = ([p for p in ps if low <= p <= high] for ps in (_ROUND, _FINE))
    ticks = rounded if len(rounded) > 2 else fine
    ticks = ticks[:: len(ticks) // (_MAX_TICKS + 1) + 1]
    axis.set_ticks([math.log(p / (1 - p)) for p in ticks], labels=[f"{100 * p:g}%" for p in ticks])
