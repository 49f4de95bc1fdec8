"""The page of an evaluation: what it says, and that it stands alone."""

import re
from html.parser import HTMLParser

import numpy as np
import pytest

from bank_marketing.config import EvaluationSettings, ThresholdSettings
from bank_marketing.evaluation import Interval, evaluate
from reports.run_report import render_run_report


class Page(HTMLParser):
    """A document's words, attributes, and table cells row by row."""

    def __init__(self, document):
        super().__init__()
        self.words, self.attributes, self.rows = [], [], []
        self.feed(document)

    def handle_starttag(self, tag, attrs):
        self.attributes += attrs
        if tag == "tr":
            self.rows.append([])
        if tag in ("th", "td"):
            self.rows[-1].append("")

    def handle_data(self, data):
        self.words += data.split()
        if self.rows and self.rows[-1]:
            self.rows[-1][-1] = " ".join([*self.rows[-1][-1].split(), *data.split()])

    @property
    def text(self):
        return " ".join(self.words)


def evaluation_at(threshold):
    return evaluate(
        np.array([1, 1, 0, 0, 1, 0]),
        np.array([0.9, 0.8, 0.8, 0.6, 0.4, 0.2]),
        threshold=threshold,
        settings=EvaluationSettings(resamples=100, confidence=0.9, calibration_bins=2, seed=7),
        costs=ThresholdSettings(cost_per_call=6, value_per_deposit=60),
    )


@pytest.fixture(scope="module")
def evaluation():
    return evaluation_at(0.5)


@pytest.fixture(scope="module")
def document(evaluation):
    return render_run_report(evaluation)


def test_page_starts_with_the_result_in_words(document):
    words, *_ = Page(document).text.partition("Metrics")

    # Four of six are called, with two of three subscribers; (2 x 60 - 4 x 6) / 6 = 16;
    # calling all six: (3 x 60 - 6 x 6) / 6 = 24.
    assert (
        "probability of at least 50.0%: that is 67 of 100 customers. It reaches 67 of 100 "
        "subscribers, and 50 of 100 calls succeed; without the model 50 of 100 would. "
        "The profit to expect is 16.00 per customer, against 24.00 if everybody is called."
    ) in words


def test_page_says_when_nobody_would_be_called():
    page = Page(render_run_report(evaluation_at(1.0)))

    assert "No customer reaches a probability of 100.0%, so nobody would be called." in page.text


def test_every_metric_has_a_row_with_its_interval(evaluation):
    metrics = {
        name: Interval(value=number, low=number - 0.25, high=number + 0.25)
        for number, name in enumerate(evaluation.metrics, start=1)
    }

    page = Page(render_run_report(evaluation.model_copy(update={"metrics": metrics})))

    expected = {(f"{n}.000", f"{n - 1}.750 to {n}.250") for n in range(1, len(metrics) + 1)}
    assert expected <= {tuple(row[1:3]) for row in page.rows}


def test_numbers_below_zero_carry_a_minus_sign(evaluation):
    loss = {**evaluation.metrics, "profit": Interval(value=-1.5, low=-2, high=-1)}

    page = Page(render_run_report(evaluation.model_copy(update={"metrics": loss})))

    assert (
        "Profit per customer \N{MINUS SIGN}1.50 \N{MINUS SIGN}2.00 to \N{MINUS SIGN}1.00"
        in page.text
    )


def test_confusion_matrix_shows_who_was_called():
    page = Page(render_run_report(evaluation_at(0.85)))

    # Only the first row is called, rightly; two of three subscribers are not.
    counts = {name: [cell.split()[0] for cell in cells] for name, *cells in page.rows if cells}
    assert counts["Did not subscribe"] == ["3", "0"]
    assert counts["Subscribed"] == ["2", "1"]


def test_charts_take_their_colours_from_the_page(document):
    charts = re.findall(r"<svg.*?</svg>", document, flags=re.DOTALL)

    assert len(charts) == 7
    assert all("currentColor" in chart and "var(--muted)" in chart for chart in charts)
    assert all("var(--accent)" in chart or "var(--contrast)" in chart for chart in charts)
    assert re.findall(r"(?:fill|stroke): ?#\w+", "".join(charts)) == []


def test_page_needs_no_other_file(document):
    page = Page(document)

    links = [value for name, value in page.attributes if name.endswith(("href", "src"))]
    assert [link for link in links if not link.startswith("#")] == []
    assert re.findall(r"<script|@import|url\((?!#)", document) == []


def test_identifiers_are_unique_within_the_page(document):
    identifiers = [value for name, value in Page(document).attributes if name == "id"]

    assert len(identifiers) == len(set(identifiers)) > 0


def test_equal_evaluations_give_equal_pages(evaluation, document):
    assert render_run_report(evaluation.model_copy(deep=True)) == document


def test_text_from_data_is_escaped(evaluation):
    report = {"<b>": evaluation.report["yes"]}

    document = render_run_report(evaluation.model_copy(update={"report": report}))

    assert "&lt;b&gt;" in document
