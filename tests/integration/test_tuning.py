"""Whole searches: what they find, and what is left of them when something ends them."""

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bank_marketing.config import ModelSettings, Range, TuningSettings
from bank_marketing.errors import PlatformError, SettingsError
from bank_marketing.folds import CrossValidation, fold_rows, quickest_first
from bank_marketing.study import open_study, standing
from bank_marketing.tuning import Tuning, tune
from tests.postgres_server import serve_postgres

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parent.parent.parent

MODEL = {"n_estimators": 30, "early_stopping_rounds": 5, "max_depth": 4}
TUNING = {
    "trials": 8,
    "timeout_s": 120.0,
    "folds": 3,
    "workers": 1,
    "search_space": (
        Range(name="learning_rate", type="float", low=0.01, high=0.9, scale="log"),
        Range(name="max_depth", type="int", low=1, high=8, scale="linear"),
    ),
    "starting_points": ({}, {"max_depth": 2}, {"learning_rate": 0.2, "max_depth": 3}),
}

# Searches on and on, and says how far it is; runs in a process of its own, to be killed.
ENDLESS = """
import multiprocessing, sys
from pathlib import Path
from bank_marketing.config import FeatureSettings, ModelSettings, TuningSettings
from bank_marketing.synthetic import make_table
from bank_marketing.tuning import Tuning, tune

def show(progress):
    workers = [process.pid for process in multiprocessing.active_children()]
    print(progress.finished, *workers, flush=True)

if __name__ == "__main__":
    model, tuning, folder = sys.argv[1:]
    tune(
        make_table(rows=4_000, seed=1),
        FeatureSettings(economic_indicators=False),
        ModelSettings.model_validate_json(model),
        TuningSettings.model_validate_json(tuning),
        study_folder=Path(folder),
        progress=show,
    )
"""


@pytest.fixture(scope="module")
def model(settings) -> ModelSettings:
    return settings.model.model_copy(update=MODEL)


@pytest.fixture(scope="module")
def small(settings) -> TuningSettings:
    return settings.tuning.model_copy(update=TUNING)


@pytest.fixture(scope="module")
def search(contacts, settings, model, small):
    def tune_with(folder, *, progress=lambda _: None, **changes):
        return tune(
            contacts,
            settings.features,
            model,
            small.model_copy(update=changes),
            study_folder=folder,
            progress=progress,
        )

    return tune_with


@pytest.fixture(scope="module")
def steps():
    return []


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("studies")


@pytest.fixture(scope="module")
def tuned(search, folder, steps):
    """One search with one worker, which several tests look at."""
    return search(folder, progress=steps.append)


@pytest.fixture(scope="module")
def postgres():
    with serve_postgres() as url:
        yield url


@pytest.fixture
def start_endless(tmp_path, model, small):
    """Start a process that tunes in `tmp_path`; killed at the end of the test."""
    script = tmp_path / "endless.py"
    script.write_text(ENDLESS)
    started = []

    def start(**changes):
        tuning = small.model_copy(update=changes)
        process = subprocess.Popen(
            [
                sys.executable,
                script,
                model.model_dump_json(),
                tuning.model_dump_json(),
                tmp_path,
            ],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()
        process.stdout.close()


def stored(name, folder, storage=None):
    """Return what is known of each finished trial, by number."""
    with open_study(name, maximize=False, storage=storage, folder=folder) as study:
        return {
            trial.number: (trial.params, trial.value, trial.intermediate_values)
            for trial in standing(study).finished
        }


def owners(name, folder, storage):
    """Return the processes that finished a trial."""
    with open_study(name, maximize=False, storage=storage, folder=folder) as study:
        return {trial.user_attrs["owner"] for trial in standing(study).finished}


def without_seconds(tuning):
    return [trial.model_dump(exclude={"seconds"}) for trial in tuning.trials]


def test_the_first_trials_are_the_starting_points(tuned, model):
    first = [trial.hyperparameters for trial in tuned.trials[:3]]

    assert first == [
        {"learning_rate": model.learning_rate, "max_depth": 4},
        {"learning_rate": model.learning_rate, "max_depth": 2},
        {"learning_rate": 0.2, "max_depth": 3},
    ]


def test_whole_numbers_stay_whole_when_a_search_is_stored(tuned):
    again = Tuning.model_validate_json(tuned.model_dump_json())

    kinds = {
        (name, type(value))
        for trial in again.trials
        for name, value in trial.hyperparameters.items()
    }
    assert again == tuned
    assert kinds == {("learning_rate", float), ("max_depth", int)}


def test_the_model_has_the_values_of_the_best_trial_and_keeps_its_limit_of_trees(tuned, model):
    complete = [trial for trial in tuned.trials if trial.state == "complete"]
    best = min(complete, key=lambda trial: trial.value)

    assert tuned.model == model.model_copy(update=best.hyperparameters)
    assert tuned.model.n_estimators == 30
    assert tuned.best.value == best.value


def test_a_trial_is_trained_with_half_the_patience(tuned, contacts, settings, model, small):
    half = model.model_copy(update={"early_stopping_rounds": 3})  # of 5

    rows = fold_rows(contacts, settings.features, folds=small.folds, seed=small.seed)
    validation = CrossValidation(quickest_first(rows, half), small.metric)
    expected = [validation.score(half, fold).value for fold in range(small.folds)]
    assert tuned.trials[0].fold_values == tuple(expected)


def test_the_value_of_a_trial_is_the_mean_of_its_folds(tuned):
    for trial in tuned.trials:
        assert trial.value == pytest.approx(sum(trial.fold_values) / len(trial.fold_values))
        assert 1 <= trial.trees <= 30


def test_a_trial_without_a_chance_is_pruned_before_its_last_fold(tuned):
    folds = {trial.state: len(trial.fold_values) for trial in tuned.trials}

    assert folds["complete"] == 3
    assert folds["pruned"] in (1, 2)


def test_progress_is_reported_from_the_start_to_the_end(tuned, steps):
    finished = [step.finished for step in steps]

    assert (finished[0], finished[-1]) == (0, 8)
    assert finished == sorted(finished)
    assert (steps[0].best_value, steps[-1].best_value) == (None, tuned.best.value)
    assert (steps[0].seconds_left, steps[-1].seconds_left) == (None, 0)


def test_a_finished_study_is_reused_without_training(tuned, search, folder):
    again = search(folder, progress=lambda _: pytest.fail("something was trained"))

    assert again == tuned.model_copy(update={"resumed": 8})


def test_of_a_study_with_more_trials_than_wanted_the_first_count(tuned, search, folder):
    fewer = search(folder, trials=4)

    complete = [trial.value for trial in tuned.trials[:4] if trial.state == "complete"]
    assert fewer.trials == tuned.trials[:4]
    assert (fewer.resumed, fewer.best.value) == (4, min(complete))


def test_one_worker_finds_the_same_again_also_when_it_is_interrupted(tuned, search, tmp_path):
    def interrupt(step):
        if step.finished == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        search(tmp_path, progress=interrupt)
    left_over = multiprocessing.active_children()
    resumed = search(tmp_path)

    assert left_over == []
    assert resumed.resumed == 5
    assert [
        (trial["hyperparameters"], trial["fold_values"]) for trial in without_seconds(resumed)
    ] == [(trial["hyperparameters"], trial["fold_values"]) for trial in without_seconds(tuned)]
    assert resumed.model == tuned.model


def test_no_finished_trial_is_lost_when_the_search_is_killed(
    search, tuned, start_endless, tmp_path
):
    endless = start_endless(trials=10_000, workers=2)
    for line in endless.stdout:
        finished, *workers = map(int, line.split())
        if finished >= 20:
            break
    os.kill(endless.pid, signal.SIGKILL)
    endless.wait()
    before = stored(tuned.study, tmp_path)

    resumed = search(tmp_path, trials=len(before) + 5)

    after = stored(tuned.study, tmp_path)
    assert len(before) >= 20
    assert {number: after[number] for number in before} == before
    assert (resumed.resumed, len(resumed.trials)) == (len(before), len(before) + 5)
    assert len(workers) == 2
    assert [worker for worker in workers if is_alive(worker)] == []


def test_two_workers_share_a_study(search, tmp_path):
    tuning = search(tmp_path, trials=12, workers=2)

    assert len(tuning.trials) == len({trial.number for trial in tuning.trials}) == 12


def test_workers_run_this_code_where_a_part_of_it_stands_first_on_the_path(
    search, tmp_path, monkeypatch
):
    """As after `mlflow.pyfunc.load_model`, which leaves the code of the model there."""
    part = tmp_path / "code" / "bank_marketing"
    part.mkdir(parents=True)
    (part / "__init__.py").touch()
    monkeypatch.syspath_prepend(part.parent)
    path = sys.path[:]

    tuning = search(tmp_path, trials=2)

    assert len(tuning.trials) == 2
    assert sys.path == path


def test_two_processes_share_a_study_and_agree_on_the_result(
    search, tuned, start_endless, tmp_path
):
    other = start_endless(trials=24)
    other.stdout.readline()

    ours = search(tmp_path, trials=24)
    other.communicate(timeout=60)

    trials = stored(tuned.study, tmp_path)
    assert other.returncode == 0
    assert len(trials) in (24, 25)  # one may be begun by both as the last
    assert len(ours.trials) == 24
    assert {trial.number for trial in ours.trials} <= set(trials)
    assert ours.best.value == min(trial.value for trial in ours.trials if trial.state == "complete")


def test_two_processes_on_one_database_lose_nothing_and_try_nothing_twice(
    tuned, start_endless, tmp_path, postgres
):
    both = [start_endless(trials=24, storage=postgres) for _ in range(2)]  # an empty database

    for process in both:
        process.communicate(timeout=120)

    trials = stored(tuned.study, tmp_path, postgres)
    tried = {tuple(sorted(params.items())) for params, *_ in trials.values()}
    assert [process.returncode for process in both] == [0, 0]
    assert len(trials) == len(tried)
    assert len(trials) in (24, 25)  # one may be begun by both as the last
    assert len(owners(tuned.study, tmp_path, postgres)) == 2


def test_a_database_keeps_what_a_killed_process_had_finished(
    search, tuned, start_endless, tmp_path, postgres
):
    endless = start_endless(trials=10_000, storage=postgres, seed=7)
    for line in endless.stdout:
        if int(line.split()[0]) >= 5:
            break
    os.kill(endless.pid, signal.SIGKILL)
    endless.wait()
    name = search(tmp_path, trials=0, seed=7).study
    before = stored(name, tmp_path, postgres)

    search(tmp_path, trials=len(before) + 2, storage=postgres, seed=7)

    after = stored(name, tmp_path, postgres)
    assert len(before) >= 5
    assert len(after) == len(before) + 2
    assert {number: after[number] for number in before} == before


def test_a_search_ends_when_its_time_is_up(search, tmp_path):
    told = []  # the time runs once the workers have started, which a busy machine delays

    tuning = search(
        tmp_path,
        trials=10_000,
        timeout_s=6.0,
        progress=lambda _: told.append(time.monotonic()),
    )

    assert time.monotonic() - told[0] < 6 + 5
    assert 0 < len(tuning.trials) < 10_000
    assert trials_in_state(tuning.study, tmp_path, "RUNNING") == 0


def test_a_search_that_had_no_time_for_a_single_trial_says_so(search, tmp_path):
    with pytest.raises(SettingsError, match=r"within 0\.01 s; raise tuning\.timeout_s"):
        search(tmp_path, timeout_s=0.01)


def test_a_combination_that_was_tried_is_not_trained_again(search, tmp_path):
    two = (Range(name="max_depth", type="int", low=1, high=2, scale="linear"),)

    tuning = search(
        tmp_path, search_space=two, starting_points=({"max_depth": 1}, {"max_depth": 2})
    )

    values = {(trial.hyperparameters["max_depth"], trial.value) for trial in tuning.trials}
    assert (len(tuning.trials), len(values)) == (8, 2)


def test_roc_auc_is_maximized(search, tmp_path):
    tuning = search(tmp_path, metric="roc_auc", trials=4)

    assert tuning.best.value == max(trial.value for trial in tuning.trials)
    assert 0.6 < tuning.best.value < 0.9


def test_a_database_keeps_the_trials(search, tmp_path):
    storage = f"sqlite:///{tmp_path}/trials.db"

    tuning = search(tmp_path, trials=3, storage=storage)

    assert len(stored(tuning.study, tmp_path, storage)) == 3
    assert list(tmp_path.glob("*.journal")) == []


def test_what_xgboost_refuses_is_a_failed_trial(search, tmp_path):
    beyond_single_precision = (
        Range(name="gamma", type="float", low=0, high=1e300, scale="linear"),
    )

    tuning = search(
        tmp_path, trials=3, search_space=beyond_single_precision, starting_points=({"gamma": 0},)
    )

    assert [trial.state for trial in tuning.trials] == ["complete", "failed", "failed"]
    assert "min_split_loss" in tuning.trials[1].error  # XGBoost's other name of gamma
    assert tuning.model.gamma == 0


def test_a_search_in_which_every_trial_fails_is_an_error(search, tmp_path):
    beyond_single_precision = (
        Range(name="gamma", type="float", low=1e100, high=1e300, scale="log"),
    )

    with pytest.raises(SettingsError, match=r"none of 2 trials could be trained; .*min_split_loss"):
        search(tmp_path, trials=2, search_space=beyond_single_precision, starting_points=())


def test_a_worker_that_dies_ends_the_search_and_leaves_what_it_found(search, tuned, tmp_path):
    def kill_worker(step):
        if step.finished == 2:
            multiprocessing.active_children()[0].kill()

    with pytest.raises(PlatformError, match="ended with exit code -9"):
        search(tmp_path, progress=kill_worker)

    assert len(stored(tuned.study, tmp_path)) == 2
    assert trials_in_state(tuned.study, tmp_path, "WAITING") >= 1


def is_alive(pid):
    """Return whether a process is still there a moment later."""
    for _ in range(50):
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return False
        time.sleep(0.1)
    return True


def trials_in_state(name, folder, state):
    with open_study(name, maximize=False, storage=None, folder=folder) as study:
        return sum(trial.state.name == state for trial in study.get_trials())
