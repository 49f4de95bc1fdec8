from typing import Any

import numpy as np
import pytest

from bank_marketing.backtest import Backtest, backtest
from bank_marketing.champion import Champion, ChampionComparison
from bank_marketing.comparison import Scores, compare
from bank_marketing.config import GateSettings
from bank_marketing.dataset import DataOrigin
from bank_marketing.evaluation import Evaluation, evaluate
from bank_marketing.gate import GateDecision, decide
from bank_marketing.slices import SliceDifference

GATE = GateSettings(
    min_roc_auc=0.75,
    max_brier=0.25,
    min_test_rows=4,
    min_backtest_roc_auc=0.01,
    confidence=0.95,
    max_roc_auc_loss=0.02,
    max_slice_roc_auc_loss=0.1,
    allow_synthetic_data=False,
)
REAL = DataOrigin(
    origin="uci", uri="x.csv", sha256="0" * 64, edition="comma", fingerprint="f", rows=4
)
SYNTHETIC = REAL.model_copy(update={"origin": "synthetic"})


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


@pytest.fixture(scope="module")
def replay(contacts, settings) -> Backtest:
    quick = settings.model.model_copy(update={"n_estimators": 5})
    small = settings.backtest.model_copy(update={"min_train_rows": 1_000})
    few = settings.evaluation.model_copy(update={"resamples": 100})
    return backtest(contacts, settings.features, quick, small, few, settings.split)


@pytest.fixture(scope="module")
def judge(evaluation, replay) -> Any:
    def judge(
        comparison: ChampionComparison | None = None,
        origin: DataOrigin = REAL,
        only_here: bool = True,
        **limits: Any,
    ) -> GateDecision:
        gate = GATE.model_copy(update=limits)
        return decide(evaluation, replay, comparison, origin, gate, only_here=only_here)

    return judge


def against(champion_noise: float, candidate_noise: float, settings: Any) -> ChampionComparison:
    """Compare two models that know the truth but for noise of the given size."""
    rng = np.random.default_rng(7)
    truth = np.repeat([0, 1], [1_800, 200])
    candidate, champion = (
        Scores(1 / (1 + np.exp(-(truth + noise * rng.standard_normal(len(truth))))), 0.5)
        for noise in (candidate_noise, champion_noise)
    )
    few = settings.evaluation.model_copy(update={"resamples": 100})
    overall = compare(truth, candidate, champion, settings=few, costs=settings.threshold)
    return ChampionComparison(champion=Champion(name="m", version="1"), overall=overall, slices=())


def test_a_model_that_meets_every_limit_passes(judge):
    decision = judge()

    assert decision.passed
    assert decision.failures == ()
    assert [check.name for check in decision.checks] == [
        "roc_auc",
        "brier",
        "test_rows",
        "backtest_roc_auc",
        "data_source",
    ]


@pytest.mark.parametrize(
    ("limits", "failure"),
    [
        ({"min_roc_auc": 0.76}, "roc_auc 0.75 < 0.76"),
        ({"max_brier": 0.2}, "brier 0.2175 > 0.2"),
        ({"min_test_rows": 5}, "test_rows 4 < 5"),
    ],
)
def test_a_missed_limit_is_said_in_words(judge, limits, failure):
    assert judge(**limits).failures == (failure,)


def test_a_model_that_fails_through_time_is_rejected(judge):
    failures = judge(min_backtest_roc_auc=0.99).failures

    assert len(failures) == 1
    assert failures[0].startswith("backtest_roc_auc ")
    assert failures[0].endswith(" < 0.99")


def test_every_missed_limit_is_said(judge):
    assert len(judge(min_roc_auc=0.9, max_brier=0.1, min_test_rows=9).failures) == 3


def test_a_limit_is_met_by_its_own_value(judge, evaluation):
    assert judge(min_roc_auc=evaluation.metrics["roc_auc"].value).passed


@pytest.mark.parametrize(
    ("only_here", "allowed", "passed"),
    [(True, False, True), (False, False, False), (False, True, True)],
)
def test_a_model_of_invented_customers_stays_on_this_machine(judge, only_here, allowed, passed):
    decision = judge(origin=SYNTHETIC, only_here=only_here, allow_synthetic_data=allowed)

    assert decision.passed == passed


def test_a_candidate_that_is_clearly_worse_than_the_champion_is_rejected(judge, settings):
    decision = judge(against(champion_noise=1, candidate_noise=3, settings=settings))

    assert not decision.passed
    assert "against the champion's" in decision.failures[0]


def test_a_candidate_that_is_clearly_better_passes(judge, settings):
    assert judge(against(champion_noise=3, candidate_noise=1, settings=settings)).passed


def test_a_candidate_that_fails_one_group_of_customers_is_rejected(judge, settings):
    equal = against(champion_noise=1, candidate_noise=1, settings=settings)
    worse = against(champion_noise=1, candidate_noise=30, settings=settings).overall.roc_auc
    students = SliceDifference(column="job", level="student", rows=2_000, roc_auc=worse)

    failures = judge(equal.model_copy(update={"slices": (students,)})).failures

    assert len(failures) == 1
    assert failures[0].startswith("1 of 1 slices lose more than 0.1 of roc_auc beyond chance: job")


def test_the_decision_keeps_the_comparison_as_its_evidence(judge, settings):
    comparison = against(champion_noise=1, candidate_noise=1, settings=settings)

    assert judge(comparison).comparison == comparison
