"""The page that says how good a model is: in words, in numbers, and in four charts."""

import re
from collections.abc import Callable
from functools import partial
from io import StringIO
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from bank_marketing.evaluation import CalibrationBin, Curve, Evaluation

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_TEMPLATES = Environment(
    loader=PackageLoader("reports"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)

# matplotlib takes fixed colours only: these stand in for the page's, which follow light and dark.
_INK, _ACCENT, _MUTED = "#010101", "#020202", "#030303"
_PAGE_COLOURS = {_INK: "currentColor", _ACCENT: "var(--accent)", _MUTED: "var(--muted)"}

# Any: the newest matplotlib types each key, the older ones none.
_STYLE: dict[Any, Any] = {
    "axes.edgecolor": _MUTED,
    "axes.grid": True,
    "axes.labelcolor": _INK,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlecolor": _INK,
    "axes.titlelocation": "left",
    "axes.titlesize": "medium",
    "grid.alpha": 0.25,
    "grid.color": _MUTED,
    "svg.fonttype": "none",
    "text.color": _INK,
    "xaxis.labellocation": "right",
    "xtick.color": _MUTED,
    "xtick.labelcolor": _INK,
    "ytick.color": _MUTED,
    "ytick.labelcolor": _INK,
}


def render_evaluation(evaluation: Evaluation) -> str:
    """Return one HTML document that needs no other file; equal evaluations give equal pages."""
    page = _TEMPLATES.get_template("evaluation.html.j2")
    return page.render(evaluation=evaluation, charts=_charts(evaluation))


def _charts(evaluation: Evaluation) -> dict[str, str]:
    confusion = evaluation.confusion
    tp, fp = confusion.true_positives.value, confusion.false_positives.value
    reached = tp / evaluation.positives
    others_called = fp / (evaluation.rows - evaluation.positives)
    called = (tp + fp) / evaluation.rows
    base_rate = evaluation.positives / evaluation.rows
    precision = evaluation.metrics["precision"].value
    return {
        "gains": _svg(
            "Share of subscribers reached",
            "Share of customers called, best score first",
            partial(_draw_curve, evaluation.gains, chance=(0, 1), at_threshold=(called, reached)),
        ),
        "calibration": _svg(
            "Share that subscribed",
            "Predicted probability",
            partial(_draw_calibration, evaluation.calibration),
        ),
        "roc": _svg(
            "Share of subscribers reached",
            "Share of the others called",
            partial(
                _draw_curve, evaluation.roc, chance=(0, 1), at_threshold=(others_called, reached)
            ),
        ),
        "precision_recall": _svg(
            "Share of calls that succeed",
            "Share of subscribers reached",
            partial(
                _draw_curve,
                evaluation.precision_recall,
                chance=(base_rate, base_rate),
                at_threshold=(reached, precision),
            ),
        ),
    }


def _draw_curve(
    curve: Curve,
    axes: "Axes",
    *,
    chance: tuple[float, float],
    at_threshold: tuple[float, float],
) -> None:
    """Draw `curve`, what chance gives from the left edge to the right, and the threshold."""
    axes.plot([0, 1], chance, color=_MUTED, linestyle="--", label="random order")
    axes.plot(curve.x, curve.y, color=_ACCENT, linewidth=2, label="this model")
    axes.plot(*at_threshold, "o", color=_INK, label="at the threshold")
    axes.set(xlim=(0, 1.01), ylim=(0, 1.01))
    axes.legend(frameon=False)


def _draw_calibration(bins: tuple[CalibrationBin, ...], axes: "Axes") -> None:
    predicted = [bin_.predicted for bin_ in bins]
    observed = [bin_.observed.value for bin_ in bins]
    below = [bin_.observed.value - bin_.observed.low for bin_ in bins]
    above = [bin_.observed.high - bin_.observed.value for bin_ in bins]
    edge = 1.05 * max(*predicted, *(bin_.observed.high for bin_ in bins))
    axes.plot([0, edge], [0, edge], color=_MUTED, linestyle="--", label="perfectly calibrated")
    axes.errorbar(
        predicted, observed, yerr=[below, above], fmt="o-", color=_ACCENT, label="this model"
    )
    axes.set(xlim=(0, edge), ylim=(0, edge))
    axes.legend(frameon=False, loc="upper left")


def _svg(y_label: str, x_label: str, draw: Callable[["Axes"], None]) -> str:
    """Return a chart as an `<svg>` element in the colours of the page."""
    import matplotlib as mpl  # takes half a second, which only those who draw should pay
    from matplotlib.figure import Figure
    from matplotlib.ticker import PercentFormatter

    # The salt keeps the identifiers equal from run to run, and apart within the page.
    with mpl.rc_context({**_STYLE, "svg.hashsalt": y_label + x_label}):
        figure = Figure(figsize=(5, 4), layout="constrained")
        axes = figure.subplots()
        draw(axes)
        axes.set_title(y_label)
        axes.set_xlabel(x_label)
        axes.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
        axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
        file = StringIO()
        no_metadata = dict.fromkeys(("Creator", "Date", "Format", "Type"))
        figure.savefig(file, format="svg", transparent=True, metadata=no_metadata)
    return _inline(file.getvalue())


def _inline(document: str) -> str:
    """Make an SVG file fit to stand within a page that holds others."""
    svg = document[document.index("<svg") :]
    svg = re.sub(r'<g id="[^"]*"', "<g", svg)  # the same names in every chart
    for stand_in, colour in _PAGE_COLOURS.items():
        svg = svg.replace(stand_in, colour)
    return svg
