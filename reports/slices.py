"""The section that says for whom a model works, and on whom its decisions fall."""

from functools import partial
from itertools import groupby
from typing import TYPE_CHECKING

from markupsafe import Markup

from bank_marketing.evaluation import Interval
from bank_marketing.slices import FOUR_FIFTHS, Slice, Slices
from reports.charts import ACCENT, CONTRAST, MUTED, svg
from reports.pages import Section, render_section

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def slices_section(slices: Slices) -> Section:
    columns = {
        column: list(group) for column, group in groupby(slices.slices, lambda each: each.column)
    }
    return render_section(
        "slices.html.j2",
        anchor="slices",
        title="For whom does it work?",
        slices=slices,
        columns=columns,
        judged=sum(each.figures is not None for each in slices.slices),
        four_fifths=FOUR_FIFTHS,
        charts={
            column: _forest(column, levels, slices)
            for column, levels in columns.items()
            if any(level.figures for level in levels)
        },
    )


def _forest(column: str, levels: list[Slice], slices: Slices) -> Markup:
    remarkable = {finding.level for finding in slices.findings if finding.column == column}
    lines = [
        (level.level, level.figures.roc_auc, CONTRAST if level.level in remarkable else ACCENT)
        for level in levels
        if level.figures
    ]
    height = 1 + 0.3 * len(lines)  # inches: the same distance between lines in every chart
    return svg(f"ROC AUC by {column}", partial(_draw_forest, lines, slices), size=(5, height))


def _draw_forest(lines: list[tuple[str, Interval, str]], slices: Slices, axes: "Axes") -> None:
    """Draw a line per level, first on top, on a scale that all columns share."""
    for position, (_, interval, colour) in enumerate(lines):
        axes.plot([interval.low, interval.high], [position, position], color=colour)
        axes.plot(interval.value, position, "o", color=colour)
    axes.axvline(slices.overall.roc_auc.value, color=MUTED, linestyle="--")
    axes.set(
        xlabel="ROC AUC",
        xlim=_scale(slices),
        yticks=range(len(lines)),
        yticklabels=[level for level, _, _ in lines],
        ylim=(len(lines) - 0.4, -0.6),
    )


def _scale(slices: Slices) -> tuple[float, float]:
    intervals = [each.figures.roc_auc for each in slices.slices if each.figures]
    low, high = min(each.low for each in intervals), max(each.high for each in intervals)
    return low - 0.02, high + 0.02
