"""The page of a backtest: what it says, and that it stands alone."""

import re

import pytest

from bank_marketing.backtest import Backtest, Cadence, Period
from bank_marketing.config import BacktestSettings
from bank_marketing.evaluation import Interval
from reports.backtest import backtest_section
from reports.pages import render_page

METRICS = ("roc_auc", "pr_auc", "alift", "log_loss", "expected_calibration_error")


def around(value):
    return Interval(value=value, low=value - 0.02, high=value + 0.02)


def month_of(name, *, year, positives, judged=True):
    return Period(
        year=year,
        month=name,
        rows=40,
        positives=positives,
        trainings=1,
        metrics=dict.fromkeys(METRICS, around(0.7)) if judged else None,
        baselines={"never_retrained": 0.51, "logistic_regression": 0.62} if judged else None,
    )


def backtest_with(**settings):
    return Backtest(
        settings=BacktestSettings(
            **{
                "strategy": "sliding",
                "window_rows": 20_000,
                "min_train_rows": 5_000,
                "retrain_rows": None,
                "label_delay_months": 1,
                "max_roc_auc_loss": 0.01,
                **settings,
            }
        ),
        confidence=0.95,
        rows=80,
        positives=10,
        trainings=2,
        metrics=dict.fromkeys(METRICS, around(0.73)),
        baselines={
            "never_retrained": dict.fromkeys(METRICS, around(0.55)),
            "logistic_regression": dict.fromkeys(METRICS, around(0.66)),
        },
        periods=(
            month_of("dec", year=1, positives=10),
            month_of("mar", year=2, positives=0, judged=False),
        ),
        cadences=(
            Cadence(
                months=1,
                trainings=2,
                roc_auc=around(0.73),
                difference=Interval(value=0, low=0, high=0),
            ),
            Cadence(months=None, trainings=1, roc_auc=around(0.55), difference=around(-0.18)),
        ),
    )


def text_of(document):
    body = re.sub(r"<(svg|style).*?</\1>", "", document, flags=re.DOTALL)
    return " ".join(re.sub(r"<[^>]*>", " ", body).split())


def page_of(backtest):
    return render_page("A page", "", backtest_section(backtest))


@pytest.fixture(scope="module")
def document():
    return page_of(backtest_with())


def test_page_starts_with_the_answer(document):
    words, *_ = text_of(document).partition("The calls were replayed")

    assert words.rstrip().endswith(
        "Retrain this model every month: it then reaches ROC-AUC 0.730 (0.710 to 0.750). "
        "Retrained never, it differs by -0.180 (-0.200 to -0.160) from retraining every month, "
        "where a loss of more than 0.01 cannot be ruled out. "
        "That is with one model.seed; with another the answer may differ."
    )


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({}, "on the last 20,000 calls whose answers were known, every month: 2 in all."),
        ({"strategy": "expanding"}, "on all calls whose answers were known, every month"),
        ({"retrain_rows": 250}, "were known, after every 250 calls: 2 in all."),
        ({}, "An answer was known 1 month after the call."),
        ({"label_delay_months": 2}, "An answer was known 2 months after the call."),
        ({"label_delay_months": 0}, "An answer was known at once."),
    ],
)
def test_page_says_how_the_past_was_replayed(settings, words):
    assert words in text_of(page_of(backtest_with(**settings)))


def test_page_says_what_was_chosen_with_later_calls_in_sight(document):
    assert "hyperparameters alone were chosen on calls of all months, later ones" in text_of(
        document
    )


def test_page_says_that_the_probabilities_are_not_calibrated(document):
    assert "Log loss and calibration error, here and below, are of probabilities before" in text_of(
        document
    )


def test_a_month_stands_below_its_year_with_its_figures(document):
    # 10 of 40 subscribed.
    assert "Year 1 dec 40 25.0% 0.700 0.680 to 0.720 0.510 0.620 0.700" in text_of(document)


def test_a_month_of_one_answer_has_no_figures(document):
    assert text_of(document).endswith("Year 2 mar 40 0.0%")


def test_chart_takes_its_colours_from_the_page(document):
    chart = "".join(re.findall(r"<svg.*?</svg>", document, flags=re.DOTALL))

    assert "var(--accent)" in chart
    assert "var(--contrast)" in chart
    assert re.findall(r"(?:fill|stroke): ?#\w+", chart) == []


def test_page_needs_no_other_file(document):
    links = re.findall(r'(?:href|src)="([^"]*)"', document)

    assert [link for link in links if not link.startswith("#")] == []
    assert re.findall(r"<script|@import|url\((?!#)", document) == []


def test_equal_backtests_give_equal_pages(document):
    assert page_of(backtest_with()) == document
