"""What SageMaker is asked for, where its models come from, and what its answers mean."""

import gzip
import importlib.metadata
import io
import tarfile
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest
from botocore.exceptions import ClientError, EndpointConnectionError, NoCredentialsError

from bank_marketing.config import Range
from bank_marketing.errors import ModelError, PlatformError
from bank_marketing.model import booster_parameters, bundle_of, train_bundle
from platforms.base import JobPlace, OutageError
from platforms.sagemaker.images import xgboost_image
from platforms.sagemaker.job_files import booster_of, csv_rows, packed_code, packed_rows
from platforms.sagemaker.job_requests import (
    Channel,
    hyperparameters,
    parameter_ranges,
    training_request,
    tuning_request,
)
from platforms.sagemaker.jobs import TRAINING
from platforms.sagemaker.names import name_of
from platforms.sagemaker.session import aws_errors
from platforms.sagemaker.trials import in_short, trial_of
from tests.job_place import PLACE

ROWS = Channel("train", "s3://bucket/run/input/")
BEGIN = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def place() -> JobPlace:
    return PLACE


@pytest.fixture
def search(settings):
    return settings.tuning.model_copy(update={"backend": "sagemaker", "trials": 6, "folds": 2})


def archive(*members: tuple[str, bytes], kind: bytes = tarfile.REGTYPE) -> io.BytesIO:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        for name, content in members:
            entry = tarfile.TarInfo(name)
            entry.type, entry.size = kind, len(content)
            entry.linkname = "/etc/passwd" if kind == tarfile.SYMTYPE else ""
            tar.addfile(entry, io.BytesIO(content))
    packed.seek(0)
    return packed


def test_a_range_keeps_its_type_and_its_scale():
    space = (
        Range(name="learning_rate", type="float", low=0.02, high=0.5, scale="log"),
        Range(name="max_depth", type="int", low=2, high=10, scale="linear"),
    )

    assert parameter_ranges(space) == {
        "ContinuousParameterRanges": [
            {
                "Name": "learning_rate",
                "MinValue": "0.02",
                "MaxValue": "0.5",
                "ScalingType": "Logarithmic",
            }
        ],
        "IntegerParameterRanges": [
            {"Name": "max_depth", "MinValue": "2", "MaxValue": "10", "ScalingType": "Linear"}
        ],
    }


def test_hyperparameters_are_the_texts_of_what_the_step_gives_to_xgboost(settings):
    texts = hyperparameters(settings.model)

    values = booster_parameters(settings.model)
    assert {name: texts[name] for name in values} == {
        name: str(value) for name, value in values.items()
    }
    assert texts.keys() - values.keys() == {"num_round", "early_stopping_rounds"}


def test_what_is_searched_is_not_fixed_as_well(place, search, settings):
    request = tuning_request(place, hyperparameters(settings.model), ROWS, search)

    static = request["TrainingJobDefinition"]["StaticHyperParameters"]
    assert static.keys() & {each.name for each in search.search_space} == set()
    assert static["num_round"] == "2000"


@pytest.mark.parametrize(("metric", "type_"), [("log_loss", "Minimize"), ("roc_auc", "Maximize")])
def test_the_limits_and_the_goal_of_the_search_are_those_of_the_settings(
    place, search, settings, metric, type_
):
    changed = search.model_copy(update={"metric": metric, "timeout_s": 10.0, "workers": 9})

    config = tuning_request(place, hyperparameters(settings.model), ROWS, changed)[
        "HyperParameterTuningJobConfig"
    ]

    assert config["HyperParameterTuningJobObjective"] == {
        "Type": type_,
        "MetricName": f"cv-{metric}",
    }
    assert config["ResourceLimits"] == {
        "MaxNumberOfTrainingJobs": 6,
        "MaxParallelTrainingJobs": 6,
        "MaxRuntimeInSeconds": 120,  # Amazon's least
    }
    assert config["RandomSeed"] == search.seed


def test_spot_and_a_network_are_asked_for_only_where_the_stack_has_them(place, settings):
    texts = hyperparameters(settings.model)
    inside = place.model_copy(
        update={"spot": True, "subnets": ("subnet-1",), "security_group_ids": ("sg-1",)}
    )

    plain = training_request(place, texts, [ROWS])
    request = training_request(inside, texts, [ROWS])

    assert "VpcConfig" not in plain
    assert plain["StoppingCondition"] == {"MaxRuntimeInSeconds": 600}
    assert request["VpcConfig"] == {"Subnets": ["subnet-1"], "SecurityGroupIds": ["sg-1"]}
    assert request["StoppingCondition"]["MaxWaitTimeInSeconds"] == 1200


def test_a_name_depends_on_everything_that_is_asked_for(place, settings):
    texts = hyperparameters(settings.model)
    request = training_request(place, texts, [ROWS])
    other_run = place.model_copy(update={"output_uri": "s3://bucket/other"})

    names = {
        name_of(place.tags, each, longest=TRAINING.longest_stem)
        for each in (
            request,
            training_request(place, texts | {"seed": "1"}, [ROWS]),
            training_request(other_run, texts, [ROWS]),
            dict(reversed(request.items())),
        )
    }

    assert len(names) == 3
    assert all(name.startswith("bank-ann-") for name in names)


def test_code_and_rows_are_packed_to_the_same_bytes_again():
    rows = np.array([[0.1, np.nan], [3, 1]], np.float32)

    assert packed_code() == packed_code()
    assert packed_rows(features=rows) == packed_rows(features=rows.copy())
    with tarfile.open(fileobj=io.BytesIO(packed_code()), mode="r:gz") as tar:
        assert tar.getnames() == ["train.py"]


def test_a_text_table_keeps_every_bit_and_leaves_out_what_is_missing():
    numbers = np.random.default_rng(1).normal(size=(50, 2)).astype(np.float32)
    rows = np.column_stack([numbers, np.full(50, np.nan, np.float32)])

    lines = csv_rows(rows, np.ones(50, np.int8)).decode().splitlines()

    cells = [line.split(",") for line in lines]
    assert {(label, missing) for label, *_, missing in cells} == {("1", "")}
    assert np.array_equal(np.array([row[1:3] for row in cells], np.float32), numbers)


@pytest.mark.parametrize("name", ["xgboost-model", "./xgboost-model"])
def test_the_model_of_an_archive_is_read(name):
    assert booster_of(archive(("other", b"x"), (name, b"model"))) == b"model"


@pytest.mark.parametrize("name", ["../xgboost-model", "/xgboost-model", "a/xgboost-model", "other"])
def test_a_model_elsewhere_in_the_archive_is_none(name):
    with pytest.raises(ModelError, match="holds no file 'xgboost-model'"):
        booster_of(archive((name, b"model")))


def test_a_link_is_not_followed():
    with pytest.raises(ModelError, match="holds no file 'xgboost-model'"):
        booster_of(archive(("xgboost-model", b""), kind=tarfile.SYMTYPE))


def test_an_archive_that_unpacks_to_too_much_is_refused_before_it_is_read():
    bomb = archive(("filler", bytes(2_000)), ("xgboost-model", b"model"))

    with pytest.raises(ModelError, match="unpacks to more than 1,000 bytes"):
        booster_of(bomb, max_bytes=1_000)


@pytest.mark.parametrize(
    "content",
    [
        b"no archive",
        gzip.compress(b"no tar" * 200),
        archive(("xgboost-model", np.random.default_rng(1).bytes(9_999))).read(5_000),
    ],
    ids=["no archive", "no tar", "half"],
)
def test_a_damaged_archive_is_an_error_in_words(content):
    with pytest.raises(ModelError, match=r"model\.tar\.gz cannot be unpacked"):
        booster_of(io.BytesIO(content))


def test_a_model_of_other_columns_is_refused(contacts, settings):
    economic = settings.features.model_copy(update={"economic_indicators": True})
    short = settings.model.model_copy(update={"n_estimators": 3})
    other = train_bundle(contacts[:3000], contacts[3000:], economic, short)

    with pytest.raises(ModelError, match="reads 64 features that are not the 59"):
        bundle_of(other.files()["xgboost-model"], settings.features, short)


def test_what_is_no_model_is_refused(settings):
    with pytest.raises(ModelError, match="no model of XGBoost"):
        bundle_of(b"{}", settings.features, settings.model)


@pytest.mark.parametrize(
    ("region", "address"),
    [
        ("eu-west-1", "141502667606.dkr.ecr.eu-west-1.amazonaws.com/sagemaker-xgboost:3.0-5"),
        (
            "cn-north-1",
            "450853457545.dkr.ecr.cn-north-1.amazonaws.com.cn/sagemaker-xgboost:3.0-5",
        ),
    ],
)
def test_the_image_of_a_region_is_found(region, address):
    # As sagemaker.image_uris.retrieve("xgboost", region, "3.0-5") says.
    assert xgboost_image(region, "3.0-5") == address


@pytest.mark.parametrize(
    ("region", "version", "message"),
    [
        ("eu-west-1", "9.9-9", "no XGBoost container '9.9-9'; there are: .*3.0-5"),
        ("mars-north-1", "3.0-5", "not in region 'mars-north-1'"),
    ],
)
def test_an_image_that_does_not_exist_is_an_error_in_words(region, version, message):
    with pytest.raises(PlatformError, match=message):
        xgboost_image(region, version)


def test_amazons_container_has_the_xgboost_of_this_project():
    assert xgboost_image("eu-west-1", "3.0-5").endswith(":3.0-5")
    assert importlib.metadata.version("xgboost") == "3.0.5"


def refusal(code: str, status: int) -> ClientError:
    return ClientError(
        {"Error": {"Code": code, "Message": ""}, "ResponseMetadata": {"HTTPStatusCode": status}},
        "DescribeTrainingJob",
    )


@pytest.mark.parametrize(
    ("error", "transient"),
    [
        (refusal("ThrottlingException", 400), True),
        (refusal("InternalFailure", 500), True),
        (EndpointConnectionError(endpoint_url="https://a"), True),
        (refusal("AccessDeniedException", 403), False),
        (refusal("NotEmulated", 501), False),
        (NoCredentialsError(), False),
    ],
    ids=str,
)
def test_only_what_may_pass_is_waited_for(error, transient):
    with pytest.raises(PlatformError) as raised, aws_errors("ask"):
        raise error

    assert isinstance(raised.value, OutageError) is transient


def summary(status: str, **changes: Any) -> dict[str, Any]:
    return {
        "TrainingJobName": "tune-1-001",
        "TrainingJobStatus": status,
        "TunedHyperParameters": {
            "max_depth": "4",
            **dict.fromkeys(("learning_rate", "min_child_weight", "gamma", "subsample"), "0.5"),
            **dict.fromkeys(("colsample_bytree", "reg_alpha", "reg_lambda"), "0.5"),
        },
        **changes,
    }


def metrics(**values: float) -> dict[str, Any]:
    return {
        "FinalMetricDataList": [
            {"MetricName": name.replace("_", "-"), "Value": value} for name, value in values.items()
        ]
    }


VALUE = {"FinalHyperParameterTuningJobObjectiveMetric": {"Value": 0.3}}


def test_a_completed_job_is_a_trial_with_its_folds(search):
    times = {"TrainingStartTime": BEGIN, "TrainingEndTime": BEGIN + timedelta(seconds=61)}

    trial = trial_of(
        3,
        summary("Completed", **VALUE, **times),
        metrics(fold_0=0.2, fold_1=0.4, cv_trees=70.0),
        search,
    )

    assert (trial.state, trial.value, trial.fold_values) == ("complete", 0.3, (0.2, 0.4))
    assert (trial.number, trial.trees, trial.seconds) == (3, 70, 61.0)
    assert trial.hyperparameters["max_depth"] == 4


def test_a_completed_job_of_which_single_folds_are_unknown_is_a_trial_without_them(search):
    trial = trial_of(0, summary("Completed", **VALUE), metrics(fold_0=0.2), search)

    assert (trial.state, trial.value) == ("complete", 0.3)
    assert (trial.fold_values, trial.trees, trial.seconds) == ((), None, 0.0)


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (summary("Failed", FailureReason="CapacityError: none left"), "CapacityError: none left"),
        (summary("Stopped"), "training job tune-1-001 Stopped"),
        (summary("Completed"), "training job tune-1-001 printed no value of the metric"),
    ],
    ids=["failed", "stopped", "silent"],
)
def test_a_job_without_a_value_is_a_failed_trial_with_the_reason(search, answer, error):
    trial = trial_of(0, answer, {}, search)

    assert (trial.state, trial.value, trial.error) == ("failed", None, error)


def test_of_a_failure_what_the_script_said_is_told():
    reason = (
        "AlgorithmError: ExecuteUserScriptError:\nExitCode 1\n"
        'ErrorMessage "ValueError: gamma is out of range\n"\nCommand "python", exit code: 1'
    )

    assert in_short(reason).strip() == "gamma is out of range"
    assert in_short("ResourceLimitExceeded: no") == "ResourceLimitExceeded: no"
