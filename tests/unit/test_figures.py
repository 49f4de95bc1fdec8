"""The charts of a page as files: complete, and in colours that stand by themselves."""

import re
from xml.etree import ElementTree

import pytest

from reports.charts import ACCENT, INK, PAGE_COLOURS, svg
from reports.figures import figures

SVG = "{http://www.w3.org/2000/svg}"


def draw(axes):
    axes.plot([0, 1], [0, 1], color=ACCENT)
    axes.annotate("a < b", (0.5, 0.5), color=INK)


@pytest.fixture(scope="module")
def found():
    charts = [svg("ROC AUC by age & job", draw), svg("Gains", draw)]
    return figures(f"<html><h1>A page</h1><figure>{charts[0]}</figure>{charts[1]}</html>")


def test_each_chart_is_a_file_named_after_it(found):
    assert list(found) == ["roc-auc-by-age-job.svg", "gains.svg"]


def test_a_file_is_a_whole_document_without_the_page(found):
    root = ElementTree.fromstring(found["gains.svg"])  # noqa: S314  # our own

    assert root.tag == f"{SVG}svg"
    assert "a < b" in {text.text for text in root.iter(f"{SVG}text")}


def test_its_colours_need_no_page(found):
    chart = found["gains.svg"]

    assert not any(colour in chart for colour in PAGE_COLOURS.values())
    assert {"#1f5fd0", "#1c2430"} <= set(re.findall(r"#[0-9a-f]{6}", chart))
    assert 'style="background: white"' in chart


def test_a_page_without_charts_has_no_figures():
    assert figures("<html><svg/></html>") == {}
