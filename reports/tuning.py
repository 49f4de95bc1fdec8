"""The section that says how hyperparameters were found, and what it was that mattered."""

import math
from functools import partial
from itertools import accumulate
from typing import TYPE_CHECKING, NamedTuple

from markupsafe import Markup

from bank_marketing.config import Range
from bank_marketing.tuning import Trial, Tuning, comparable_values, importances
from reports.charts import ACCENT, CONTRAST, MUTED, in_percent, svg
from reports.pages import Section, render_page, render_section

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_METRICS = {"log_loss": "log loss", "roc_auc": "ROC AUC"}
_TABLE_ROWS = 20
_HIGHLIGHTED = 10
_LOG_TICKS = [digit * 10.0**power for power in range(-6, 7) for digit in (1, 2, 5)]


class _Ranked(NamedTuple):
    """A trial that was trained, with its value as if on all folds."""

    trial: Trial
    value: float

    @property
    def colour(self) -> str:
        return ACCENT if self.trial.state == "complete" else MUTED


def render_tuning(tuning: Tuning) -> str:
    """Return one HTML document that needs no other file; equal searches give equal pages."""
    count = len(tuning.trials)
    return render_page(
        "Tuning of the model",
        f"{count:,} {'trial' if count == 1 else 'trials'}, each cross-validated on up to "
        f"{tuning.folds} folds of the training set",
        tuning_section(tuning),
    )


def tuning_section(tuning: Tuning) -> Section:
    """Show the result in words, what it was found by, and all trials, the best ones first."""
    first = next((each for each in tuning.trials if each.state == "complete"), None)
    ranked = _rank(tuning)
    shares = importances(tuning)
    return render_section(
        "tuning.html.j2",
        anchor="tuning",
        title="How was it tuned?",
        tuning=tuning,
        metric=_METRICS[tuning.metric],
        first=first,
        wins=_wins(tuning, first),
        ranked=ranked,
        table_rows=_TABLE_ROWS,
        importances=shares,
        charts=_charts(tuning, ranked, shares) if ranked else {},
    )


def _wins(tuning: Tuning, first: Trial | None) -> int | None:
    """Count the folds on which the best trial beats `first`, where single folds are known."""
    if tuning.best is None or first is None or not (tuning.best.fold_values and first.fold_values):
        return None
    pairs = zip(tuning.best.fold_values, first.fold_values, strict=True)
    return sum(a > b if tuning.metric == "roc_auc" else a < b for a, b in pairs)


def _rank(tuning: Tuning) -> list[_Ranked]:
    """Put trials that came through before those given up, and the best first in either."""
    values = comparable_values(tuning)
    sign = -1 if tuning.metric == "roc_auc" else 1
    ranked = [
        _Ranked(trial, values[trial.number]) for trial in tuning.trials if trial.number in values
    ]
    return sorted(ranked, key=lambda each: (each.trial.state != "complete", sign * each.value))


def _charts(tuning: Tuning, ranked: list[_Ranked], shares: dict[str, float]) -> dict[str, Markup]:
    charts = {
        "history": svg(
            "History of the search", partial(_draw_history, tuning, ranked), size=(10, 3.4)
        ),
        "parallel": svg(
            "Parallel coordinates of the trials",
            partial(_draw_parallel, tuning.search_space, ranked),
            size=(10, 4),
        ),
    }
    if shares:
        charts["importance"] = svg(
            "Importance of the hyperparameters",
            partial(_draw_importance, shares),
            size=(8, 0.9 + 0.3 * len(shares)),
        )
    for each in tuning.search_space:
        draw = partial(_draw_slice, tuning, ranked, each)
        charts[each.name] = svg(f"Trials by {each.name}", draw, size=(5, 2.8))
    return charts


def _draw_history(tuning: Tuning, ranked: list[_Ranked], axes: "Axes") -> None:
    for state, label in ("pruned", "given up early"), ("complete", "on all folds"):
        points = [each for each in ranked if each.trial.state == state]
        axes.scatter(
            [each.trial.number for each in points],
            [each.value for each in points],
            s=22,
            color=[each.colour for each in points],
            label=label,
        )
    complete = sorted(
        (each.trial.number, each.value) for each in ranked if each.trial.state == "complete"
    )
    numbers = [number for number, _ in complete]
    best = max if tuning.metric == "roc_auc" else min
    so_far = list(accumulate((value for _, value in complete), best))
    last = max(each.trial.number for each in ranked)
    axes.step(
        [*numbers, last], [*so_far, so_far[-1]], where="post", color=CONTRAST, label="best so far"
    )
    axes.set_xlabel("Trial")
    axes.locator_params(axis="x", integer=True)
    axes.set_title(_METRICS[tuning.metric])
    _focus(axes, ranked)
    axes.legend(ncols=3, loc="lower right", bbox_to_anchor=(1, 1))


def _draw_importance(shares: dict[str, float], axes: "Axes") -> None:
    axes.barh(list(shares), list(shares.values()), height=0.6, color=ACCENT)
    axes.invert_yaxis()
    axes.grid(visible=False, axis="y")
    in_percent(axes.xaxis)


def _draw_parallel(search_space: tuple[Range, ...], ranked: list[_Ranked], axes: "Axes") -> None:
    """Draw each trial as a line through its place in every range, the best ones on top."""
    positions = range(len(search_space))
    for place, (trial, _) in reversed(list(enumerate(ranked))):
        axes.plot(
            positions,
            [_place(each, trial.hyperparameters[each.name]) for each in search_space],
            color=CONTRAST if place == 0 else ACCENT if place < _HIGHLIGHTED else MUTED,
            linewidth=2.5 if place == 0 else 1,
            alpha=1 if place == 0 else 0.6 if place < _HIGHLIGHTED else 0.25,
        )
    axes.set_xticks(
        positions,
        [f"{each.low:g}\n{each.name.replace('_', ' ')}" for each in search_space],
    )
    for position, each in enumerate(search_space):
        axes.annotate(
            f"{each.high:g}", (position, 1), (0, 6), textcoords="offset points", ha="center"
        )
    axes.set_yticks([])
    axes.set_ylim(-0.02, 1.02)
    axes.spines[["left", "bottom"]].set_visible(False)


def _draw_slice(tuning: Tuning, ranked: list[_Ranked], searched: Range, axes: "Axes") -> None:
    axes.scatter(
        [each.trial.hyperparameters[searched.name] for each in ranked],
        [each.value for each in ranked],
        s=[60 if place == 0 else 18 for place in range(len(ranked))],
        color=[CONTRAST if place == 0 else each.colour for place, each in enumerate(ranked)],
    )
    axes.set_title(_METRICS[tuning.metric])
    axes.set_xlabel(searched.name)
    _focus(axes, ranked)
    if searched.scale == "log":
        ticks = [tick for tick in _LOG_TICKS if searched.low <= tick <= searched.high]
        axes.set_xscale("log")
        axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
        axes.set_xticks([], minor=True)


def _place(searched: Range, value: float) -> float:
    """Say where in its range a value lies, from 0 to 1."""
    if searched.scale == "log":
        return math.log(value / searched.low) / math.log(searched.high / searched.low)
    return (value - searched.low) / (searched.high - searched.low)


def _focus(axes: "Axes", ranked: list[_Ranked]) -> None:
    """Put the worst tenth out of sight, which would press the others into a line."""
    by_distance = sorted((abs(each.value - ranked[0].value), each.value) for each in ranked)
    seen = [value for _, value in by_distance[: math.ceil(0.9 * len(by_distance))]]
    margin = 0.08 * (max(seen) - min(seen)) or 0.01
    axes.set_ylim(min(seen) - margin, max(seen) + margin)
