"""The account that the CloudFormation template makes is one in which the SageMaker stack works."""

import json
from collections.abc import Callable, Iterator
from fnmatch import fnmatchcase
from typing import Any

import boto3
import pytest
from cfnlint.api import lint_file

from sagemaker_emulator.server import Emulator
from stacks.doctor import sagemaker
from stacks.doctor.check import Check, look_at
from stacks.doctor.resources import lock_tag
from stacks.files import StackFile, load_stack
from tests.account_template import (
    LEFT_OUT,
    TEMPLATE,
    Deployed,
    deploy,
    listed,
    properties,
    refused,
)
from tests.aws_answers import answers
from tests.integration.test_doctor_sagemaker import simulated

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings(LEFT_OUT)]

ACCOUNT = "123456789012"
MLFLOW_APP = f"arn:aws:sagemaker:eu-west-1:{ACCOUNT}:mlflow-app/app-ABC123"
BUCKET = f"bank-marketing-{ACCOUNT}-eu-west-1"


@pytest.fixture(scope="module")
def emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulator]:
    with Emulator(tmp_path_factory.mktemp("sagemaker")) as emulator:
        yield emulator


@pytest.fixture(scope="module")
def client(emulator: Emulator) -> Callable[[str], Any]:
    return lambda service: emulator.session().client(service, endpoint_url=emulator.url)


@pytest.fixture(scope="module")
def deployed(emulator: Emulator) -> Deployed:
    return deploy(emulator, MlflowApp=MLFLOW_APP)


@pytest.fixture(scope="module")
def stack(deployed: Deployed) -> StackFile:
    others = {"SAGEMAKER_MLFLOW": "https://mlflow.example.org", "USER": "ann"}
    return load_stack("sagemaker", deployed.variables | others)


@pytest.fixture
def checks(
    emulator: Emulator,
    client: Callable[[str], Any],
    stack: StackFile,
    monkeypatch: pytest.MonkeyPatch,
) -> dict[str, Check]:
    """What `stack doctor` says of the account, once an image was pushed."""
    manifest = json.dumps(
        {
            "schemaVersion": 2,
            "mediaType": "application/vnd.docker.distribution.manifest.v2+json",
            "config": {"digest": f"sha256:{0:064}", "size": 1},
            "layers": [],
        }
    )
    for tag in ("1", lock_tag()):
        client("ecr").put_image(
            repositoryName="bank-marketing", imageManifest=manifest, imageTag=tag
        )
    for name, value in emulator.environment().items():
        monkeypatch.setenv(name, value)
    boto3.setup_default_session()
    with answers(emulator.url) as before:
        monkeypatch.setenv("AWS_ENDPOINT_URL_IAM", before.url)
        before.xml("SimulatePrincipalPolicy", simulated("allowed"))  # moto has no simulator
        return {each.name: each for each in look_at(sagemaker.looks(stack, stack.sagemaker))}


def test_cloudformation_accepts_the_template():
    assert lint_file(TEMPLATE) == []


def test_doctor_finds_nothing_wrong_with_what_was_deployed(checks):
    about_the_account = {
        "credentials",
        "role",
        "PassRole",
        "image",
        "libraries in the image",
        f"bucket {BUCKET}",
        f"encryption of bucket {BUCKET}",
        f"public access of bucket {BUCKET}",
    }

    states = {name: checks[name].state for name in about_the_account}

    assert states == dict.fromkeys(about_the_account, "ok")


def test_the_bucket_answers_nobody_without_tls():
    (statement,) = properties("BucketPolicy")["PolicyDocument"]["Statement"]

    assert (statement["Effect"], statement["Principal"]) == ("Deny", "*")
    assert statement["Action"] == "s3:*"
    assert statement["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}


def test_images_are_scanned():
    assert properties("Repository")["ImageScanningConfiguration"] == {"ScanOnPush": True}


@pytest.mark.usefixtures("deployed")
def test_everything_carries_the_tag_of_the_project(client):
    (repository,) = client("ecr").describe_repositories()["repositories"]
    (role,) = client("iam").list_roles()["Roles"]
    tags = [
        client("s3").get_bucket_tagging(Bucket=BUCKET)["TagSet"],
        client("ecr").list_tags_for_resource(resourceArn=repository["repositoryArn"])["tags"],
        client("iam").list_role_tags(RoleName=role["RoleName"])["Tags"],
    ]

    assert all({"Key": "project", "Value": "bank-marketing"} in each for each in tags)


@pytest.mark.parametrize("app", [MLFLOW_APP, MLFLOW_APP.replace("ABC", "XYZ")])
def test_the_mlflow_app_is_theirs_and_no_other(deployed, app):
    calls = [
        {"service": service, "operation": operation, "resource": app}
        for service, operation in (
            ("sagemaker", "CallMlflowAppApi"),
            ("sagemaker-mlflow", "CreateRun"),
            ("sagemaker", "DescribeMlflowApp"),
        )
    ]

    are_theirs = app == deployed.variables["SAGEMAKER_MLFLOW"]
    assert len(refused(deployed.submitters, calls)) == (0 if are_theirs else len(calls))
    assert len(refused(deployed.jobs, calls[:2])) == (0 if are_theirs else 2)


@pytest.mark.parametrize(
    ("service", "operation", "resource"),
    [
        ("s3", "GetObject", "/somebody-elses/key"),
        ("s3", "PutBucketPolicy", f"/{BUCKET}"),
        ("iam", "CreateRole", ""),
        ("sagemaker", "CreateEndpoint", "bank-marketing"),
        ("sagemaker", "CreatePipeline", "another-project-training"),
        ("logs", "GetLogEvents", "/aws/lambda/function"),
    ],
)
def test_jobs_may_not_do_what_they_do_not_need(deployed, service, operation, resource):
    call = {"service": service, "operation": operation, "resource": resource}

    assert refused(deployed.jobs, [call])


@pytest.mark.parametrize(
    ("action", "condition"),
    [
        (
            "sagemaker:CreateModelPackage",
            {"StringEquals": {"sagemaker:ModelApprovalStatus": "PendingManualApproval"}},
        ),
        ("sagemaker:UpdateModelPackage", {"Null": {"sagemaker:ModelApprovalStatus": "true"}}),
    ],
)
def test_jobs_may_not_approve_a_model(deployed, action, condition):
    allowing = [
        statement
        for policy in deployed.jobs
        for statement in policy["Statement"]
        if any(fnmatchcase(action, each) for each in listed(statement["Action"]))
    ]

    assert [each["Condition"] for each in allowing] == [condition]
