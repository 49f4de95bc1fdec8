"""Charts as inline SVG that take their colours from the page around them."""

import re
from collections.abc import Callable
from io import StringIO
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis

# matplotlib takes fixed colours only: these stand in for the page's, which follow light and dark.
INK, ACCENT, CONTRAST, MUTED = "#010101", "#020202", "#030303", "#040404"
PAGE_COLOURS = {
    INK: "currentColor",
    ACCENT: "var(--accent)",
    CONTRAST: "var(--contrast)",
    MUTED: "var(--muted)",
}

# Any: the newest matplotlib types each key, the older ones none.
_STYLE: dict[Any, Any] = {
    "axes.edgecolor": MUTED,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.labelcolor": INK,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlecolor": INK,
    "axes.titlelocation": "left",
    "axes.titlesize": "medium",
    "grid.alpha": 0.25,
    "grid.color": MUTED,
    "legend.frameon": False,
    "svg.fonttype": "none",
    "text.color": INK,
    "xaxis.labellocation": "right",
    "xtick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.color": MUTED,
    "ytick.labelcolor": INK,
}


def svg(name: str, draw: Callable[["Axes"], None], *, size: tuple[float, float] = (5, 4)) -> Markup:
    """Return what `draw` draws as an `<svg>` element.

    Args:
        name: What the chart is called where it cannot be seen; unique within the page, and what
            keeps the identifiers within it equal from run to run.
        draw: Draws in `INK`, `ACCENT`, `CONTRAST` and `MUTED`, and labels the axes.
        size: Width and height in inches, which decide how large the text is within the chart.
    """
    import matplotlib as mpl  # takes half a second, which only those who draw should pay
    from matplotlib.figure import Figure

    with mpl.rc_context({**_STYLE, "svg.hashsalt": name}):
        figure = Figure(figsize=size, layout="constrained")
        draw(figure.subplots())
        file = StringIO()
        no_metadata = dict.fromkeys(("Creator", "Date", "Format", "Type"))
        figure.savefig(file, format="svg", transparent=True, metadata=no_metadata)
    return _inline(file.getvalue(), name)


def in_percent(*axes: "Axis") -> None:
    """Write the shares on these axes as whole percentages."""
    from matplotlib.ticker import PercentFormatter

    for axis in axes:
        axis.set_major_formatter(PercentFormatter(1, decimals=0))


def _inline(document: str, name: str) -> Markup:
    """Make an SVG file fit to stand within a page that holds others."""
    drawing = document[document.index("<svg") + len("<svg") :]
    drawing = re.sub(r'<g id="[^"]*"', "<g", drawing)  # the same names in every chart
    for stand_in, colour in PAGE_COLOURS.items():
        drawing = drawing.replace(stand_in, colour)
    # Text from data is escaped by matplotlib.
    return Markup('<svg role="img" aria-label="{}"').format(name) + Markup(drawing)  # noqa: S704
