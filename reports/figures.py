"""The charts of a page as files of their own, for those who collect figures."""

import re
from html import unescape

from reports.charts import PAGE_COLOURS

# What the page's colours are on paper; an image cannot follow the page that shows it.
_ON_WHITE = {
    "currentColor": "#1c2430",
    "var(--accent)": "#1f5fd0",
    "var(--contrast)": "#c2540a",
    "var(--muted)": "#667085",
}
_CHART = re.compile(r'<svg role="img" aria-label="([^"]*)".*?</svg>', re.DOTALL)


def figures(page: str) -> dict[str, str]:
    """Return each chart of `page` as an SVG document by file name; nothing is drawn again."""
    return {f"{_file_name(chart[1])}.svg": _alone(chart[0]) for chart in _CHART.finditer(page)}


def _file_name(label: str) -> str:
    return re.sub(r"\W+", "-", unescape(label).lower()).strip("-")


def _alone(chart: str) -> str:
    for colour in PAGE_COLOURS.values():
        chart = chart.replace(colour, _ON_WHITE[colour])
    return chart.replace("<svg ", '<svg style="background: white" ', 1)
