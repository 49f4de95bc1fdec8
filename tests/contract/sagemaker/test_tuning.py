"""Tuning jobs, as those who start them with boto3 and the SageMaker SDK see them."""

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.contract.sagemaker.conftest import BUCKET
from tests.contract.sagemaker.trainer import TRAINER_IMAGE

ENDED = ("Completed", "Failed", "Stopped")
CATEGORIES = {
    "CategoricalParameterRanges": [{"Name": "x", "Values": ["1", "2", "3", "4", "5", "6"]}]
}
INTEGERS = {"IntegerParameterRanges": [{"Name": "x", "MinValue": "1", "MaxValue": "1000"}]}


def tuning_request(
    name: str,
    role: str,
    script: str,
    *,
    ranges: Any = INTEGERS,
    strategy: str = "Random",
    **limits: int,
) -> Any:
    """A tuning job of containers that run `script`, at most two of them at a time."""
    return {
        "HyperParameterTuningJobName": name,
        "HyperParameterTuningJobConfig": {
            "Strategy": strategy,
            "HyperParameterTuningJobObjective": {"Type": "Minimize", "MetricName": "loss"},
            "ResourceLimits": {
                "MaxNumberOfTrainingJobs": 6,
                "MaxParallelTrainingJobs": 2,
                **limits,
            },
            "ParameterRanges": ranges,
            "RandomSeed": 3,
        },
        "TrainingJobDefinition": {
            "StaticHyperParameters": {"script": script},
            "AlgorithmSpecification": {
                "TrainingImage": TRAINER_IMAGE,
                "TrainingInputMode": "File",
                "MetricDefinitions": [{"Name": "loss", "Regex": "loss=([0-9.]+)"}],
            },
            "RoleArn": role,
            "OutputDataConfig": {"S3OutputPath": f"s3://{BUCKET}/tuned"},
            "ResourceConfig": {
                "InstanceType": "ml.m5.large",
                "InstanceCount": 1,
                "VolumeSizeInGB": 5,
            },
            "StoppingCondition": {"MaxRuntimeInSeconds": 60},
        },
    }


@pytest.fixture
def tune(
    sagemaker: Any, s3: Any, role: str, name: str, until: Callable[..., Any]
) -> Callable[..., Any]:
    """Run a tuning job; return its description once it has ended."""

    def run(script: str, **changes: Any) -> Any:
        sagemaker.create_hyper_parameter_tuning_job(**tuning_request(name, role, script, **changes))
        return until(
            partial(
                sagemaker.describe_hyper_parameter_tuning_job, HyperParameterTuningJobName=name
            ),
            lambda job: job["HyperParameterTuningJobStatus"] in ENDED,
        )

    return run


@pytest.fixture
def children(sagemaker: Any, name: str) -> Callable[..., Any]:
    """List the training jobs of the tuning job."""

    def ask(**options: Any) -> Any:
        return sagemaker.list_training_jobs_for_hyper_parameter_tuning_job(
            HyperParameterTuningJobName=name, **options
        )["TrainingJobSummaries"]

    return ask


@pytest.mark.parametrize(
    ("strategy", "ranges"), [("Random", INTEGERS), ("Bayesian", INTEGERS), ("Grid", CATEGORIES)]
)
def test_the_best_of_all_training_jobs_is_found(tune, children, strategy, ranges):
    job = tune("print(f'loss={h[\"x\"]}')", strategy=strategy, ranges=ranges)

    assert job["HyperParameterTuningJobStatus"] == "Completed"
    assert job["TrainingJobStatusCounters"]["Completed"] == 6
    tried = [int(each["TunedHyperParameters"]["x"]) for each in children()]
    assert len(tried) == 6
    assert job["BestTrainingJob"]["TunedHyperParameters"] == {"x": str(min(tried))}
    best = job["BestTrainingJob"]["FinalHyperParameterTuningJobObjectiveMetric"]
    assert best == {"Type": "Minimize", "MetricName": "loss", "Value": float(min(tried))}
    if strategy == "Grid":
        assert sorted(tried) == [1, 2, 3, 4, 5, 6]


def test_training_jobs_are_told_ten_at_a_time(tune, sagemaker, children, name):
    tune("print('loss=1')", MaxNumberOfTrainingJobs=11, MaxParallelTrainingJobs=4)

    pages = sagemaker.get_paginator("list_training_jobs_for_hyper_parameter_tuning_job").paginate(
        HyperParameterTuningJobName=name
    )
    assert [len(page["TrainingJobSummaries"]) for page in pages] == [10, 1]
    assert len(children(MaxResults=100)) == 11


def test_no_more_training_jobs_run_at_a_time_than_allowed(tune, children):
    tune("import time; time.sleep(0.3); print('loss=1')", MaxNumberOfTrainingJobs=4)

    times = [(each["CreationTime"], each["TrainingEndTime"]) for each in children()]
    together = [sum(a <= begin < b for a, b in times) for begin, _ in times]
    assert max(together) == 2


def test_a_training_job_knows_its_tuning_job_and_its_objective(tune, children, sagemaker, name):
    job = tune("print('loss=1', sorted(h))", MaxNumberOfTrainingJobs=1)

    (child,) = children()
    assert child["TrainingJobName"].startswith(f"{name}-001-")
    described = sagemaker.describe_training_job(TrainingJobName=child["TrainingJobName"])
    assert described["TuningJobArn"] == job["HyperParameterTuningJobArn"]
    assert described["HyperParameters"]["_tuning_objective_metric"] == "loss"
    assert described["HyperParameters"]["x"] == child["TunedHyperParameters"]["x"]


def test_a_failing_training_job_is_counted_and_the_others_go_on(tune, children):
    script = "assert h['x'] != '3', 'three is not allowed'; print('loss=' + h['x'])"

    job = tune(script, strategy="Grid", ranges=CATEGORIES)

    assert job["HyperParameterTuningJobStatus"] == "Completed"
    assert job["TrainingJobStatusCounters"]["NonRetryableError"] == 1
    assert job["ObjectiveStatusCounters"] == {"Succeeded": 5, "Pending": 0, "Failed": 1}
    (failed,) = children(StatusEquals="Failed")
    assert "three is not allowed" in failed["FailureReason"]
    rated = children(SortBy="FinalObjectiveMetricValue", SortOrder="Descending")
    assert [each["TunedHyperParameters"]["x"] for each in rated] == ["6", "5", "4", "2", "1"]


def test_a_tuning_job_fails_if_no_training_job_succeeds(tune):
    job = tune("exit(1)", MaxNumberOfTrainingJobs=2)

    assert job["HyperParameterTuningJobStatus"] == "Failed"
    assert job["FailureReason"].startswith("No training job succeeded after 2 attempts.")


def test_a_tuning_job_fails_if_no_objective_is_written(tune):
    job = tune("print('nothing to see')", MaxNumberOfTrainingJobs=1)

    assert job["HyperParameterTuningJobStatus"] == "Failed"
    assert job["FailureReason"].startswith("No objective metrics found after running 1 training")


def test_a_stopped_tuning_job_stops_its_training_jobs(sagemaker, s3, role, name, children, until):
    request = tuning_request(name, role, "import time; time.sleep(60)")
    sagemaker.create_hyper_parameter_tuning_job(**request)
    until(children, lambda found: len(found) == 2)

    sagemaker.stop_hyper_parameter_tuning_job(HyperParameterTuningJobName=name)

    job = until(
        partial(sagemaker.describe_hyper_parameter_tuning_job, HyperParameterTuningJobName=name),
        lambda job: job["HyperParameterTuningJobStatus"] in ENDED,
    )
    assert job["HyperParameterTuningJobStatus"] == "Stopped"
    assert [each["TrainingJobStatus"] for each in children()] == ["Stopped", "Stopped"]


def test_tags_are_passed_on_to_the_training_jobs(sagemaker, s3, role, name, children, until):
    request = tuning_request(name, role, "print('loss=1')", MaxNumberOfTrainingJobs=1)
    tags = [{"Key": "project", "Value": "bank"}]

    sagemaker.create_hyper_parameter_tuning_job(**request, Tags=tags)

    (child,) = until(children, len)
    assert sagemaker.list_tags(ResourceArn=child["TrainingJobArn"])["Tags"] == tags


def test_a_missing_input_ends_the_tuning_job_with_the_reason(sagemaker, s3, role, name, until):
    request = tuning_request(name, role, "")
    source = {"S3DataType": "S3Prefix", "S3Uri": f"s3://{BUCKET}/{name}/nothing"}
    request["TrainingJobDefinition"]["InputDataConfig"] = [
        {"ChannelName": "train", "DataSource": {"S3DataSource": source}}
    ]

    sagemaker.create_hyper_parameter_tuning_job(**request)

    job = until(
        partial(sagemaker.describe_hyper_parameter_tuning_job, HyperParameterTuningJobName=name),
        lambda job: job["HyperParameterTuningJobStatus"] in ENDED,
    )
    assert job["HyperParameterTuningJobStatus"] == "Failed"
    assert job["FailureReason"].startswith("No S3 objects found under S3 URL")


@pytest.mark.parametrize(
    ("changes", "code", "words"),
    [
        ({"Strategy": "Hyperband"}, "NotEmulated", "Hyperband is not emulated"),
        ({"Strategy": "Grid"}, "ValidationException", "categorical hyperparameters only"),
        (
            {"Strategy": "Grid", "ParameterRanges": CATEGORIES}
            | {"ResourceLimits": {"MaxNumberOfTrainingJobs": 4, "MaxParallelTrainingJobs": 1}},
            "ValidationException",
            "must be the number of combinations, 6",
        ),
        (
            {"HyperParameterTuningJobObjective": {"Type": "Minimize", "MetricName": "error"}},
            "ValidationException",
            "A metric is required for this hyperparameter tuning job objective",
        ),
        ({"ParameterRanges": {}}, "ValidationException", "must be given"),
        (
            {"TuningJobCompletionCriteria": {"TargetObjectiveMetricValue": 1.0}},
            "NotEmulated",
            "TuningJobCompletionCriteria is not emulated",
        ),
    ],
)
def test_what_is_wrong_or_not_emulated_is_refused(sagemaker, role, name, changes, code, words):
    request = tuning_request(name, role, "")
    request["HyperParameterTuningJobConfig"] |= changes

    with pytest.raises(ClientError, match=words) as refusal:
        sagemaker.create_hyper_parameter_tuning_job(**request)

    assert refusal.value.response["Error"]["Code"] == code


def test_warm_starts_are_not_emulated(sagemaker, role, name):
    warm = {
        "ParentHyperParameterTuningJobs": [{"HyperParameterTuningJobName": "before"}],
        "WarmStartType": "IdenticalDataAndAlgorithm",
    }

    with pytest.raises(ClientError, match="tuning with WarmStartConfig is not emulated"):
        sagemaker.create_hyper_parameter_tuning_job(
            **tuning_request(name, role, ""), WarmStartConfig=warm
        )


def test_the_tuner_of_the_sdk_fits_and_compares(sagemaker_session, role, until, name):
    from sagemaker.estimator import Estimator
    from sagemaker.tuner import ContinuousParameter, HyperparameterTuner

    estimator = Estimator(
        TRAINER_IMAGE,
        role,
        1,
        "ml.m5.large",
        output_path=f"s3://{BUCKET}/tuned",
        hyperparameters={"script": "print('loss=' + h['eta'])"},
        sagemaker_session=sagemaker_session,
    )
    tuner = HyperparameterTuner(
        estimator,
        "loss",
        {"eta": ContinuousParameter(0.001, 1, scaling_type="Logarithmic")},
        metric_definitions=[{"Name": "loss", "Regex": "loss=([0-9.e-]+)"}],
        objective_type="Minimize",
        max_jobs=3,
        max_parallel_jobs=3,
        random_seed=1,
    )

    tuner.fit(job_name=name, wait=False)
    until(tuner.describe, lambda job: job["HyperParameterTuningJobStatus"] in ENDED)

    frame = tuner.analytics().dataframe()
    best = frame.sort_values("FinalObjectiveValue").iloc[0]
    assert len(frame) == 3
    assert tuner.best_training_job() == best["TrainingJobName"]
    assert best["FinalObjectiveValue"] == pytest.approx(best["eta"])
