"""The section that says how good a model is: in words, in numbers, and in charts."""

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from bank_marketing.evaluation import Band, CalibrationBin, Curve, Evaluation, Interval
from reports.charts import ACCENT, CONTRAST, INK, MUTED, in_percent, svg
from reports.pages import Section, render_section

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_SMALLEST_LIFT_SHARE = 0.01  # above it, lift is a figure of chance


def evaluation_section(evaluation: Evaluation) -> Section:
    return render_section(
        "evaluation.html.j2",
        anchor="evaluation",
        title="How good is the model?",
        evaluation=evaluation,
        charts=_charts(evaluation),
    )


def evaluated_on(evaluation: Evaluation) -> str:
    """Say in words what the figures come from."""
    return (
        f"{evaluation.rows:,} customers the model had not seen, "
        f"{evaluation.positives:,} of them subscribers"
    )


def _charts(evaluation: Evaluation) -> dict[str, Markup]:
    confusion = evaluation.confusion
    tp, fp = confusion.true_positives.value, confusion.false_positives.value
    reached = tp / evaluation.positives
    others_called = fp / (evaluation.rows - evaluation.positives)
    called = (tp + fp) / evaluation.rows
    base_rate = evaluation.positives / evaluation.rows
    precision = evaluation.metrics["precision"].value
    return {
        "profit": svg("Profit", partial(_draw_profit, evaluation, called), size=(10, 3.6)),
        "gains": svg("Gains", partial(_draw_gains, evaluation, (called, reached))),
        "lift": svg("Lift", partial(_draw_lift, evaluation, called)),
        "roc": svg(
            "ROC",
            partial(
                _draw_curve_in_band,
                evaluation.roc,
                evaluation.roc_band,
                labels=("Share of subscribers reached", "Share of the others called"),
                chance=(0, 1),
                at_threshold=(others_called, reached),
            ),
        ),
        "precision_recall": svg(
            "Precision and recall",
            partial(
                _draw_curve_in_band,
                evaluation.precision_recall,
                evaluation.precision_recall_band,
                labels=("Share of calls that succeed", "Share of subscribers reached"),
                chance=(base_rate, base_rate),
                at_threshold=(reached, precision),
            ),
        ),
        "scores": svg("Scores", partial(_draw_scores, evaluation)),
        "calibration": svg("Calibration", partial(_draw_calibration, evaluation.calibration)),
    }


def _draw_curve_in_band(curve: Curve, band: Band, axes: "Axes", **options: Any) -> None:
    axes.fill_between(band.x, band.low, band.high, color=ACCENT, alpha=0.15, linewidth=0)
    _draw_curve(curve, axes, **options)


def _draw_curve(
    curve: Curve,
    axes: "Axes",
    *,
    labels: tuple[str, str],
    chance: tuple[float, float],
    at_threshold: tuple[float, float],
) -> None:
    """Draw `curve`, what chance gives from the left edge to the right, and the threshold."""
    title, x_label = labels
    axes.plot([0, 1], chance, color=MUTED, linestyle="--", label="random order")
    axes.plot(curve.x, curve.y, color=ACCENT, linewidth=2, label="this model")
    axes.plot(*at_threshold, "o", color=INK, label="at the threshold")
    axes.set(title=title, xlabel=x_label, xlim=(0, 1.01), ylim=(0, 1.01))
    in_percent(axes.xaxis, axes.yaxis)
    axes.legend()


def _draw_gains(evaluation: Evaluation, at_threshold: tuple[float, float], axes: "Axes") -> None:
    _fill_intervals(evaluation, [depth.reached for depth in evaluation.depths], axes)
    _draw_curve(
        evaluation.gains,
        axes,
        labels=("Share of subscribers reached", "Share of customers called, best score first"),
        chance=(0, 1),
        at_threshold=at_threshold,
    )


def _draw_profit(evaluation: Evaluation, called: float, axes: "Axes") -> None:
    """Draw what each share of calls brings, from the gains: deposits won less calls paid."""
    costs, gains = evaluation.costs, evaluation.gains
    value = costs.value_per_deposit * evaluation.positives / evaluation.rows
    profit = [value * y - costs.cost_per_call * x for x, y in zip(gains.x, gains.y, strict=True)]
    random_order = [0, value - costs.cost_per_call]
    axes.plot([0, 1], random_order, color=MUTED, linestyle="--", label="random order")
    _fill_intervals(evaluation, [depth.profit for depth in evaluation.depths], axes)
    axes.plot(gains.x, profit, color=ACCENT, linewidth=2, label="this model")
    axes.plot(called, evaluation.metrics["profit"].value, "o", color=INK, label="at the threshold")
    axes.set(
        title="Profit per customer",
        xlabel="Share of customers called, best score first",
        xlim=(0, 1.01),
    )
    in_percent(axes.xaxis)
    axes.legend()


def _draw_lift(evaluation: Evaluation, called: float, axes: "Axes") -> None:
    points = [
        (x, y / x)
        for x, y in zip(evaluation.gains.x, evaluation.gains.y, strict=True)
        if x >= _SMALLEST_LIFT_SHARE
    ]
    lifts = [
        Interval(**{name: bound / depth.share for name, bound in depth.reached})
        for depth in evaluation.depths
    ]
    axes.axhline(1, color=MUTED, linestyle="--", label="random order")
    _fill_intervals(evaluation, lifts, axes)
    axes.plot(*zip(*points, strict=True), color=ACCENT, linewidth=2, label="this model")
    if called:
        lift = evaluation.metrics["recall"].value / called
        axes.plot(called, lift, "o", color=INK, label="at the threshold")
    axes.set(
        title="Times as many subscribers as in random order",
        xlabel="Share of customers called, best score first",
        xlim=(0, 1.01),
    )
    axes.set_ylim(bottom=0)
    in_percent(axes.xaxis)
    axes.legend()


def _fill_intervals(evaluation: Evaluation, intervals: Sequence[Interval], axes: "Axes") -> None:
    axes.fill_between(
        [depth.share for depth in evaluation.depths],
        [interval.low for interval in intervals],
        [interval.high for interval in intervals],
        color=ACCENT,
        alpha=0.15,
        linewidth=0,
    )


def _draw_scores(evaluation: Evaluation, axes: "Axes") -> None:
    """Draw both groups as shares of themselves: one has several times as many customers."""
    scores = evaluation.scores
    bins = len(scores.positives)
    edges = [position / bins for position in range(bins + 1)]
    last = max(i for i in range(bins) if scores.positives[i] + scores.negatives[i])
    for counts, colour, label in (
        (scores.negatives, MUTED, "others"),
        (scores.positives, CONTRAST, "subscribers"),
    ):
        customers = sum(counts)
        shares = [count / customers for count in counts]
        axes.stairs(shares, edges, color=colour, fill=True, alpha=0.35)
        axes.stairs(shares, edges, color=colour, linewidth=1.5, label=label)
    axes.axvline(evaluation.threshold, color=INK, linewidth=1, linestyle=":", label="threshold")
    axes.set(
        title="Share of each group",
        xlabel="Predicted probability",
        xlim=(0, max(edges[last + 1], evaluation.threshold)),
    )
    in_percent(axes.xaxis, axes.yaxis)
    axes.legend()


def _draw_calibration(bins: tuple[CalibrationBin, ...], axes: "Axes") -> None:
    predicted = [bin_.predicted for bin_ in bins]
    observed = [bin_.observed.value for bin_ in bins]
    below = [bin_.observed.value - bin_.observed.low for bin_ in bins]
    above = [bin_.observed.high - bin_.observed.value for bin_ in bins]
    edge = 1.05 * max(*predicted, *(bin_.observed.high for bin_ in bins))
    axes.plot([0, edge], [0, edge], color=MUTED, linestyle="--", label="perfectly calibrated")
    axes.errorbar(
        predicted, observed, yerr=[below, above], fmt="o-", color=ACCENT, label="this model"
    )
    axes.set(
        title="Share that subscribed",
        xlabel="Predicted probability",
        xlim=(0, edge),
        ylim=(0, edge),
    )
    in_percent(axes.xaxis, axes.yaxis)
    axes.legend(loc="upper left")
