"""What a search is asked for: settings that cannot work are refused before anything is trained."""

import pytest

from bank_marketing.errors import SettingsError
from bank_marketing.folds import impatient
from bank_marketing.search import is_hopeless
from bank_marketing.tuning import starting_points, tune

PEERS = [0.20, 0.24, 0.28, 0.32, 0.36]  # a quarter of them lies below 0.24, a quarter above 0.32


@pytest.fixture
def plan(contacts, settings, tmp_path):
    """Return the name and the model of a search without trials, or its error."""

    def tune_with(*, frame=contacts, features=settings.features, model=None, **changes):
        return tune(
            frame,
            features,
            settings.model.model_copy(update=model or {}),
            settings.tuning.model_copy(update={"trials": 0, **changes}),
            study_folder=tmp_path,
            progress=print,
        )

    return tune_with


def space(settings, **bounds):
    return tuple(
        each.model_copy(update=bounds.get(each.name, {})) for each in settings.tuning.search_space
    )


def test_without_trials_the_model_section_is_the_result(plan, settings, tmp_path):
    tuning = plan()

    assert tuning.model == settings.model
    assert (tuning.best, tuning.trials, tuning.resumed) == (None, (), 0)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "changes",
    [{"folds": 4}, {"metric": "roc_auc"}, {"seed": 1}, {"model": {"n_estimators": 7}}],
    ids=str,
)
def test_what_changes_a_value_begins_another_study(plan, changes):
    assert plan(**changes).study != plan().study


def test_another_table_begins_another_study(plan, contacts):
    assert plan(frame=contacts.iloc[:-1]).study != plan().study


def test_other_columns_begin_another_study(plan, settings):
    economic = settings.features.model_copy(update={"economic_indicators": True})

    assert plan(features=economic).study != plan().study


def test_another_search_space_begins_another_study(plan, settings):
    narrower = space(settings, max_depth={"high": 9.0})

    assert plan(search_space=narrower).study != plan().study


@pytest.mark.parametrize(
    "changes",
    [{"timeout_s": 5.0}, {"workers": 1}, {"starting_points": ()}, {"model": {"n_jobs": 2}}],
    ids=str,
)
def test_what_changes_no_value_continues_the_study(plan, changes):
    assert plan(**changes).study == plan().study


def test_a_search_space_beyond_what_a_model_may_have_is_refused(plan, settings):
    with pytest.raises(SettingsError, match=r"search_space: subsample: .* equal to 1, got 3"):
        plan(search_space=space(settings, subsample={"high": 3.0}))


def test_a_starting_point_that_takes_what_the_space_lacks_from_the_model_is_refused(plan):
    with pytest.raises(SettingsError, match="max_depth=12; search_space allows int from 2 to 10"):
        plan(model={"max_depth": 12})


def test_a_starting_point_with_half_a_level_is_refused(plan):
    with pytest.raises(SettingsError, match=r"max_depth=3\.5; search_space allows int"):
        plan(starting_points=({"max_depth": 3.5},))


def test_the_model_section_moves_the_configured_starting_point_that_it_is_and_no_other(settings):
    other = settings.model.model_copy(update={"reg_alpha": 3.0, "colsample_bytree": 0.9})

    before = starting_points(settings.tuning, settings.model)
    after = starting_points(settings.tuning, other)

    assert [a == b for a, b in zip(after, before, strict=True)] == [False, True, True, True]


@pytest.mark.parametrize(
    ("mean", "metric", "hopeless"),
    [
        (0.23, "log_loss", False),
        (0.25, "log_loss", True),
        (0.33, "roc_auc", False),
        (0.31, "roc_auc", True),
    ],
)
def test_a_trial_is_given_up_unless_it_is_in_the_better_quarter(mean, metric, hopeless):
    assert is_hopeless(mean, PEERS, metric) is hopeless


def test_no_trial_is_given_up_before_there_is_something_to_compare_with():
    assert not is_hopeless(0.9, PEERS[:3], "log_loss")


def test_a_trial_has_one_thread_and_half_the_patience_of_the_final_training(settings):
    final = settings.model.model_copy(update={"n_jobs": 4, "early_stopping_rounds": 5})

    trial = impatient(final)

    assert trial == final.model_copy(update={"n_jobs": 1, "early_stopping_rounds": 3})
