"""The section that explains a model: what it says, and that it fits into any page."""

import re
from html import unescape

import pytest

from bank_marketing.explanation import (
    ColumnEffect,
    Contribution,
    DependencePoint,
    ExplainedCustomer,
    Explanation,
    FeatureEffect,
)
from reports.explanation import explanation_section
from reports.pages import render_page


def column(name, contribution, direction, *labels):
    points = tuple(
        DependencePoint(label=label, rows=7, contribution=0.5 - place, low=-1, high=1)
        for place, label in enumerate(labels)
    )
    return ColumnEffect(
        column=name, contribution=contribution, gain=0.25, direction=direction, points=points
    )


def customer(row, outcome, *, highest_score=False):
    steps = (("month", "mar", 1.5), ("age", "78", -0.5), *((f"c{i}", "x", 0.01) for i in range(9)))
    return ExplainedCustomer(
        row=row,
        outcome=outcome,
        highest_score=highest_score,
        probability=0.25,
        margin=-1,
        contributions=tuple(Contribution(column=c, value=v, log_odds=m) for c, v, m in steps),
    )


@pytest.fixture(scope="module")
def explanation() -> Explanation:
    return Explanation(
        rows=1_200,
        threshold=0.1,
        base=-2.09,
        columns=(
            column("month", 0.6, None, "mar", "may"),
            column("age", 0.2, -0.7, "17 to 30", "31 to 98"),
            column("previous", 0.1, 0.6, "0", "1 to 7"),
            column("campaign", 0.1, 0.1, "1", "2 to 56"),
        ),
        features=(FeatureEffect(feature="month_mar", contribution=0.6, gain=0.25, direction=0.9),),
        customers=(
            customer(3, "true positive", highest_score=True),
            customer(5, "false positive"),
            customer(8, "false negative"),
            customer(9, "true negative"),
        ),
    )


def page_of(explanation):
    return render_page("A page", "", explanation_section(explanation))


@pytest.fixture(scope="module")
def document(explanation) -> str:
    return page_of(explanation)


def words(document):
    """Return what a reader sees, without the charts, with x for the multiplication sign."""
    without_charts = re.sub(r"<(svg|style)\b.*?</\1>", "", document, flags=re.DOTALL)
    return " ".join(plain(unescape(re.sub(r"<[^>]+>", " ", without_charts))).split())


def labels(document, name):
    """Return the texts within the chart of that name, with x for the multiplication sign."""
    chart = re.search(rf'<svg role="img" aria-label="{name}".*?</svg>', document, re.DOTALL)
    return set(re.findall(r"<text[^>]*>([^<]+)</text>", plain(chart[0])))


def plain(text):
    return text.replace("\N{MULTIPLICATION SIGN}", "x")


def test_section_starts_with_what_matters_most_in_words(document):
    # 0.6 + 0.2 + 0.1 of 1.0.
    assert (
        "What does it look at? A score depends most on month, age and previous: 90% of all that "
        "moves the scores of 1,200 customers away from the usual one."
    ) in words(document)


def test_every_column_says_in_which_direction_it_works(document):
    text = words(document)

    # exp(0.6) = 1.82, exp(0.2) = 1.22, exp(0.1) = 1.11
    assert "month x/÷ 1.82 25.0% most for mar, least for may" in text
    assert "age x/÷ 1.22 25.0% the higher the number, the lower the score" in text
    assert "previous x/÷ 1.11 25.0% the higher the number, the higher the score" in text
    assert "campaign x/÷ 1.11 25.0% no single direction" in text


def test_a_model_that_looks_at_nothing_can_be_shown(explanation):
    idle = column("month", 0.0, None, "mar")

    document = page_of(explanation.model_copy(update={"columns": (idle,)}))

    assert "A score depends most on month: 0% of all" in words(document)


def test_every_feature_has_its_row(document):
    assert "month_mar x/÷ 1.82 25.0% 0.90" in words(document)


def test_customers_are_told_in_words(document):
    text = words(document)

    # exp(1.5) = 4.48, exp(-0.5) = 0.61
    assert (
        "Highest score: called, and subscribed Customer 3 has a probability of 25.0%; the "
        "threshold is 10.0%. What counts most: month mar (odds x4.48), age 78 (odds x0.61)"
    ) in text
    for title in (
        "Called in vain Customer 5",
        "A subscriber who would not be called Customer 8",
        "Rightly not called Customer 9",
    ):
        assert title in text


def test_customer_chart_leads_from_the_usual_score_to_its_own(document):
    texts = labels(document, "Score of customer 5")

    assert {"usual score", "month = mar", "age = 78", "3 others", "this customer"} <= texts


def test_effects_are_labelled_as_doublings_and_halvings(document):
    texts = labels(document, "Effect of month")

    assert {"÷2", "x1", "x2", "mar (7)", "may (7)"} <= texts


def test_charts_take_their_colours_from_the_page(document):
    charts = re.findall(r"<svg.*?</svg>", document, flags=re.DOTALL)

    assert len(charts) == 1 + 4 + 4  # importance, columns, customers
    assert all("currentColor" in chart and "var(--accent)" in chart for chart in charts)
    assert re.findall(r"(?:fill|stroke): ?#\w+", "".join(charts)) == []


def test_equal_explanations_give_equal_sections(explanation):
    again = explanation_section(explanation.model_copy(deep=True))

    assert again == explanation_section(explanation)


def test_text_from_data_is_escaped(explanation):
    strange = column("<b>", 1.0, None, "<i>")

    document = page_of(explanation.model_copy(update={"columns": (strange,)}))

    assert "&lt;b&gt;" in document
    assert re.findall("<b>|<i>", document) == []
