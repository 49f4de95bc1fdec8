"""The replay by what it may not depend on; what it answers by hand."""

import pandas as pd
import pytest

from bank_marketing.backtest import Backtest, Cadence, Period, backtest
from bank_marketing.config import BacktestSettings
from bank_marketing.errors import DataError
from bank_marketing.evaluation import Interval
from bank_marketing.turns import find_months

MONTHLY = BacktestSettings(
    strategy="sliding",
    window_rows=1_500,
    min_train_rows=1_000,
    retrain_rows=None,
    label_delay_months=0,
    max_roc_auc_loss=0.01,
)


def around(value, margin=0.02):
    return Interval(value=value, low=value - margin, high=value + margin)


def cadences(*differences, margin=0.005):
    """Return retraining every 1, 3 and 6 months and never, by their difference to the first."""
    return tuple(
        Cadence(
            months=months,
            trainings=1,
            roc_auc=around(0.7 + each),
            difference=around(each, margin if each else 0),
        )
        for months, each in zip((1, 3, 6, None), (0, *differences), strict=True)
    )


def month_of(*, rows, positives, roc_auc):
    metrics = None if roc_auc is None else {"roc_auc": around(roc_auc)}
    return Period(
        year=1,
        month="may",
        rows=rows,
        positives=positives,
        trainings=1,
        metrics=metrics,
        baselines=None,
    )


@pytest.fixture(scope="module")
def replay(settings):
    """Replay a table quickly."""
    model = settings.model.model_copy(
        update={
            "n_estimators": 10,
            "early_stopping_rounds": 3,
            "learning_rate": 0.3,
            "max_depth": 3,
        }
    )
    evaluation = settings.evaluation.model_copy(update={"resamples": 100})

    def replay(data: pd.DataFrame, held_out: str = "random", **changes) -> Backtest:
        chosen = MONTHLY.model_copy(update=changes)
        split = settings.split.model_copy(update={"strategy": held_out})
        return backtest(data, settings.features, model, chosen, evaluation, split)

    return replay


@pytest.fixture(scope="module")
def replayed(replay, contacts):
    return replay(contacts)


def test_pooled_figures_are_about_the_rows_of_all_months(replayed, contacts):
    scored = contacts["y"][1_000:]

    assert replayed.rows == sum(period.rows for period in replayed.periods) == len(scored)
    assert replayed.positives == sum(period.positives for period in replayed.periods)
    assert replayed.positives == (scored == "yes").sum()


def test_every_month_has_its_own_model_if_retrained_monthly(replayed):
    assert {period.trainings for period in replayed.periods} == {1}
    assert replayed.trainings == len(replayed.periods)


def test_monthly_retraining_is_its_own_cadence_and_never_is_the_baseline(replayed):
    monthly, *_, never = replayed.cadences

    assert monthly.roc_auc.value == pytest.approx(replayed.metrics["roc_auc"].value)
    assert monthly.difference == Interval(value=0, low=0, high=0)
    assert never.trainings == 1
    assert never.roc_auc.value == pytest.approx(
        replayed.baselines["never_retrained"]["roc_auc"].value
    )


def test_answers_from_a_month_on_change_nothing_before(replay, replayed, contacts):
    start = find_months(contacts)[-3].rows.start
    later = contacts.index >= start
    flipped = contacts["y"].map({"yes": "no", "no": "yes"})

    changed = replay(contacts.assign(y=contacts["y"].mask(later, flipped)))

    assert changed.periods[:-3] == replayed.periods[:-3]
    assert changed.periods[-1] != replayed.periods[-1]


def test_the_split_of_the_pipeline_says_which_rows_stop_the_training(replay, replayed, contacts):
    latest = replay(contacts, held_out="temporal")

    assert latest.trainings == replayed.trainings
    assert latest.metrics["roc_auc"] != replayed.metrics["roc_auc"]


def test_with_a_delay_the_answers_of_a_month_do_not_reach_the_next(replay, contacts):
    in_march = find_months(contacts)[-9].rows
    flipped = contacts["y"].map({"yes": "no", "no": "yes"})
    march = (contacts.index >= in_march.start) & (contacts.index < in_march.stop)

    before = replay(contacts, label_delay_months=1)
    after = replay(contacts.assign(y=contacts["y"].mask(march, flipped)), label_delay_months=1)

    assert after.periods[-8] == before.periods[-8]
    assert after.periods[-7] != before.periods[-7]


def test_a_month_of_one_answer_has_no_metrics_but_counts_in_the_pooled_ones(replay, contacts):
    last = find_months(contacts)[-1].rows
    refused = contacts.index >= last.start

    result = replay(contacts.assign(y=contacts["y"].mask(refused, "no")))

    period = result.periods[-1]
    assert (period.rows, period.positives) == (last.stop - last.start, 0)
    assert (period.metrics, period.baselines) == (None, None)
    assert result.rows == len(contacts) - 1_000


def test_roc_auc_within_months_weighs_each_month_by_its_pairs(replayed):
    periods = (
        month_of(rows=4, positives=2, roc_auc=0.5),
        month_of(rows=5, positives=0, roc_auc=None),
        month_of(rows=9, positives=1, roc_auc=0.8),
    )

    result = replayed.model_copy(update={"periods": periods})

    # 2 x 2 and 1 x 8 pairs: (4 x 0.5 + 8 x 0.8) / 12.
    assert result.roc_auc_within_months == pytest.approx(0.7)
    assert result.model_copy(update={"periods": periods[1:2]}).roc_auc_within_months is None


def test_the_rarest_retraining_that_surely_loses_little_is_enough(replayed):
    result = replayed.model_copy(update={"cadences": cadences(-0.03, -0.004, -0.20)})

    assert result.needed_cadence.months == 6
    assert result.answer == (
        "Retrain this model every 6 months: it then reaches ROC-AUC 0.696 (0.676 to 0.716). "
        "Retrained never, it differs by -0.200 (-0.205 to -0.195) from retraining every month, "
        "where a loss of more than 0.01 cannot be ruled out. "
        "That is with one model.seed; with another the answer may differ."
    )


def test_monthly_retraining_is_needed_where_the_calls_are_too_few_to_tell(replayed):
    wide = cadences(-0.03, 0.01, -0.06, margin=0.07)

    result = replayed.model_copy(update={"cadences": wide})

    assert result.answer == (
        "Retrain this model every month: it then reaches ROC-AUC 0.700 (0.680 to 0.720). "
        "Retrained every 3 months, it differs by -0.030 (-0.100 to +0.040) from retraining every "
        "month, where a loss of more than 0.01 cannot be ruled out. "
        "That is with one model.seed; with another the answer may differ."
    )


def test_no_retraining_is_needed_where_the_first_model_stays_as_good(replayed):
    result = replayed.model_copy(update={"cadences": cadences(-0.03, -0.04, 0.01)})

    assert result.answer == (
        "This model need not be retrained: the first reaches ROC-AUC 0.710 (0.690 to 0.730). "
        "It differs by +0.010 (+0.005 to +0.015) from retraining every month, "
        "where a loss of more than 0.01 is ruled out. "
        "That is with one model.seed; with another the answer may differ."
    )


def test_the_configured_loss_decides_how_rare_is_enough(replayed):
    generous = replayed.settings.model_copy(update={"max_roc_auc_loss": 0.04})

    result = replayed.model_copy(
        update={"cadences": cadences(-0.03, -0.05, -0.2), "settings": generous}
    )

    assert result.needed_cadence.months == 3


def test_replaying_twice_gives_the_same(replay, replayed, contacts):
    assert replay(contacts) == replayed


def test_a_window_of_one_answer_is_refused(replay, contacts):
    first = contacts.index < 1_500

    with pytest.raises(DataError, match="answers of rows 0 to 999 are all the same"):
        replay(contacts.assign(y=contacts["y"].mask(first, "no")))


def test_backtest_survives_json(replayed):
    assert Backtest.model_validate_json(replayed.model_dump_json()) == replayed
