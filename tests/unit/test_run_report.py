"""The page of a run: its sections, and the way to each of them."""

import re

import numpy as np
import pytest
from markupsafe import Markup

from bank_marketing.config import EvaluationSettings, ThresholdSettings
from bank_marketing.evaluation import Evaluation, evaluate
from reports.pages import Section
from reports.run_report import render_run_report

OTHER = Section("other", "And the weather?", Markup("<p id='sun'>Fine.</p>"))


@pytest.fixture(scope="module")
def evaluation() -> Evaluation:
    return evaluate(
        np.array([1, 1, 0, 0, 1, 0]),
        np.array([0.9, 0.8, 0.8, 0.6, 0.4, 0.2]),
        threshold=0.5,
        settings=EvaluationSettings(resamples=100, confidence=0.9, calibration_bins=2, seed=7),
        costs=ThresholdSettings(cost_per_call=6, value_per_deposit=60),
    )


def test_evaluation_comes_first_and_every_section_after_it(evaluation):
    document = render_run_report(evaluation, OTHER)

    headings = re.findall(r"<h2>(.*?)</h2>", document)
    assert headings == ["How good is the model?", "And the weather?"]
    assert "<p id='sun'>Fine.</p>" in document


def test_contents_link_to_every_section(evaluation):
    document = render_run_report(evaluation, OTHER)

    links = re.findall(r'<a href="#(\w+)">', document)
    assert links == re.findall(r'<section id="(\w+)">', document) == ["evaluation", "other"]


def test_a_page_of_one_section_needs_no_contents(evaluation):
    assert "<nav" not in render_run_report(evaluation)
