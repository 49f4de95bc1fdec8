"""DeLong's test against published figures and its own definition; intervals against the truth."""

from statistics import NormalDist

import numpy as np
import pytest

from bank_marketing.comparison import (
    Comparison,
    RocAuc,
    Scores,
    compare,
    compare_roc_auc,
    not_worse,
    roc_auc,
)
from bank_marketing.config import EvaluationSettings, ThresholdSettings
from bank_marketing.errors import DataError

SETTINGS = EvaluationSettings(resamples=100, confidence=0.95, calibration_bins=5, seed=7)
COSTS = ThresholdSettings(cost_per_call=6, value_per_deposit=60)

# Patients with ovarian cancer, from DeLong, DeLong and Clarke-Pearson (1988), as far as they are
# complete: albumin, total protein, Krebs-Goplerud score, and the outcome, of which 0 is the event.
PATIENTS = np.fromstring(
    """
    3.0 5.8 10 0  3.2 6.3 5 1  3.9 6.8 3 1  2.8 4.8 6 0  3.2 5.8 3 1  0.9 4.0 5 0  2.5 5.7 8 0
    1.6 5.6  5 1  3.8 5.7 5 1  3.7 6.7 6 1  3.2 5.4 4 1  3.8 6.6 6 1  4.1 6.6 5 1  3.6 5.7 5 1
    4.3 7.0  4 1  3.6 6.7 4 0  2.3 4.4 6 1  4.2 7.6 4 0  4.0 6.6 6 0  3.5 5.8 6 1  3.8 6.8 7 1
    3.0 4.7  8 0  4.5 7.4 5 1  3.7 7.4 5 1  3.1 6.6 6 1  4.1 8.2 6 1  4.3 7.0 5 1  4.3 6.5 4 1
    3.2 5.1  5 1  2.6 4.7 6 1  3.3 6.8 6 0  1.7 4.0 7 0  3.7 6.1 5 1  3.3 6.3 7 1  4.2 7.7 6 1
    3.5 6.2  5 1  2.9 5.7 9 0  2.1 4.8 7 1  2.8 6.2 8 0  4.0 7.0 7 1  3.3 5.7 6 1  3.7 6.9 5 1
    3.6 6.6  5 1
    """,
    sep=" ",
).reshape(-1, 4)


def tied_sample(rows, seed):
    """Draw labels and two models' scores in steps of 0.1: full of ties."""
    generator = np.random.default_rng(seed)
    labels = (generator.random(rows) < 0.3).astype(int)
    first = (generator.random(rows) + labels * 0.5).round(1) / 2
    second = (first + generator.random(rows)).round(1) / 2
    return labels, first, second


def components_by_definition(labels, scores):
    """Compare each positive with each negative, as formulas (2) and (3) of the paper say."""
    positives, negatives = scores[labels == 1], scores[labels == 0]
    psi = np.array([[(x > y) + (x == y) / 2 for y in negatives] for x in positives])
    return psi.mean(axis=1), psi.mean(axis=0)


def compared(labels, challenger, champion):
    return compare(
        labels, Scores(challenger, 0.5), Scores(champion, 0.5), settings=SETTINGS, costs=COSTS
    )


# SAS/STAT User's Guide, "Comparing Receiver Operating Characteristic Curves", an example of PROC
# LOGISTIC: area, standard error; difference from the K-G score, standard error, interval, p.
@pytest.mark.parametrize(
    ("column", "area", "difference"),
    [
        (0, (0.7366, 0.0927), (0.0108, 0.0953, -0.1761, 0.1976, 0.9102)),
        (1, (0.6478, 0.1000), (-0.0780, 0.1046, -0.2830, 0.1271, 0.4561)),
    ],
    ids=["albumin", "total protein"],
)
def test_delong_gives_the_published_figures(column, area, difference):
    labels = 1 - PATIENTS[:, 3].astype(int)
    test, score = -PATIENTS[:, column], PATIENTS[:, 2]  # the event goes with little protein

    single = roc_auc(labels, test)
    result = compare_roc_auc(labels, test, score, confidence=0.95)

    assert single == pytest.approx(area, abs=5e-5)
    bounds = result.difference
    found = (bounds.value, result.standard_error, bounds.low, bounds.high, result.p_value)
    assert found == pytest.approx(difference, abs=5e-5)


@pytest.mark.parametrize("seed", range(3))
def test_delong_equals_its_definition_in_spite_of_ties(seed):
    labels, first, second = tied_sample(120, seed)

    result = compare_roc_auc(labels, first, second, confidence=0.95)

    (a10, a01), (b10, b01) = (components_by_definition(labels, s) for s in (first, second))
    s10, s01 = np.cov(a10, b10), np.cov(a01, b01)  # matrices S10 and S01 of the paper
    contrast = np.array([1, -1])
    variance = contrast @ (s10 / a10.size + s01 / a01.size) @ contrast
    assert result.difference.value == pytest.approx(a10.mean() - b10.mean())
    assert result.standard_error == pytest.approx(np.sqrt(variance))
    z = (a10.mean() - b10.mean()) / np.sqrt(variance)
    assert result.p_value == pytest.approx(2 * NormalDist().cdf(-abs(z)))


def test_swapping_the_models_turns_every_difference_round():
    labels, first, second = tied_sample(300, seed=0)

    there, back = compared(labels, first, second), compared(labels, second, first)

    def turned(interval):
        return pytest.approx((-interval.value, -interval.high, -interval.low), abs=1e-12)

    pairs = [(there.roc_auc.difference, back.roc_auc.difference)]
    pairs += [(there.others[name], back.others[name]) for name in there.others]
    assert [(a.value, a.low, a.high) for a, _ in pairs] == [turned(b) for _, b in pairs]
    assert there.roc_auc.p_value == pytest.approx(back.roc_auc.p_value)
    assert there.roc_auc.difference.value != 0


def test_a_model_does_not_differ_from_itself():
    labels, scores, _ = tied_sample(300, seed=0)

    result = compared(labels, scores, scores)

    assert result.roc_auc.p_value == 1
    differences = [result.roc_auc.difference, *result.others.values()]
    assert {(each.value, each.low, each.high) for each in differences} == {(0, 0, 0)}


def test_only_the_order_of_the_rows_matters_for_roc_auc():
    labels, scores, _ = tied_sample(300, seed=0)

    result = compared(labels, scores, scores**2)

    assert (result.roc_auc.difference.value, result.roc_auc.p_value) == (0, 1)
    assert result.others["brier"].value != 0


def test_each_model_is_taken_at_its_own_threshold():
    labels = np.array([1, 1, 0, 0])
    scores = np.array([0.9, 0.6, 0.4, 0.1])

    result = compare(
        labels, Scores(scores, 0.5), Scores(scores, 0.8), settings=SETTINGS, costs=COSTS
    )

    # Both subscribers are called instead of one: (120 - 12) / 4 - (60 - 6) / 4.
    assert result.others["recall"].value == pytest.approx(0.5)
    assert result.others["profit"].value == pytest.approx(13.5)


def test_a_perfect_model_beats_a_reversed_one_without_a_standard_error():
    labels = np.array([1, 1, 0, 0])
    scores = np.array([0.9, 0.6, 0.4, 0.1])

    result = compare_roc_auc(labels, scores, -scores, confidence=0.95)

    assert (result.difference.value, result.standard_error, result.p_value) == (1, 0, 0)


def test_paired_rows_tell_similar_models_apart_better_than_separate_intervals():
    labels, first, _ = tied_sample(400, seed=0)
    second = first + np.random.default_rng(1).normal(0, 0.02, 400)

    paired = compare_roc_auc(labels, first, second, confidence=0.95)

    apart = np.hypot(roc_auc(labels, first).standard_error, roc_auc(labels, second).standard_error)
    assert paired.standard_error < apart / 5


def test_interval_of_roc_auc_difference_covers_the_truth_about_as_often_as_it_says():
    generator = np.random.default_rng(0)
    labels = np.arange(200) % 2
    truth = NormalDist().cdf(1 / np.sqrt(2)) - NormalDist().cdf(0.5 / np.sqrt(2))

    covered = []
    for _ in range(500):
        common = generator.normal(size=200)  # makes the two models' errors alike
        first, second = (
            labels * lift + (common + generator.normal(size=200)) / np.sqrt(2) for lift in (1, 0.5)
        )
        bounds = compare_roc_auc(labels, first, second, confidence=0.95).difference
        covered.append(bounds.low <= truth <= bounds.high)

    # Of 500 intervals at 95 %, the standard error of the share that covers is 1 %.
    assert 0.92 <= np.mean(covered) <= 0.98


def test_paired_bootstrap_covers_the_truth_about_as_often_as_it_says():
    generator = np.random.default_rng(0)
    # Who knows that a row is positive with 0.2 or with 0.8 has a Brier score of 0.16, else 0.25.
    truth = 0.16 - 0.25

    covered = []
    for _ in range(200):
        probabilities = generator.choice([0.2, 0.8], 200)
        labels = (generator.random(200) < probabilities).astype(int)
        bounds = compared(labels, probabilities, np.full(200, 0.5)).others["brier"]
        covered.append(bounds.low <= truth <= bounds.high)

    assert 0.90 <= np.mean(covered) <= 0.99


def test_interval_of_a_single_roc_auc_is_symmetric_in_log_odds():
    # At 0.9 with 0.05: log(9) +- 1.96 * 0.05 / 0.09, so the odds are 9 / 2.9709 and 9 * 2.9709.
    interval = RocAuc(0.9, 0.05).interval(0.95)

    assert (interval.low, interval.high) == pytest.approx((0.75182, 0.96395), abs=1e-5)


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_interval_at_the_edge_stays_there(value):
    interval = RocAuc(value, 0.0).interval(0.95)

    assert (interval.low, interval.high) == (value, value)


@pytest.mark.parametrize(
    ("margin", "holds", "words"),
    [
        (0.2, True, "at least -0.1461, within the margin of 0.2"),
        (0.1, False, "at least -0.1461, which may be a loss beyond the margin of 0.1"),
    ],
)
def test_not_worse_means_that_a_loss_beyond_the_margin_is_ruled_out(margin, holds, words):
    labels = 1 - PATIENTS[:, 3].astype(int)
    result = compare_roc_auc(labels, -PATIENTS[:, 0], PATIENTS[:, 2], confidence=0.95)

    verdict = not_worse(result, margin=margin, confidence=0.95)

    # One-sided: 0.01075 - 1.6449 * 0.09534 = -0.14607.
    assert verdict.holds is holds
    assert verdict.statement.startswith("roc_auc 0.7366 against the champion's 0.7258: +0.0108")
    assert verdict.statement.endswith(f"with 95% confidence {words}")


def test_an_equal_model_is_not_worse_by_any_margin():
    labels, scores, _ = tied_sample(300, seed=0)
    result = compare_roc_auc(labels, scores, scores, confidence=0.95)

    assert not_worse(result, margin=0, confidence=0.95).holds


def test_a_better_model_is_so_beyond_both_bounds():
    labels = np.arange(400) % 2
    noise = np.random.default_rng(0).normal(size=(2, 400))

    result = compare_roc_auc(labels, 2 * labels + noise[0], labels / 2 + noise[1], confidence=0.95)

    assert 0 < result.lower_bound(0.99) < result.difference.value < result.upper_bound(0.99)


def test_comparison_survives_json():
    labels, first, second = tied_sample(100, seed=0)

    comparison = compared(labels, first, second)

    assert Comparison.model_validate_json(comparison.model_dump_json()) == comparison


@pytest.mark.parametrize(
    ("labels", "scores", "message"),
    [
        ([1, 1, 0], [0.5, 0.5], r"equal shapes, got \(3,\) and \(2,\)"),
        ([1, 0, 0], [0.5, 0.4, 0.3], "two rows of each class, got 1 positives and 2 negatives"),
    ],
)
def test_impossible_input_is_refused_with_its_values(labels, scores, message):
    with pytest.raises(DataError, match=message):
        roc_auc(np.array(labels), np.array(scores))
