"""Where trials are kept: what survives a crash, and who may go on with what."""

import re

import optuna
import pytest
from optuna.trial import TrialState

from bank_marketing.errors import PlatformError
from bank_marketing.study import (
    ERROR,
    Ownership,
    drop_copy,
    finish,
    give_back,
    is_copy,
    open_study,
    standing,
)

SPACE = {"max_depth": optuna.distributions.IntDistribution(1, 10)}


@pytest.fixture(params=["journal", "database"])
def storage(request, tmp_path):
    return None if request.param == "journal" else f"sqlite:///{tmp_path}/trials.db"


@pytest.fixture
def study(storage, tmp_path):
    with open_study("test", maximize=False, storage=storage, folder=tmp_path) as opened:
        yield opened


@pytest.fixture
def clock(monkeypatch):
    """A monotonic clock that stands still until it is told to move."""
    now = [1_000.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])

    def move(seconds):
        now[0] += seconds

    return move


def states(study):
    return [trial.state.name for trial in study.get_trials()]


def test_a_study_is_found_again_with_its_trials(study, storage, tmp_path):
    finish(study, study.ask(SPACE).number, TrialState.COMPLETE, 0.5)

    with open_study("test", maximize=False, storage=storage, folder=tmp_path) as again:
        values = [trial.value for trial in standing(again).finished]

    assert values == [0.5]


def test_a_line_that_a_killed_writer_left_unfinished_is_dropped(tmp_path):
    with open_study("test", maximize=False, storage=None, folder=tmp_path) as study:
        finish(study, study.ask(SPACE).number, TrialState.COMPLETE, 0.5)
    with (tmp_path / "test.journal").open("ab") as journal:
        journal.write(b'{"op_code":4,"worker_')

    with open_study("test", maximize=False, storage=None, folder=tmp_path) as study:
        finish(study, study.ask(SPACE).number, TrialState.COMPLETE, 0.25)
    with open_study("test", maximize=False, storage=None, folder=tmp_path) as study:
        values = [trial.value for trial in standing(study).finished]

    assert values == [0.5, 0.25]


def test_a_trial_that_is_given_back_is_the_next_one_and_counts_once(study):
    first = study.ask(SPACE)

    give_back(study, first.number)
    second = study.ask(SPACE)
    finish(study, second.number, TrialState.COMPLETE, 0.5)

    assert second.params == first.params
    assert [trial.number for trial in standing(study).finished] == [second.number]


def test_a_trial_that_failed_by_itself_counts(study):
    trial = study.ask(SPACE)
    trial.set_user_attr(ERROR, "refused")

    finish(study, trial.number, TrialState.FAIL)

    assert [each.number for each in standing(study).finished] == [trial.number]


def test_a_trial_ends_only_once(study):
    trial = study.ask(SPACE)

    ends = [finish(study, trial.number, TrialState.COMPLETE, value) for value in (0.5, 0.25)]

    assert ends == [True, False]
    assert study.trials[0].value == 0.5


def test_the_trial_of_a_process_without_a_sign_of_life_is_freed(study, clock):
    dead, alive = Ownership(study), Ownership(study)
    dead.show_life()
    dead.claim(study.ask(SPACE))

    alive.free_stalled()
    before = states(study)
    clock(11)
    alive.free_stalled()

    assert before == ["RUNNING"]
    assert states(study) == ["FAIL", "WAITING"]


def test_the_trial_of_a_process_that_shows_life_is_its_own(study, clock):
    one, other = Ownership(study), Ownership(study)
    one.claim(study.ask(SPACE))

    for _ in range(5):
        clock(4)
        one.show_life()
        other.free_stalled()

    assert states(study) == ["RUNNING"]


def test_a_process_never_frees_its_own_trial(study, clock):
    slow = Ownership(study)
    slow.claim(study.ask(SPACE))

    slow.free_stalled()
    clock(11)
    slow.free_stalled()

    assert states(study) == ["RUNNING"]


def test_a_trial_whose_process_died_before_claiming_it_is_freed(study, clock):
    study.enqueue_trial({"max_depth": 7})
    study.ask()

    survivor = Ownership(study)
    survivor.free_stalled()
    clock(11)
    survivor.free_stalled()

    assert study.ask(SPACE).params == {"max_depth": 7}


def test_a_trial_that_is_just_being_begun_does_not_inherit_the_age_of_another(study, clock):
    watcher = Ownership(study)
    first = study.ask(SPACE)
    watcher.free_stalled()
    finish(study, first.number, TrialState.COMPLETE, 0.5)
    clock(11)

    study.ask(SPACE)
    watcher.free_stalled()

    assert states(study) == ["COMPLETE", "RUNNING"]


def test_a_trial_that_two_processes_planned_is_tried_once(study):
    study.enqueue_trial({"max_depth": 7})
    study.enqueue_trial({"max_depth": 7})
    trials = [study.ask(SPACE), study.ask(SPACE)]

    assert [is_copy(study, trial.number, known={0}) for trial in trials] == [False, True]


def test_a_planned_trial_that_was_given_back_is_no_copy(study):
    study.enqueue_trial({"max_depth": 7})
    give_back(study, study.ask(SPACE).number)

    assert not is_copy(study, study.ask(SPACE).number, known=())


@pytest.mark.parametrize(("known", "copy"), [((), True), ({0}, False)])
def test_of_equal_trials_begun_at_the_same_moment_the_second_is_a_copy(study, known, copy):
    one = {"max_depth": optuna.distributions.IntDistribution(3, 3)}
    trials = [study.ask(one), study.ask(one)]

    assert [is_copy(study, trial.number, known=known) for trial in trials] == [False, copy]


def test_a_dropped_copy_does_not_count_as_finished(study):
    drop_copy(study, study.ask(SPACE))

    assert standing(study) == ((), (), 1)


def test_every_trial_counts_once_while_others_end_some(study, monkeypatch):
    ends, becomes_a_copy = study.ask(SPACE), study.ask(SPACE)
    read = study.get_trials

    def read_while_others_work(**options):
        trials = read(**options)
        finish(study, ends.number, TrialState.COMPLETE, 0.5)
        becomes_a_copy.set_user_attr("copy", value=True)  # the first half of dropping it
        return trials

    monkeypatch.setattr(study, "get_trials", read_while_others_work)

    first, second = standing(study), standing(study)

    assert len(first.finished + first.running) + first.copies == 2
    assert len(second.finished + second.running) + second.copies == 2


@pytest.mark.parametrize(
    ("scheme", "package"),
    [("mysql", "mysqlclient"), ("mysql+asyncmy", "asyncmy"), ("postgresql+pg8000", "pg8000")],
)
def test_a_missing_driver_is_named_with_its_package(tmp_path, scheme, package):
    with (
        pytest.raises(PlatformError, match=f"names a {re.escape(scheme)} .*/python {package}$"),
        open_study("test", maximize=False, storage=f"{scheme}://host/trials", folder=tmp_path),
    ):
        pass


@pytest.mark.parametrize(
    "storage", ["sqlite:////no/such/folder/trials.db", "nosuchdatabase://host/trials"]
)
def test_a_database_that_cannot_be_used_is_named_by_its_setting(tmp_path, storage):
    with (
        pytest.raises(PlatformError, match=r"tuning\.storage cannot be used"),
        open_study("test", maximize=False, storage=storage, folder=tmp_path),
    ):
        pass
