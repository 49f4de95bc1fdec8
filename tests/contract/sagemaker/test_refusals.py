"""What Amazon would refuse is refused, with its code and in its words.

Codes and words: https://docs.aws.amazon.com/sagemaker/latest/APIReference, and what boto3 users
report of real accounts.
"""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.contract.sagemaker.conftest import BUCKET
from tests.contract.sagemaker.requests import channel, processing_request, training_request

NO_ROLE = "arn:aws:iam::123456789012:role/nobody"
GONE = "arn:aws:sagemaker:eu-west-1:123456789012"


def training(name: str, role: str, **changes: Any) -> Any:
    return training_request(name, role, BUCKET, "true", **changes)


def resources(instance_type: str, count: int = 1) -> Any:
    return {"InstanceType": instance_type, "InstanceCount": count, "VolumeSizeInGB": 5}


@pytest.mark.parametrize(
    ("changes", "code", "words"),
    [
        (
            {"TrainingJobName": "under_score"},
            "ValidationException",
            "Value 'under_score' at 'trainingJobName' failed to satisfy constraint: Member must "
            "satisfy regular expression pattern",
        ),
        (
            {"TrainingJobName": "x" * 64},
            "ValidationException",
            "Member must have length less than or equal to 63",
        ),
        (
            {"ResourceConfig": resources("ml.none.large")},
            "ValidationException",
            "at 'resourceConfig.instanceType' failed to satisfy constraint: Member must satisfy "
            "enum value set",
        ),
        (
            {"RoleArn": NO_ROLE},
            "ValidationException",
            f"Could not assume role {NO_ROLE}. Please ensure that the role exists and allows "
            "principal 'sagemaker.amazonaws.com' to assume the role.",
        ),
        (
            {"RoleArn": "no-role-at-all-of-any-kind"},
            "ValidationException",
            "at 'roleArn' failed to satisfy constraint",
        ),
        (
            {"InputDataConfig": [channel(f"s3://{BUCKET}/nothing-here")]},
            "ValidationException",
            f'No S3 objects found under S3 URL "s3://{BUCKET}/nothing-here" given in input data '
            "source",
        ),
        (
            {"InputDataConfig": [channel("s3://no-such-bucket-anywhere/x")]},
            "ValidationException",
            "Please ensure that the bucket exists in the selected region (eu-west-1)",
        ),
        (
            {"ResourceConfig": resources("ml.p4d.24xlarge")},
            "ResourceLimitExceeded",
            "The account-level service limit 'ml.p4d.24xlarge for training job usage' is 0 "
            "Instances, with current utilization of 0 Instances and a request delta of 1 "
            "Instances.",
        ),
        (
            {"AlgorithmSpecification": {"TrainingImage": "a", "TrainingInputMode": "Tape"}},
            "ValidationException",
            "Value 'Tape' at 'algorithmSpecification.trainingInputMode' failed to satisfy "
            "constraint: Member must satisfy enum value set: [Pipe, File, FastFile]",
        ),
        (
            {
                "AlgorithmSpecification": {
                    "TrainingImage": "a",
                    "TrainingInputMode": "File",
                    "MetricDefinitions": [{"Name": "loss", "Regex": "("}],
                }
            },
            "ValidationException",
            "The regular expression '(' of metric 'loss' is invalid",
        ),
        (
            {"Environment": {"LONG": "x" * 600}},
            "ValidationException",
            "Member must have length less than or equal to 512",
        ),
    ],
)
def test_a_training_job_that_amazon_would_refuse(sagemaker, s3, role, name, changes, code, words):
    with pytest.raises(ClientError) as refusal:
        sagemaker.create_training_job(**training(name, role) | changes)

    error = refusal.value.response["Error"]
    assert error["Code"] == code
    assert words in error["Message"]


@pytest.mark.parametrize(
    ("operation", "arguments", "code", "words"),
    [
        (
            "describe_training_job",
            {"TrainingJobName": "gone"},
            "ValidationException",
            "Requested resource not found.",
        ),
        (
            "stop_processing_job",
            {"ProcessingJobName": "gone"},
            "ValidationException",
            "Requested resource not found.",
        ),
        (
            "describe_hyper_parameter_tuning_job",
            {"HyperParameterTuningJobName": "gone"},
            "ResourceNotFound",
            "can't find a tuning job with the name gone",
        ),
        (
            "describe_endpoint",
            {"EndpointName": "gone"},
            "ValidationException",
            f'Could not find endpoint "{GONE}:endpoint/gone".',
        ),
        (
            "delete_endpoint",
            {"EndpointName": "gone"},
            "ValidationException",
            f'Could not find endpoint "{GONE}:endpoint/gone".',
        ),
        (
            "describe_endpoint_config",
            {"EndpointConfigName": "gone"},
            "ValidationException",
            f'Could not find endpoint configuration "{GONE}:endpoint-config/gone".',
        ),
        (
            "create_endpoint",
            {"EndpointName": "new", "EndpointConfigName": "gone"},
            "ValidationException",
            f'Could not find endpoint configuration "{GONE}:endpoint-config/gone".',
        ),
        (
            "delete_model",
            {"ModelName": "gone"},
            "ValidationException",
            f'Could not find model "{GONE}:model/gone".',
        ),
        (
            "describe_pipeline",
            {"PipelineName": "gone"},
            "ResourceNotFound",
            f"Pipeline '{GONE}:pipeline/gone' does not exist.",
        ),
        (
            "start_pipeline_execution",
            {"PipelineName": "gone"},
            "ResourceNotFound",
            "does not exist",
        ),
        (
            "describe_model_package_group",
            {"ModelPackageGroupName": "gone"},
            "ValidationException",
            f"ModelPackageGroup {GONE}:model-package-group/gone does not exist.",
        ),
        (
            "list_tags",
            {"ResourceArn": f"{GONE}:endpoint/gone"},
            "ValidationException",
            "does not exist",
        ),
        ("create_auto_ml_job", {}, "NotEmulated", "is not emulated"),
        ("list_notebook_instances", {}, "NotEmulated", "is not emulated"),
    ],
)
def test_what_is_not_there(sagemaker, operation, arguments, code, words):
    if operation == "create_auto_ml_job":
        arguments = {
            "AutoMLJobName": "a",
            "InputDataConfig": [{"TargetAttributeName": "y"}],
            "OutputDataConfig": {"S3OutputPath": "s3://a"},
            "RoleArn": NO_ROLE,
        }

    with pytest.raises(ClientError) as refusal:
        getattr(sagemaker, operation)(**arguments)

    error = refusal.value.response["Error"]
    assert error["Code"] == code
    assert words in error["Message"]


def test_a_name_is_used_once(sagemaker, s3, role, name):
    sagemaker.create_training_job(**training(name, role))

    with pytest.raises(sagemaker.exceptions.ResourceInUse, match="names must be unique within an"):
        sagemaker.create_training_job(**training(name, role))


def test_a_job_that_has_ended_cannot_be_stopped(sagemaker, s3, role, name, until):
    sagemaker.create_training_job(**training(name, role))
    until(
        lambda: sagemaker.describe_training_job(TrainingJobName=name)["TrainingJobStatus"],
        lambda status: status == "Completed",
    )

    with pytest.raises(ClientError, match="The request was rejected because the training"):
        sagemaker.stop_training_job(TrainingJobName=name)


def test_output_to_a_feature_store_is_not_emulated(sagemaker, role, name):
    output = {"OutputName": "rows", "FeatureStoreOutput": {"FeatureGroupName": "customers"}}
    request = processing_request(
        name, role, "true", ProcessingOutputConfig={"Outputs": [output | {"AppManaged": True}]}
    )

    with pytest.raises(ClientError, match=r"\(NotEmulated\).*output that does not go to S3"):
        sagemaker.create_processing_job(**request)


def test_the_quota_holds_also_for_jobs_that_are_asked_for_at_once(sagemaker, role, name):
    def ask(number: int) -> str:
        machines = {"ProcessingResources": {"ClusterConfig": resources("ml.r5.xlarge")}}
        request = processing_request(f"{name}-{number}", role, "sleep", "30", **machines)
        try:
            sagemaker.create_processing_job(**request)
        except sagemaker.exceptions.ResourceLimitExceeded:
            return "refused"
        return "accepted"

    with ThreadPoolExecutor(12) as pool:
        answers = list(pool.map(ask, range(12)))

    for number, answer in enumerate(answers):
        if answer == "accepted":
            sagemaker.stop_processing_job(ProcessingJobName=f"{name}-{number}")
    assert answers.count("accepted") == 3


def test_machines_in_use_count_against_the_quota(
    sagemaker, sagemaker_emulator, s3, role, name, until
):
    two = {"ProcessingResources": {"ClusterConfig": resources("ml.r5.large", 2)}}
    sagemaker.create_processing_job(**processing_request(name, role, "sleep", "30", **two))

    with pytest.raises(ClientError, match="with current utilization of 2 Instances"):
        sagemaker.create_processing_job(**processing_request(f"{name}-b", role, "true", **two))

    sagemaker.stop_processing_job(ProcessingJobName=name)
    until(
        lambda: sagemaker.describe_processing_job(ProcessingJobName=name)["ProcessingJobStatus"],
        lambda status: status == "Stopped",
    )
    sagemaker.create_processing_job(**processing_request(f"{name}-c", role, "true", **two))


def test_an_endpoint_that_is_not_there_cannot_be_invoked(client):
    with pytest.raises(
        ClientError,
        match=r"\(ValidationError\).*: Endpoint gone of account 123456789012 not found\.",
    ):
        client("sagemaker-runtime").invoke_endpoint(EndpointName="gone", Body=b"1")
