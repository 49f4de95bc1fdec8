"""Training and tuning in SageMaker jobs, which really run, on the emulator."""

import itertools
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from botocore.config import Config

from bank_marketing.config import (
    ModelSettings,
    Range,
    TrainingSettings,
    TuningSettings,
    load_settings,
)
from bank_marketing.dataset import DataSource, synthetic_source
from bank_marketing.errors import PlatformError
from bank_marketing.folds import CrossValidation, fold_rows, impatient
from bank_marketing.model import train_bundle
from platforms.base import JobPlace
from platforms.patience import Patience
from platforms.sagemaker.executions import SageMakerExecutions
from platforms.sagemaker.images import xgboost_image
from platforms.sagemaker.roles import trust_policy
from platforms.sagemaker.training_jobs import SageMakerTrainingJobs
from reports.tuning import render_tuning
from sagemaker_emulator.faults import Fault
from sagemaker_emulator.server import Emulator
from tests.job_place import PLACE

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parent.parent.parent
REGION = PLACE.region
BUCKET = "jobs"
QUICK = Patience(first_pause=0.2, longest_pause=0.5, longest_outage=60)

# More than a test waits for.
ENDLESS = {"n_estimators": 10_000, "early_stopping_rounds": 10_000, "learning_rate": 0.001}

# Trains in a job like the fixture `train`; in a process of its own, to be ended.
WAITER = """
import sys
from bank_marketing.config import FeatureSettings, ModelSettings
from bank_marketing.synthetic import make_table
from platforms.base import JobPlace
from platforms.factory import sagemaker_training_jobs

place, model, features = sys.argv[1:]
contacts = make_table(rows=4_000, seed=1)
sagemaker_training_jobs(JobPlace.model_validate_json(place)).train(
    contacts[:3000],
    contacts[3000:],
    FeatureSettings.model_validate_json(features),
    ModelSettings.model_validate_json(model),
    "script",
)
"""


@pytest.fixture(scope="module")
def emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulator]:
    """Amazon's images are made once a checkout."""
    environments = ROOT / ".local" / "sagemaker-environments"
    work = tmp_path_factory.mktemp("sagemaker")
    with Emulator(work, slots=2, stop_grace_s=1, environments=environments) as emulator:
        yield emulator


@pytest.fixture(scope="module")
def client(emulator: Emulator) -> Callable[[str], Any]:
    session = emulator.session()
    return lambda service: session.client(service, endpoint_url=emulator.url)


@pytest.fixture(scope="module")
def place(client: Callable[[str], Any]) -> JobPlace:
    client("s3").create_bucket(
        Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": REGION}
    )
    role = client("iam").create_role(RoleName="jobs", AssumeRolePolicyDocument=trust_policy())
    changes = {
        "role": role["Role"]["Arn"],
        "output_uri": f"s3://{BUCKET}/run",
        "image": xgboost_image(REGION, "3.0-5"),
    }
    return PLACE.model_copy(update=changes)


@pytest.fixture(scope="module")
def sagemaker(client):
    return client("sagemaker")


@pytest.fixture(scope="module")
def jobs(place, client) -> SageMakerTrainingJobs:
    return SageMakerTrainingJobs(place, client("sagemaker"), client("s3"), QUICK)


@pytest.fixture
def created(emulator) -> Callable[[], int]:
    """Count the jobs that were asked for."""

    def count():
        calls = emulator.recorder.calls()
        return sum(
            call["operation"] in ("CreateTrainingJob", "CreateHyperParameterTuningJob")
            for call in calls
        )

    return count


@pytest.fixture
def until():
    """Ask until the answer is as it should be; fail after a while."""

    def wait(ask, expected):
        end = time.monotonic() + 60
        while (answer := ask()) != expected:
            assert time.monotonic() < end, f"still {answer}"
            time.sleep(0.05)

    return wait


@pytest.fixture
def newest(sagemaker):
    """Describe the job that was asked for last."""

    def describe():
        (job,) = sagemaker.list_training_jobs(
            SortBy="CreationTime", SortOrder="Descending", MaxResults=1
        )["TrainingJobSummaries"]
        return job

    return describe


@pytest.fixture(autouse=True)
def no_faults_left(emulator):
    yield
    emulator.faults.clear()


_seeds = itertools.count(1_000)


@pytest.fixture
def seed():
    """A seed that no other test uses: it makes another job."""
    return next(_seeds)


@pytest.fixture
def start_waiter(emulator, place, model, settings, tmp_path):
    """Start a process that trains in a job and waits for it; killed at the end of the test."""
    script = tmp_path / "waiter.py"
    script.write_text(WAITER)
    started = []

    def start(**changes):
        process = subprocess.Popen(
            [
                sys.executable,
                script,
                place.model_dump_json(),
                model.model_copy(update=changes).model_dump_json(),
                settings.features.model_dump_json(),
            ],
            cwd=ROOT,
            env=os.environ | emulator.environment() | {"PYTHONPATH": str(ROOT)},
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()


@pytest.fixture(scope="module")
def model(settings) -> ModelSettings:
    return settings.model.model_copy(update={"n_estimators": 60, "early_stopping_rounds": 10})


@pytest.fixture(scope="module")
def search(settings) -> TuningSettings:
    space = (
        Range(name="learning_rate", type="float", low=0.05, high=0.5, scale="log"),
        Range(name="max_depth", type="int", low=1, high=6, scale="linear"),
    )
    changes = {
        "backend": "sagemaker",
        "trials": 6,
        "workers": 2,
        "folds": 3,
        "timeout_s": 600.0,
        "search_space": space,
        "starting_points": (),
    }
    return settings.tuning.model_copy(update=changes)


@pytest.fixture(scope="module")
def sets(contacts):
    return contacts[:3000], contacts[3000:]


@pytest.fixture(scope="module")
def train(jobs, sets, settings, model):
    def run(algorithm="script", *, jobs=jobs, **changes):
        return jobs.train(*sets, settings.features, model.model_copy(update=changes), algorithm)

    return run


@pytest.fixture(scope="module")
def tune(jobs, contacts, settings, model):
    def run(search, progress=lambda _: None):
        return jobs.tune(contacts, settings.features, model, search, progress)

    return run


@pytest.fixture(scope="module")
def local(sets, settings, model):
    return train_bundle(*sets, settings.features, model)


@pytest.fixture(scope="module")
def told():
    return []


@pytest.fixture(scope="module")
def tuned(tune, search, told):
    """One search, which several tests look at."""
    return tune(search, told.append)


def test_a_job_trains_byte_for_byte_what_the_step_trains(train, local):
    assert train().files() == local.files()


def test_the_built_in_algorithm_gives_the_scores_of_the_step(train, local, sets):
    bundle = train("built-in")

    _, validation_set = sets
    scores, expected = bundle.probability(validation_set), local.probability(validation_set)
    assert bundle.manifest == local.manifest
    assert scores == pytest.approx(expected, abs=1e-5)


def test_the_best_of_a_tuning_job_is_the_best_of_its_trials(tuned, model, search):
    values = [trial.value for trial in tuned.trials]

    assert [trial.state for trial in tuned.trials] == ["complete"] * 6
    assert tuned.best.value == min(values)
    assert tuned.model == model.model_copy(update=tuned.best.hyperparameters)
    for trial in tuned.trials:
        for each in search.search_space:
            value = trial.hyperparameters[each.name]
            assert each.low <= value <= each.high
            assert isinstance(value, int if each.type == "int" else float)


def test_a_trial_is_worth_what_the_folds_of_the_step_say(tuned, contacts, settings, model, search):
    best = tuned.best

    rows = fold_rows(contacts, settings.features, folds=3, seed=search.seed)
    validation = CrossValidation(rows, "log_loss")
    scores = [validation.score(impatient(tuned.model), fold) for fold in range(3)]
    assert best.fold_values == tuple(score.value for score in scores)
    assert best.trees == round(sum(score.trees for score in scores) / 3)
    assert best.value == pytest.approx(sum(best.fold_values) / 3, rel=1e-12)
    assert best.seconds > 0


def test_a_search_is_told_and_shown_like_one_of_the_step(tuned, told):
    assert told[-1] == (6, 6, tuned.best.value, 0)
    assert len(tuned.study) <= 32
    assert "is the best: log loss" in render_tuning(tuned)


def test_every_job_carries_the_tags_and_writes_below_the_run_alone(tuned, sagemaker, client):
    for job in sagemaker.list_training_jobs()["TrainingJobSummaries"]:
        tags = sagemaker.list_tags(ResourceArn=job["TrainingJobArn"])["Tags"]
        assert {each["Key"]: each["Value"] for each in tags} == PLACE.tags
    objects = client("s3").list_objects_v2(Bucket=BUCKET)["Contents"]
    assert {each["Key"].partition("/")[0] for each in objects} == {"run"}


def test_what_was_trained_is_not_trained_again(train, local, created):
    train()
    before = created()

    again = train()

    assert created() == before
    assert again.files() == local.files()


def test_what_was_searched_is_not_searched_again(tune, search, tuned, created):
    before = created()

    assert tune(search) == tuned
    assert created() == before


def test_a_training_job_that_xgboost_refuses_is_a_failed_trial(tune, search):
    often_beyond_single_precision = Range(name="gamma", type="float", low=1, high=1e70, scale="log")

    tuning = tune(search.model_copy(update={"search_space": (often_beyond_single_precision,)}))

    failed = [trial for trial in tuning.trials if trial.state == "failed"]
    assert 0 < len(failed) < 6
    assert all("min_split_loss" in trial.error for trial in failed)  # XGBoost's word for gamma
    assert all(trial.hyperparameters["gamma"] > 3e38 for trial in failed)
    assert tuning.best.state == "complete"


def test_a_search_in_which_every_job_fails_is_an_error(tune, search):
    beyond = Range(name="gamma", type="float", low=1e100, high=1e300, scale="log")
    changes = {"search_space": (beyond,), "trials": 2}

    with pytest.raises(PlatformError, match=r"none of its 2 training jobs .*min_split_loss"):
        tune(search.model_copy(update=changes))


def test_a_job_that_takes_too_long_is_an_error_and_is_tried_anew(place, client, train, sagemaker):
    hasty = place.model_copy(update={"max_runtime_s": 1})
    jobs = SageMakerTrainingJobs(hasty, sagemaker, client("s3"), QUICK)

    for number in (1, 2):
        with pytest.raises(PlatformError, match=rf"-{number}' was stopped after 1 s; raise"):
            train(jobs=jobs, **ENDLESS)


def test_a_spot_job_leaves_checkpoints_and_the_same_model(
    place, client, train, sets, settings, model
):
    spot = place.model_copy(update={"spot": True})
    jobs = SageMakerTrainingJobs(spot, client("sagemaker"), client("s3"), QUICK)
    longer = {"n_estimators": 150, "early_stopping_rounds": 150}

    bundle = train(jobs=jobs, **longer)

    expected = train_bundle(*sets, settings.features, model.model_copy(update=longer))
    keys = [
        each["Key"]
        for each in client("s3").list_objects_v2(Bucket=BUCKET, Prefix="run/checkpoints")[
            "Contents"
        ]
    ]
    assert bundle.files() == expected.files()
    assert [key.rpartition("/")[2] for key in keys] == ["xgboost-model"]


@pytest.mark.parametrize(
    "fault",
    [
        {"code": "ServiceUnavailable", "status": 503, "for_s": 3},
        {"code": "ThrottlingException", "for_s": 3},
    ],
    ids=["away", "throttled"],
)
def test_waiting_survives_what_passes(emulator, place, client, train, created, fault, seed):
    emulator.faults.add(Fault("sagemaker", "DescribeTrainingJob", message="Wait.", **fault))
    session, once = emulator.session(), Config(retries={"total_max_attempts": 1})
    impatient_client = session.client("sagemaker", endpoint_url=emulator.url, config=once)
    jobs = SageMakerTrainingJobs(place, impatient_client, client("s3"), QUICK)
    before = created()

    train(jobs=jobs, seed=seed)

    assert created() == before + 1


def test_an_outage_has_an_end(emulator, place, client, train, seed):
    emulator.faults.add(
        Fault("sagemaker", "DescribeTrainingJob", code="ServiceUnavailable", status=503)
    )
    once = Config(retries={"total_max_attempts": 1})
    sagemaker = emulator.session().client("sagemaker", endpoint_url=emulator.url, config=once)
    jobs = SageMakerTrainingJobs(place, sagemaker, client("s3"), QUICK._replace(longest_outage=1))

    with pytest.raises(PlatformError, match="ServiceUnavailable"):
        train(jobs=jobs, seed=seed)


def test_a_job_whose_waiter_was_killed_is_found_again(start_waiter, seed, train, created, until):
    before = created()
    waiter = start_waiter(n_estimators=1500, early_stopping_rounds=1500, seed=seed)
    until(created, before + 1)
    waiter.kill()
    waiter.wait()

    bundle = train(n_estimators=1500, early_stopping_rounds=1500, seed=seed)

    assert created() == before + 1
    assert bundle.manifest.hyperparameters["seed"] == seed


def test_sigterm_stops_the_job_that_is_waited_for(start_waiter, seed, created, until, newest):
    before = created()
    waiter = start_waiter(**ENDLESS, seed=seed)
    until(created, before + 1)
    waiter.terminate()
    waiter.wait()

    until(lambda: newest()["TrainingJobStatus"], "Stopped")
    assert waiter.returncode == 128 + signal.SIGTERM


def test_whoever_hears_of_a_tuning_job_can_stop_it(
    place, client, emulator, contacts, settings, model, search, seed
):
    executions, states = SageMakerExecutions(), []

    def stop(arn: str) -> None:
        executions.stop(arn)
        while not (execution := executions.describe(arn)).has_ended:
            time.sleep(0.1)
        executions.stop(arn)  # again, which does nothing
        states.append(execution.state)

    jobs = SageMakerTrainingJobs(place, client("sagemaker"), client("s3"), QUICK, began=stop)
    endless, search = model.model_copy(update=ENDLESS), search.model_copy(update={"seed": seed})
    with patch.dict(os.environ, emulator.environment()), pytest.raises(PlatformError):
        jobs.tune(contacts, settings.features, endless, search, lambda _: None)

    assert states == ["stopped"]


def test_an_exception_stops_the_tuning_job(tune, search, sagemaker, seed, until):
    def give_up(told):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        tune(search.model_copy(update={"seed": seed}), give_up)

    def status():
        (newest,) = sagemaker.list_hyper_parameter_tuning_jobs(
            SortBy="CreationTime", SortOrder="Descending", MaxResults=1
        )["HyperParameterTuningJobSummaries"]
        return newest["HyperParameterTuningJobStatus"]

    until(status, "Stopped")


def test_the_steps_submit_jobs_that_write_below_their_run_and_are_billed_with_it(
    zenml_home, emulator, place, sagemaker
):
    from zenml import pipeline
    from zenml.client import Client

    import materializers  # noqa: F401  # registers them
    from registry.lineage import JOB_PLACE
    from stacks.runs import Runs
    from steps.data.ingest_data import ingest_data
    from steps.data.split_data import split_data
    from steps.training.train_model import train_model
    from steps.training.tune_hyperparameters import tune_hyperparameters

    changed = load_settings(
        ROOT / "configs" / "training.yaml",
        TrainingSettings,
        [
            "data.synthetic.rows=4000",
            "model.n_estimators=60",
            "tuning.backend=sagemaker",
            "tuning.trials=2",
            "training.backend=sagemaker",
        ],
    )

    @pipeline(enable_cache=False, extra={JOB_PLACE: place.model_dump_json()})
    def tuned_and_trained(source: DataSource) -> None:
        raw_data, _, _ = ingest_data(source)
        train_set, validation_set, _ = split_data(raw_data, changed.split)
        tuning = tune_hyperparameters(train_set, changed.features, changed.model, changed.tuning)
        train_model(
            train_set,
            validation_set,
            tuning,
            changed.features,
            changed.training,
            changed.calibration,
        )

    with patch.dict(os.environ, emulator.environment()):
        tuned_and_trained(synthetic_source(changed.data.synthetic))

    run = Client().get_pipeline("tuned_and_trained").last_run

    def output(step, name):
        return run.steps[step].outputs[name][0].load()

    with patch.dict(os.environ, emulator.environment()):
        runs = Runs()
        charges = runs.charges(runs.look(run.id))

    tuning = output("tune_hyperparameters", "tuning")
    classifier = output("train_model", "classifier")
    trained = train_bundle(
        output("split_data", "train_set"),
        output("split_data", "validation_set"),
        changed.features,
        tuning.model,
    )
    keys = [
        each["Key"]
        for each in emulator.session()
        .client("s3", endpoint_url=emulator.url)
        .list_objects_v2(Bucket=BUCKET, Prefix=f"run/{run.id}/")["Contents"]
    ]
    assert tuning.study.startswith("bank-ann-")
    assert len(tuning.trials) == 2
    assert classifier.booster.save_raw() == trained.booster.save_raw()
    assert {key.split("/")[2] for key in keys} == {"code", "input", "jobs"}
    trials = sagemaker.list_training_jobs(NameContains=tuning.study)["TrainingJobSummaries"]
    billed_s = [
        sagemaker.describe_training_job(TrainingJobName=each["TrainingJobName"])[
            "BillableTimeInSeconds"
        ]
        for each in trials
    ]
    assert len(trials) == 2
    assert charges.keys() == {"tune_hyperparameters, submitted", "train_model, submitted"}
    assert charges["tune_hyperparameters, submitted"][1].seconds == sum(billed_s)


def test_a_stack_without_sagemaker_is_an_error_in_words(run):
    outcome = run(
        "--pipeline",
        "training",
        "--data",
        "synthetic",
        *("--set", "data.synthetic.rows=4000", "--set", "tuning.backend=sagemaker"),
        *("--set", "tuning.trials=2"),
    )

    assert outcome.exit_code == 1
    assert (
        "step tune_hyperparameters: this run's stack submits no SageMaker jobs: use "
        "`--stack sagemaker` or `--stack sagemaker-emulated`"
    ) in outcome.errors
