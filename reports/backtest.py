"""The section that says what production would have seen, and how often to retrain."""

from functools import partial
from itertools import groupby
from typing import TYPE_CHECKING

from bank_marketing.backtest import Backtest, Baseline, Period
from reports.charts import ACCENT, CONTRAST, INK, MUTED, in_percent, svg
from reports.pages import Section, render_section

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_MISSING = float("nan")  # leaves a gap in a line


def backtest_section(backtest: Backtest) -> Section:
    years = groupby(backtest.periods, lambda period: period.year)
    return render_section(
        "backtest.html.j2",
        anchor="backtest",
        title="What would production have seen?",
        backtest=backtest,
        years={year: list(periods) for year, periods in years},
        chart=svg("ROC AUC through time", partial(_draw, backtest.periods), size=(10, 4.6)),
    )


def _draw(periods: tuple[Period, ...], axes: "Axes") -> None:
    """Draw each month's ROC-AUC above the share of its customers who subscribed."""
    at = range(len(periods))
    base_rates = [period.positives / period.rows for period in periods]
    axes.fill_between(
        at,
        base_rates,
        step="mid",
        color=MUTED,
        alpha=0.2,
        linewidth=0,
        label="share of subscribers",
    )
    axes.axhline(0.5, color=MUTED, linewidth=1)
    _draw_baseline(periods, "never_retrained", axes, color=MUTED, label="never retrained")
    _draw_baseline(
        periods, "logistic_regression", axes, color=CONTRAST, label="logistic regression"
    )
    _draw_model(periods, axes)
    retrained = [position for position, period in enumerate(periods) if period.trainings]
    axes.plot(
        retrained, [0.015] * len(retrained), "^", color=INK, markersize=4, label="model trained"
    )
    axes.set(
        title="ROC AUC by month",
        xticks=at,
        xticklabels=_tick_labels(periods),
        xlim=(-0.6, len(periods) - 0.4),
        ylim=(0, 1),
    )
    in_percent(axes.secondary_yaxis("right").yaxis)
    axes.legend(ncols=5, loc="lower center", bbox_to_anchor=(0.5, -0.32))


def _draw_model(periods: tuple[Period, ...], axes: "Axes") -> None:
    intervals = [period.metrics["roc_auc"] if period.metrics else None for period in periods]
    axes.errorbar(
        range(len(periods)),
        [interval.value if interval else _MISSING for interval in intervals],
        yerr=[
            [interval.value - interval.low if interval else _MISSING for interval in intervals],
            [interval.high - interval.value if interval else _MISSING for interval in intervals],
        ],
        fmt="o-",
        color=ACCENT,
        linewidth=2,
        elinewidth=1,
        markersize=4,
        label="this model",
    )


def _draw_baseline(
    periods: tuple[Period, ...], name: Baseline, axes: "Axes", *, color: str, label: str
) -> None:
    values = [period.baselines[name] if period.baselines else _MISSING for period in periods]
    axes.plot(range(len(periods)), values, "--", color=color, linewidth=1.5, label=label)


def _tick_labels(periods: tuple[Period, ...]) -> list[str]:
    """Name each month, and below the first of a year the year."""
    years = [0, *(period.year for period in periods)]
    return [
        period.month if period.year == before else f"{period.month}\nyear {period.year}"
        for before, period in zip(years[:-1], periods, strict=True)
    ]
