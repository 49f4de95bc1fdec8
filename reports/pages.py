"""How values become sections, and sections a page that needs no other file."""

from typing import NamedTuple

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

_TEMPLATES = Environment(
    loader=PackageLoader("reports"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


class Section(NamedTuple):
    """One part of a page: how links name it, its heading, and what stands below that."""

    anchor: str
    title: str
    content: Markup


def render_section(template: str, *, anchor: str, title: str, **values: object) -> Section:
    """Fill a template whose headings start at `<h3>`."""
    content = _TEMPLATES.get_template(template).render(values)
    return Section(anchor, title, Markup(content))  # noqa: S704  # escaped by the template


def render_page(title: str, subtitle: str, *sections: Section) -> str:
    """Return one HTML document; more than one section gets a table of contents."""
    page = _TEMPLATES.get_template("page.html.j2")
    return page.render(title=title, subtitle=subtitle, sections=sections)
