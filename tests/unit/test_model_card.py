"""What a model card says, and that it says nothing that was not measured."""

import re
from dataclasses import replace
from html import unescape

import numpy as np
import pandas as pd
import pytest

from bank_marketing import schema
from bank_marketing.backtest import Backtest, Cadence, Period
from bank_marketing.bundle import Manifest, Platt
from bank_marketing.config import EvaluationSettings, FeatureSettings, ThresholdSettings
from bank_marketing.dataset import DataOrigin
from bank_marketing.evaluation import Interval, evaluate
from bank_marketing.gate import GateCheck, GateDecision
from bank_marketing.model_card import ModelCard
from bank_marketing.slices import slice_report
from bank_marketing.validation import ValidationSummary
from reports.model_card import markdown_model_card, render_model_card

SECTIONS = [
    "Model details",
    "Intended use",
    "Factors",
    "Metrics",
    "Training data",
    "Evaluation data",
    "Quantitative analyses",
    "Ethical considerations",
    "Caveats and recommendations",
]
EVALUATION = EvaluationSettings(resamples=100, confidence=0.95, calibration_bins=2, seed=7)
COSTS = ThresholdSettings(cost_per_call=6, value_per_deposit=60)
SURE = Interval(value=0.8, low=0.79, high=0.81)
NO_DIFFERENCE = Interval(value=0, low=0, high=0)

# 40 customers in two groups, of whom a model calls the better half rightly in four of five cases.
LABELS = np.array(([1] * 4 + [0] + [0] * 4 + [1]) * 4)
PROBABILITIES = np.array(([0.7] * 5 + [0.3] * 5) * 4) + np.arange(40) / 1000
CUSTOMERS = pd.DataFrame({"marital": ["married"] * 20 + ["single"] * 19 + ["divorced"]})


def month(name, positives, roc_auc=SURE):
    return Period(
        year=1,
        month=name,
        rows=100,
        positives=positives,
        trainings=1,
        metrics={"roc_auc": roc_auc},
        baselines={"never_retrained": 0.5, "logistic_regression": 0.5},
    )


@pytest.fixture(scope="module")
def evaluation():
    return evaluate(LABELS, PROBABILITIES, threshold=0.5, settings=EVALUATION, costs=COSTS)


@pytest.fixture(scope="module")
def backtest(settings, evaluation):
    """A replay in which nothing changes, and the model is as good as on the test set."""
    metrics = evaluation.metrics | {"roc_auc": SURE}
    worse = {
        name: metrics | {"roc_auc": Interval(value=0.7, low=0.6, high=0.8)}
        for name in ("never_retrained", "logistic_regression")
    }
    return Backtest(
        settings=settings.backtest,
        confidence=0.95,
        rows=200,
        positives=20,
        trainings=2,
        metrics=metrics,
        baselines=worse,
        periods=(month("may", 10), month("jun", 10)),
        cadences=(Cadence(months=1, trainings=2, roc_auc=SURE, difference=NO_DIFFERENCE),),
    )


@pytest.fixture(scope="module")
def card(settings, evaluation, backtest):
    return ModelCard(
        name="bank-marketing",
        version="3",
        manifest=Manifest(hyperparameters={"max_depth": 5}, trees=156, calibration=Platt(1.0, 0.0)),
        features=FeatureSettings(economic_indicators=False),
        origin=DataOrigin(
            origin="uci",
            uri="https://example.org/table.csv",
            sha256="a" * 64,
            edition="semicolon",
            fingerprint="b" * 64,
            rows=1200,
        ),
        validation=ValidationSummary(
            passed=True,
            rows=1200,
            accepted_rows=1200,
            rejected_rows=0,
            failures=(),
            warnings=(),
            checks=(),
        ),
        evaluation=evaluation,
        backtest=backtest,
        slices=slice_report(
            CUSTOMERS,
            LABELS,
            PROBABILITIES,
            threshold=0.5,
            settings=settings.slices.model_copy(
                update={
                    "columns": ("marital",),
                    "sensitive": ("marital",),
                    "min_rows": 10,
                    "min_positives": 2,
                }
            ),
            evaluation=EVALUATION,
        ),
        decision=GateDecision(
            checks=(GateCheck(name="roc_auc", passed=True, statement="roc_auc 0.8 >= 0.75"),),
            comparison=None,
        ),
        provenance={"git_commit": "c" * 40, "judged_against": ""},
    )


def changed(card, part, **values):
    """Return the card with a field of one of its parts changed."""
    return card.model_copy(update={part: getattr(card, part).model_copy(update=values)})


def calibrated_by(card, calibration):
    return card.model_copy(update={"manifest": replace(card.manifest, calibration=calibration)})


def words(document):
    body = re.sub(r"<style.*?</style>", "", document, flags=re.DOTALL)
    return " ".join(unescape(re.sub(r"<[^>]*>", " ", body)).split())


class TestLimits:
    def test_a_model_without_a_flaw_has_only_the_groups_that_nobody_tested(self, card):
        assert card.limits == (
            "Of these groups too few were tested to say how well it works: marital divorced.",
        )

    def test_synthetic_data_come_first(self, card):
        first, *_ = changed(card, "origin", origin="synthetic").limits

        assert first.startswith("It learned from synthetic customers")
        assert first.endswith("it is not for real decisions.")

    def test_rows_that_were_set_aside_are_counted(self, card):
        assert (
            "7 of 1,200 rows broke a rule of the schema and were set aside; "
            "it knows no such customers."
        ) in changed(card, "validation", rejected_rows=7).limits

    def test_what_is_wrong_with_the_data_is_repeated(self, card):
        limits = changed(card, "validation", warnings=("a row is a copy (24 rows)",)).limits

        assert "The data are not quite what the schema says: a row is a copy (24 rows)." in limits

    def test_a_model_that_is_worse_through_time_is_to_be_expected_so(self, card):
        metrics = card.backtest.metrics | {"roc_auc": Interval(value=0.5, low=0.4, high=0.55)}

        [statement, *_] = changed(card, "backtest", metrics=metrics).limits

        assert statement.startswith("Through time its ROC AUC is 0.500 (0.400 to 0.550), on the")

    def test_a_model_that_tells_months_apart_rather_than_customers_is_told(self, card):
        periods = (month("may", 10), month("jun", 10, Interval(value=0.6, low=0.55, high=0.65)))

        # Both months have 10 x 90 pairs: (0.8 + 0.6) / 2.
        [statement, *_] = changed(card, "backtest", periods=periods).limits

        assert statement.startswith("Between customers of the same month its ROC AUC is 0.700: ")

    def test_a_baseline_that_is_as_good_is_named(self, card):
        metrics = card.backtest.metrics
        baselines = {**card.backtest.baselines, "logistic_regression": metrics}

        [statement, *_] = changed(card, "backtest", baselines=baselines).limits

        assert statement == (
            "Through time a baseline does no worse: “logistic regression” has ROC AUC "
            "0.800 (0.790 to 0.810), this model 0.800 (0.790 to 0.810)."
        )

    def test_months_that_may_be_chance_are_counted(self, card):
        chance = Interval(value=0.6, low=0.5, high=0.7)

        limits = changed(card, "backtest", periods=(month("may", 10), month("jun", 10, chance)))

        assert "In 1 of 2 months it was not better than chance beyond doubt." in limits.limits

    def test_a_market_that_moved_is_told_by_its_extremes(self, card):
        periods = (month("may", 10), month("jun", 60), month("jul", 30))

        [statement, *_] = changed(card, "backtest", periods=periods).limits

        assert statement.startswith(
            "The market moved: 10.0% subscribed in may of year 1, 60.0% in jun of year 1."
        )

    def test_months_that_differ_by_chance_have_not_moved(self, card):
        # Of 100 customers each, 10 and 15: the Wilson intervals overlap widely.
        periods = (month("may", 10), month("jun", 15))

        assert changed(card, "backtest", periods=periods).limits == card.limits

    @pytest.mark.parametrize(
        ("calibration", "words"),
        [
            (Platt(1.0, 0.0), "through time, before calibration, and by 0.100 on the test set,"),
            (None, "through time, and by 0.100 on the test set."),
        ],
    )
    def test_probabilities_that_fail_through_time_are_told(self, card, calibration, words):
        off = Interval(value=0.4, low=0.35, high=0.45)
        on_test = Interval(value=0.1, low=0.05, high=0.2)
        through_time = card.backtest.metrics | {"expected_calibration_error": off}
        tested = card.evaluation.metrics | {"expected_calibration_error": on_test}
        failing = changed(card, "backtest", metrics=through_time)
        failing = changed(failing, "evaluation", metrics=tested)

        *_, statement, _ = calibrated_by(failing, calibration).limits

        assert statement.startswith(f"Its probabilities are off by 0.400 on average {words}")

    def test_calls_that_may_not_pay_are_told(self, card):
        metrics = card.evaluation.metrics | {"profit": Interval(value=1, low=-1.5, high=3)}

        assert (
            "Calling at the threshold may not pay: the profit per customer is 1.00 (-1.50 to 3.00)."
        ) in changed(card, "evaluation", metrics=metrics).limits

    def test_uneven_calls_are_told_if_chance_does_not_explain_them(self, card):
        [fairness] = card.slices.fairness
        uneven = fairness.model_copy(
            update={"impact_ratio": Interval(value=0.5, low=0.4, high=0.7), "p_value": 0.01}
        )

        assert changed(card, "slices", fairness=(uneven,)).limits[-1] == (
            "By marital, the group called least is called 0.50 (0.40 to 0.70) times as often as "
            "the one called most: less than four fifths, beyond chance."
        )


class TestFigures:
    def test_the_weakest_groups_come_first_and_small_ones_do_not_count(self, card):
        weakest = card.weakest_slices

        values = [each.figures.roc_auc.value for each in weakest]
        assert {each.level for each in weakest} == {"married", "single"}
        assert values == sorted(values)

    def test_bins_are_calibrated_whose_share_may_be_the_probability(self, card):
        # Of 20 customers with 0.7 and a little 16 subscribed, of 20 with 0.3 and a little 4: the
        # Wilson intervals are 0.58 to 0.92 and 0.08 to 0.42.
        assert card.calibrated_bins == 2

    def test_a_duration_is_never_among_the_columns(self, card):
        assert "duration" not in card.columns
        assert len(card.columns) == 14


class TestText:
    def test_sections_are_those_of_mitchell(self, card):
        assert re.findall("^## (.*)$", markdown_model_card(card), flags=re.MULTILINE) == SECTIONS

    def test_test_set_and_backtest_stand_side_by_side(self, card):
        auc = card.evaluation.metrics["roc_auc"]

        assert (
            f"| ROC AUC | {auc.value:.3f} ({auc.low:.3f} to {auc.high:.3f}) "
            "| 0.800 (0.790 to 0.810) |"
        ) in markdown_model_card(card)

    def test_hope_in_the_figures_through_time_is_said(self, card):
        assert "as a forecast, the figures are hopeful." in markdown_model_card(card)

    def test_probabilities_of_unlike_calibration_are_told_apart(self, card):
        calibrated = markdown_model_card(card)
        plain = markdown_model_card(calibrated_by(card, None))

        assert "before calibration; on the test set, log loss, Brier score and" in calibrated
        assert "Its probabilities are those before calibration." in plain

    def test_every_limit_and_the_advice_to_retrain_are_said(self, card):
        text = markdown_model_card(card)

        for statement in (*card.limits, card.backtest.answer):
            assert f"- {statement}" in text

    def test_provenance_leaves_out_what_there_is_not(self, card):
        text = markdown_model_card(card)

        assert f"| git commit | `{'c' * 40}` |" in text
        assert "judged against" not in text

    def test_what_it_is_for_and_not_for_is_what_the_schema_says_of_the_table(self, card):
        _, _, use = markdown_model_card(card).partition("## Intended use")

        paragraphs = use.partition("## Factors")[0].strip().split("\n\n")
        assert paragraphs == [schema.INTENDED_USE, schema.PROHIBITED_USE]

    def test_a_synthetic_model_says_so_where_its_use_is_described(self, card):
        text = markdown_model_card(changed(card, "origin", origin="synthetic"))

        _, _, use = text.partition("## Intended use")
        assert "not for real decisions" in use.partition("## Factors")[0]

    def test_a_model_without_a_number_has_a_card(self, card):
        title, *_ = markdown_model_card(card.model_copy(update={"version": None})).splitlines()

        assert title == "# Model card: bank-marketing"


class TestPage:
    def test_page_says_what_the_text_says(self, card):
        page = words(render_model_card(card))

        for statement in (*SECTIONS, *card.limits, "roc_auc 0.8 >= 0.75", "max_depth 5"):
            assert statement in page

    def test_page_needs_no_other_file(self, card):
        document = render_model_card(card)

        assert re.findall(r"""(?:href|src)=["'](?!#)""", document) == []
        assert re.findall(r"<script|@import|url\((?!#)", document) == []

    def test_text_from_data_is_escaped(self, card):
        warned = changed(card, "validation", warnings=("<script>alert(1)</script>",))

        assert "<script>" not in render_model_card(warned)

    def test_equal_cards_give_equal_pages(self, card):
        assert render_model_card(card.model_copy(deep=True)) == render_model_card(card)
