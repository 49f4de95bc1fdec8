import numpy as np
import pytest

from bank_marketing.config import GateSettings
from bank_marketing.evaluation import Evaluation, evaluate
from bank_marketing.gate import decide

GATE = GateSettings(min_roc_auc=0.75, max_brier=0.2, min_test_rows=4)


@pytest.fixture(scope="module")
def evaluation(settings) -> Evaluation:
    # Of the four pairs of a subscriber and another, (.9 .7), (.9 .1) and (.4 .1) are in order:
    # ROC AUC 3/4. Brier: (.01 + .49 + .36 + .01) / 4 = 0.2175.
    return evaluate(
        np.array([1, 0, 1, 0]),
        np.array([0.9, 0.7, 0.4, 0.1]),
        threshold=0.5,
        settings=settings.evaluation,
        costs=settings.threshold,
    )


def test_a_model_that_meets_every_limit_passes(evaluation):
    decision = decide(evaluation, GATE.model_copy(update={"max_brier": 0.25}))

    assert decision.passed
    assert decision.failures == ()
    assert [check.name for check in decision.checks] == ["roc_auc", "brier", "test_rows"]


@pytest.mark.parametrize(
    ("limit", "failure"),
    [
        ({"max_brier": 0.25, "min_roc_auc": 0.76}, "roc_auc 0.75 < 0.76"),
        ({}, "brier 0.2175 > 0.2"),
        ({"max_brier": 0.25, "min_test_rows": 5}, "test_rows 4 < 5"),
    ],
)
def test_a_missed_limit_is_said_in_words(evaluation, limit, failure):
    decision = decide(evaluation, GATE.model_copy(update=limit))

    assert not decision.passed
    assert decision.failures == (failure,)


def test_every_missed_limit_is_said(evaluation):
    decision = decide(evaluation, GateSettings(min_roc_auc=0.9, max_brier=0.1, min_test_rows=9))

    assert len(decision.failures) == 3


def test_a_limit_is_met_by_its_own_value(evaluation):
    roc_auc = evaluation.metrics["roc_auc"].value
    exactly = GATE.model_copy(update={"max_brier": 0.25, "min_roc_auc": roc_auc})

    assert decide(evaluation, exactly).passed
