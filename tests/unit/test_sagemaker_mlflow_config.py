import pytest
from pydantic import ValidationError

from stacks.flavors.sagemaker_mlflow import SageMakerMlflowConfig, SageMakerMlflowFlavor

SERVER = "arn:aws:sagemaker:eu-west-1:123456789012:mlflow-tracking-server/bank-marketing"
URL = "https://mlflow.example.org"
SECRETIVE = "https://ann:of-ann@mlflow.example.org"  # pragma: allowlist secret
PASSWORD = {"tracking_username": "ann", "tracking_password": "of-ann"}  # pragma: allowlist secret
TOKEN = {"tracking_token": "of-the-team"}


@pytest.mark.parametrize(
    "address",
    [
        SERVER,
        "arn:aws-cn:sagemaker:cn-north-1:123456789012:mlflow-tracking-server/bank",
        "arn:aws-us-gov:sagemaker:us-gov-west-1:123456789012:mlflow-app/app-ABC123",
        "http://127.0.0.1:5000",
        "https://mlflow.example.org/team/",
    ],
)
def test_an_arn_or_an_address_alone_is_enough_and_is_not_local(address):
    config = SageMakerMlflowConfig(tracking_uri=address)

    assert config.tracking_uri == address
    assert not config.is_local


@pytest.mark.parametrize("credentials", [PASSWORD, TOKEN])
def test_a_server_may_ask_for_credentials(credentials):
    config = SageMakerMlflowConfig(tracking_uri=URL, **credentials)

    assert config.model_dump(include=set(credentials)) == credentials


@pytest.mark.parametrize(
    "address",
    [
        "sqlite:///mlflow.db",
        "databricks",
        "./mlruns",
        "https://",
        "bank-marketing",
        "arn:aws:s3:::bucket",
        "arn:aws:sagemaker:eu-west-1:123456789012:endpoint/bank",
        "arn:aws:sagemaker:eu-west-1:123456789012:mlflow-tracking-server/",
        "arn:aws:sagemaker:eu-west-1::mlflow-tracking-server/bank",
        f"{SERVER} ",
    ],
)
def test_anything_else_is_refused_in_words(address):
    with pytest.raises(ValidationError, match="must be an ARN like arn:aws:sagemaker:REGION:") as e:
        SageMakerMlflowConfig(tracking_uri=address)

    assert f"or an address like https://HOST; got {address!r}" in str(e.value)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({}, "tracking_uri\n  Field required"),
        ({"tracking_uri": URL, "tracking_username": "ann"}, "requires both"),
        ({"tracking_uri": URL, **PASSWORD, **TOKEN}, "got username/password and token"),
        ({"tracking_uri": SERVER, **TOKEN}, "signed with AWS credentials; leave out token"),
        ({"tracking_uri": SECRETIVE}, "must hold no password"),
    ],
)
def test_what_does_not_go_together_is_refused(values, message):
    with pytest.raises(ValidationError, match=message):
        SageMakerMlflowConfig(**values)


def test_the_flavor_is_found_by_the_name_in_the_stack_files():
    assert SageMakerMlflowFlavor().name == "sagemaker_mlflow"
