import numpy as np
import pytest

from bank_marketing.champion import Champion, ChampionComparison
from bank_marketing.comparison import Scores, compare
from bank_marketing.gate import GateCheck, GateDecision
from reports.gate import render_gate

PASSED = GateCheck(name="brier", passed=True, statement="brier 0.08 <= 0.095")
MISSED = GateCheck(name="roc_auc", passed=False, statement="roc_auc 0.7 < 0.75")


@pytest.fixture(scope="module")
def comparison(settings) -> ChampionComparison:
    rng = np.random.default_rng(3)
    truth = np.repeat([0, 1], 50)
    scores = [Scores(np.clip(0.4 * truth + rng.uniform(0, 0.6, 100), 0, 1), 0.5) for _ in range(2)]
    few = settings.evaluation.model_copy(update={"resamples": 100})
    overall = compare(truth, *scores, settings=few, costs=settings.threshold)
    return ChampionComparison(champion=Champion(name="m", version="7"), overall=overall, slices=())


def test_a_passed_gate_says_so_first():
    page = render_gate(GateDecision(checks=(PASSED,), comparison=None))

    assert "meets every condition" in page
    assert "no champion yet" in page


def test_a_missed_condition_is_in_the_first_sentence():
    page = render_gate(GateDecision(checks=(PASSED, MISSED), comparison=None))

    assert "The candidate is rejected: roc_auc 0.7 &lt; 0.75." in page


def test_the_comparison_names_the_champion_and_every_metric(comparison):
    page = render_gate(GateDecision(checks=(PASSED,), comparison=comparison))

    assert "Against the champion, version 7" in page
    assert all(f"<td>{name}</td>" in page for name in ("roc_auc", *comparison.overall.others))
