import re
from html import unescape

import numpy as np
import pandas as pd
import pytest

from bank_marketing.config import EvaluationSettings, SliceSettings
from bank_marketing.slices import slice_report
from reports.pages import render_page
from reports.slices import slices_section


def report(*, min_rows=10, threshold=0.5):
    """Report on married customers of whom 80 % subscribed, and others of whom half did."""
    return slice_report(
        pd.DataFrame({"marital": ["married"] * 20 + ["single"] * 20 + ["divorced"]}),
        np.array([1] * 16 + [0] * 4 + [1] * 10 + [0] * 10 + [1]),
        np.append(np.full(40, 0.5), 0.4),
        threshold=threshold,
        settings=SliceSettings(
            columns=("marital",),
            sensitive=("marital",),
            age_bands=(40,),
            min_rows=min_rows,
            min_positives=2,
        ),
        evaluation=EvaluationSettings(resamples=100, confidence=0.95, calibration_bins=2, seed=7),
    )


def words(document):
    """Return what a reader sees outside the charts."""
    body = re.sub(r"<svg.*?</svg>|<style.*?</style>", "", document, flags=re.DOTALL)
    return " ".join(unescape(re.sub(r"<[^>]*>", " ", body)).split())


def page_of(slices):
    return render_page("A page", "", slices_section(slices))


@pytest.fixture(scope="module")
def document():
    return page_of(report())


def test_section_starts_with_what_stands_out(document):
    assert (
        "Beyond chance, this stands out among the answers to 4 questions: "
        "marital married : 80.0% subscribed, 50.0% were predicted p = 0.0292"
    ) in words(document)


def test_section_says_how_many_groups_were_judged_and_how_many_answers_chance_would_give(document):
    # 5 % of four questions is 0.2.
    assert "2 of 3 groups have the 10 customers" in words(document)
    assert "4 questions, of which 0 would look remarkable by chance alone" in words(document)


def test_a_group_that_is_too_small_is_marked(document):
    assert "divorced 1 too few to judge: 1 subscribed" in words(document)


def test_fairness_is_read_by_the_four_fifths_rule(document):
    # Everybody who is judged is called.
    assert "called 1.00 times as often as the one that is called most" in words(document)
    assert "That meets the four-fifths rule." in words(document)


def test_nobody_called_is_said():
    assert "nobody called" in words(page_of(report(threshold=0.9)))


def test_groups_that_are_all_too_small_leave_no_chart():
    document = page_of(report(min_rows=50))

    assert "No group is large enough to be judged." in words(document)
    assert "No sensitive column has two groups" in words(document)
    assert "<svg" not in document


def test_a_group_that_stands_out_is_drawn_in_the_other_colour(document):
    [chart] = re.findall(r"<svg.*?</svg>", document, flags=re.DOTALL)

    assert "var(--contrast)" in chart
    assert "var(--accent)" in chart


def test_page_needs_no_other_file(document):
    links = re.findall(r"""(?:href|src)=["'](?!#)([^"']*)""", document)

    assert links == []
    assert re.findall(r"<script|@import|url\((?!#)", document) == []


def test_equal_slices_give_equal_pages(document):
    assert page_of(report()) == document
