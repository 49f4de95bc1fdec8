"""Slices against hand computations; findings and fairness intervals against theory."""

import re

import numpy as np
import pandas as pd
import pytest

from bank_marketing import schema
from bank_marketing.comparison import RocAucDifference
from bank_marketing.config import EvaluationSettings, SliceSettings
from bank_marketing.errors import DataError
from bank_marketing.evaluation import Interval
from bank_marketing.model import labels
from bank_marketing.slices import (
    SliceDifference,
    Slices,
    compare_slices,
    no_slice_lost,
    slice_report,
)

EVALUATION = EvaluationSettings(resamples=200, confidence=0.95, calibration_bins=5, seed=7)
SETTINGS = SliceSettings(
    columns=("marital",),
    sensitive=("marital",),
    age_bands=(30, 40, 50, 60),
    min_rows=4,
    min_positives=2,
)
JOBS = ("admin.", "blue-collar", "management", "retired", "services", "student", "technician")

# Eight married customers, six single ones, and a divorced one, alone.
MARITAL = pd.DataFrame({"marital": ["married"] * 8 + ["single"] * 6 + ["divorced"]})
LABELS = np.array([1, 1, 0, 0, 0, 0, 0, 0, 1, 1, 1, 0, 0, 0, 0])
SCORES = np.array([0.9, 0.3, 0.8, 0.2, 0.2, 0.1, 0.1, 0.1, 0.9, 0.8, 0.6, 0.7, 0.2, 0.1, 0.4])


def reported(frame=MARITAL, answers=LABELS, scores=SCORES, *, threshold=0.5, **changes):
    return slice_report(
        frame,
        answers,
        scores,
        threshold=threshold,
        settings=SETTINGS.model_copy(update=changes),
        evaluation=EVALUATION,
    )


def figures(slices, level):
    [found] = [each for each in slices.slices if each.level == level]
    return found.figures


def calibrated_sample(rows, generator):
    """Draw customers whose scores are the true probabilities, whatever their job."""
    frame = pd.DataFrame({"job": generator.choice(JOBS, rows)})
    scores = generator.beta(1, 4, rows)
    return frame, (generator.random(rows) < scores).astype(int), scores


def difference(value, standard_error):
    return SliceDifference(
        column="job",
        level="student",
        rows=100,
        roc_auc=RocAucDifference(
            challenger=0.7,
            champion=0.7 - value,
            difference=Interval(value=value, low=value, high=value),
            standard_error=standard_error,
            p_value=0.5,
        ),
    )


@pytest.mark.parametrize(
    ("level", "expected"),
    [
        # .9 beats six others, .3 five: 11 of 12. Two calls, one of two subscribers among them.
        ("married", (11 / 12, 2.7 / 8, 2 / 8, 2 / 8, 1 / 2, 1 / 2)),
        # .9 and .8 beat three others, .6 two: 8 of 9. Four calls, all three subscribers.
        ("single", (8 / 9, 3.3 / 6, 3 / 6, 4 / 6, 1, 3 / 4)),
    ],
)
def test_figures_match_a_hand_computation(level, expected):
    found = figures(reported(), level)

    values = (
        found.roc_auc.value,
        found.predicted,
        found.observed.value,
        found.selection_rate.value,
        found.true_positive_rate.value,
        found.precision.value,
    )
    assert values == pytest.approx(expected)


def test_shares_have_wilson_intervals():
    found = figures(reported(), "single").true_positive_rate

    # Three of three lies above n / (n + z^2) = 3 / 6.8415.
    assert (found.low, found.high) == pytest.approx((0.43850, 1), abs=1e-5)


def test_all_customers_stand_beside_the_groups():
    overall = reported().overall

    # 5 of 15 subscribed; 6 are called, with 4 of the subscribers.
    values = (overall.observed.value, overall.selection_rate.value, overall.precision.value)
    assert values == pytest.approx((5 / 15, 6 / 15, 4 / 6))


def test_a_slice_that_is_too_small_is_counted_and_not_judged():
    slices = reported()

    divorced = slices.slices[0]
    assert (divorced.level, divorced.rows, divorced.positives) == ("divorced", 1, 0)
    assert divorced.figures is None


@pytest.mark.parametrize(
    ("limit", "judged"),
    [
        ({"min_rows": 6, "min_positives": 2}, ["married", "single"]),
        ({"min_rows": 7, "min_positives": 2}, ["married"]),
        ({"min_rows": 1, "min_positives": 3}, ["single"]),
        ({"min_rows": 1, "min_positives": 4}, []),
    ],
)
def test_a_slice_needs_rows_and_enough_of_both_classes(limit, judged):
    slices = reported(**limit)

    assert [each.level for each in slices.slices if each.figures] == judged


def test_age_is_cut_into_bands():
    ages = pd.DataFrame({"age": [29, 30, 39, 40, 59, 60, 98]})

    slices = reported(
        ages,
        np.array([0, 1, 0, 1, 0, 1, 0]),
        np.linspace(0, 1, 7),
        columns=("age",),
        sensitive=(),
    )

    assert {each.level: each.rows for each in slices.slices} == {
        "under 30": 1,
        "30 to 39": 2,
        "40 to 49": 1,
        "50 to 59": 1,
        "60 and over": 2,
    }


def test_fairness_matches_a_hand_computation():
    [fairness] = reported().fairness

    # Called are 1/4 of the married and 2/3 of the single; of the subscribers 1/2 and all.
    assert (fairness.column, fairness.largest) == ("marital", "married")
    assert fairness.impact_ratio.value == pytest.approx(3 / 8)
    assert {level: each.value for level, each in fairness.impact_on.items()} == pytest.approx(
        {"single": 8 / 3}
    )
    assert fairness.opportunity_gap.value == pytest.approx(1 / 2)


def test_interval_of_an_impact_ratio_is_that_of_the_normal_approximation_of_its_logarithm():
    frame = pd.DataFrame({"marital": ["married"] * 3_000 + ["single"] * 1_000})
    scores = np.concatenate([np.arange(3_000) % 10 < 3, np.arange(1_000) % 10 < 2]).astype(float)
    settings = EVALUATION.model_copy(update={"resamples": 4_000})

    slices = slice_report(
        frame,
        np.arange(4_000) // 5 % 2,
        scores,
        threshold=0.5,
        settings=SETTINGS,
        evaluation=settings,
    )

    # log(2/3) +- 1.96 * sqrt(0.7 / (3000 * 0.3) + 0.8 / (1000 * 0.2)), a standard error of 0.0691.
    ratio = slices.fairness[0].impact_on["single"]
    assert ratio.value == pytest.approx(2 / 3)
    assert (ratio.low, ratio.high) == pytest.approx((0.5822, 0.7634), rel=0.02)


def test_whom_nobody_calls_nobody_is_disfavoured():
    slices = reported(threshold=1.0)

    [fairness] = slices.fairness
    assert (fairness.impact_ratio.value, fairness.impact_on) == (1, {})
    assert (fairness.opportunity_gap.value, fairness.p_value) == (0, 1)
    assert figures(slices, "married").precision is None


def test_a_group_is_held_against_four_fifths_of_another_by_the_score_test():
    frame = pd.DataFrame({"marital": ["married"] * 200 + ["single"] * 100})
    scores = np.concatenate([np.arange(200) < 80, np.arange(100) < 20]).astype(float)

    slices = reported(frame, np.arange(300) % 2, scores)

    # 20 of 100 against 0.8 of 80 of 200. With a ratio of 0.8 the likeliest rates are 0.3603 and
    # 0.8 of it, 0.2883: z = (0.2 - 0.32) / sqrt(0.2883 * 0.7117 / 100 + 0.64 * 0.3603 * 0.6397 /
    # 200) = -2.2721, p = 0.01154, the smaller one of two pairs.
    [fairness] = slices.fairness
    assert fairness.p_value == pytest.approx(2 * 0.01154, rel=1e-3)
    assert slices.is_uneven(fairness)


def test_groups_that_are_called_alike_are_rarely_uneven_beyond_chance():
    generator = np.random.default_rng(0)
    twelve = next(each for each in schema.COLUMNS if each.name == "job").categories
    frame = pd.DataFrame({"job": np.repeat(twelve, 150)})

    def is_flagged() -> bool:
        answers, scores = generator.integers(2, size=1_800), generator.random(1_800)
        slices = reported(frame, answers, scores, threshold=0.8, columns=(), sensitive=("job",))
        return slices.is_uneven(slices.fairness[0])

    # Their lowest rate is less than four fifths of the highest in every table.
    assert np.mean([is_flagged() for _ in range(100)]) <= 0.05


def test_one_group_alone_cannot_be_compared():
    assert reported(min_rows=7).fairness == ()


def test_a_sensitive_column_is_shown_though_it_is_not_declared_as_a_slice():
    slices = reported(columns=())

    assert [each.level for each in slices.slices] == ["divorced", "married", "single"]


def test_scores_that_are_true_everywhere_rarely_give_a_finding():
    generator = np.random.default_rng(0)

    findings = [
        reported(*calibrated_sample(1_000, generator), columns=("job",), sensitive=()).findings
        for _ in range(100)
    ]

    # Of 14 questions at 95 %, one would look remarkable in half of the tables, uncorrected.
    assert np.mean([bool(found) for found in findings]) <= 0.12


def test_a_slice_in_which_the_scores_mean_nothing_is_found():
    generator = np.random.default_rng(0)
    frame, answers, scores = calibrated_sample(4_000, generator)
    students = (frame["job"] == "student").to_numpy()
    answers[students] = generator.permutation(answers[students])

    slices = reported(frame, answers, scores, columns=("job",), sensitive=())

    finding = slices.findings[0]
    assert (finding.column, finding.level) == ("job", "student")
    assert re.match(r"ROC AUC is 0\.[45]\d\d, among all others 0\.7", finding.statement)
    assert slices.questions == 14


def test_a_slice_in_which_the_probabilities_are_too_high_is_found():
    frame, answers, scores = calibrated_sample(4_000, np.random.default_rng(0))
    students = (frame["job"] == "student").to_numpy()
    observed = answers[students].mean()

    slices = reported(
        frame,
        answers,
        np.where(students, scores * 1.5, scores).clip(0, 1),
        columns=("job",),
        sensitive=(),
    )

    finding = slices.findings[0]
    assert (finding.column, finding.level) == ("job", "student")
    assert finding.statement.startswith(f"{observed:.1%} subscribed")
    assert finding.p_value < 0.01


def test_p_values_are_corrected_for_the_number_of_questions():
    # Both groups have the same ROC AUC, 1; of the married all 20 scores are 0.5, a half is true.
    frame = pd.DataFrame({"marital": ["married"] * 20 + ["single"] * 20})
    scores = np.full(40, 0.5)
    answers = np.array([1] * 16 + [0] * 4 + [1] * 10 + [0] * 10)

    [finding] = reported(frame, answers, scores, sensitive=()).findings

    # z = (16 - 10) / sqrt(20 / 4) = 2.6833, p = 0.0072904, the smallest of four.
    assert finding.statement == "80.0% subscribed, 50.0% were predicted"
    assert finding.p_value == pytest.approx(4 * 0.0072904, abs=1e-5)


def test_the_groups_of_the_real_table_have_their_known_sizes(real_table, settings):
    slices = slice_report(
        real_table,
        labels(real_table),
        np.full(len(real_table), 0.11265),  # the share of all who subscribed
        threshold=0.1,
        settings=settings.slices,
        evaluation=EVALUATION,
    )

    # Counted in the file; 80 are fewer than `min_rows`.
    marital = {each.level: each for each in slices.slices if each.column == "marital"}
    assert {level: each.rows for level, each in marital.items()} == {
        "divorced": 4612,
        "married": 24928,
        "single": 11568,
        "unknown": 80,
    }
    assert [level for level, each in marital.items() if each.figures is None] == ["unknown"]


def test_customers_are_reported_in_every_declared_column(contacts, settings):
    probabilities = np.random.default_rng(0).random(len(contacts))

    slices = slice_report(
        contacts,
        labels(contacts),
        probabilities,
        threshold=0.5,
        settings=settings.slices,
        evaluation=EVALUATION,
    )

    rows = {
        column: sum(each.rows for each in slices.slices if each.column == column)
        for column in settings.slices.columns
    }
    assert rows == dict.fromkeys(settings.slices.columns, len(contacts))
    assert [each.column for each in slices.fairness] == ["age", "marital"]


def test_slices_survive_json():
    slices = reported()

    assert Slices.model_validate_json(slices.model_dump_json()) == slices


def test_models_are_compared_in_each_judged_slice():
    differences = compare_slices(
        MARITAL, LABELS, SCORES, -SCORES, settings=SETTINGS, confidence=0.95
    )

    # The reversed order has 1 - 11/12 and 1 - 8/9.
    found = {each.level: (each.rows, each.roc_auc.difference.value) for each in differences}
    assert found == {
        "married": (8, pytest.approx(10 / 12)),
        "single": (6, pytest.approx(7 / 9)),
    }


def test_a_slice_that_loses_beyond_chance_is_named():
    verdict = no_slice_lost((difference(-0.2, 0.05),), margin=0.1, confidence=0.95)

    # Even the upper bound, -0.2 + 1.6449 * 0.05, is a larger loss than the margin.
    assert not verdict.holds
    assert verdict.statement == (
        "1 of 1 slices lose more than 0.1 of roc_auc beyond chance: "
        "job student (-0.2000, at most -0.1178)"
    )


def test_the_same_loss_can_be_chance_among_many_slices():
    others = [difference(0.0, 0.05)] * 9

    verdict = no_slice_lost((difference(-0.2, 0.05), *others), margin=0.1, confidence=0.95)

    # At 99.5 % for each of ten: -0.2 + 2.5758 * 0.05 = -0.0712.
    assert verdict.holds
    assert verdict.statement == (
        "0 of 10 slices lose more than 0.1 of roc_auc beyond chance; "
        "maybe by chance: job student (-0.2000, at most -0.0712)"
    )


def test_slices_that_lose_no_more_than_the_margin_are_not_named():
    verdict = no_slice_lost((difference(-0.1, 0.05),), margin=0.1, confidence=0.95)

    assert verdict.holds
    assert verdict.statement == "0 of 1 slices lose more than 0.1 of roc_auc beyond chance"


@pytest.mark.parametrize("short", ["answers", "scores"])
def test_every_row_needs_a_label_and_a_probability(short):
    arrays = {"answers": LABELS, "scores": SCORES}

    with pytest.raises(
        DataError, match=r"slices of 15 rows need .* of shape \(15,\), got .*\(14,\)"
    ):
        reported(**arrays | {short: arrays[short][:-1]})


def test_models_are_compared_only_where_every_row_has_both_probabilities():
    with pytest.raises(DataError, match=r"got \(15,\), \(15,\), \(14,\)"):
        compare_slices(MARITAL, LABELS, SCORES, SCORES[:-1], settings=SETTINGS, confidence=0.95)
