"""MLflow tracking servers, as far as an account tells of them."""

from typing import Any

import pytest
from botocore.exceptions import ClientError

ARN = "arn:aws:sagemaker:eu-west-1:123456789012:mlflow-tracking-server"


@pytest.fixture
def server(sagemaker: Any, role: str, name: str) -> str:
    sagemaker.create_mlflow_tracking_server(
        TrackingServerName=name,
        ArtifactStoreUri="s3://contract/mlflow",
        RoleArn=role,
        MlflowVersion="3.0.1",
        Tags=[{"Key": "project", "Value": "p"}],
    )
    return name


def names(sagemaker: Any, **request: Any) -> list[str]:
    listed = sagemaker.list_mlflow_tracking_servers(**request)["TrackingServerSummaries"]
    return [each["TrackingServerName"] for each in listed]


def test_it_is_described_with_the_address_that_jobs_are_given(sagemaker, server):
    described = sagemaker.describe_mlflow_tracking_server(TrackingServerName=server)

    assert described["TrackingServerArn"] == f"{ARN}/{server}"
    assert (described["IsActive"], described["TrackingServerStatus"]) == ("Active", "Created")
    assert described["TrackingServerUrl"] == "http://mlflow.example.org"
    assert described["MlflowVersion"] == "3.0.1"


def test_it_carries_its_tags(sagemaker, server):
    tags = sagemaker.list_tags(ResourceArn=f"{ARN}/{server}")["Tags"]

    assert tags == [{"Key": "project", "Value": "p"}]


def test_it_is_listed_by_its_version(sagemaker, server):
    assert server in names(sagemaker)
    assert server in names(sagemaker, MlflowVersion="3.0.1")
    assert server not in names(sagemaker, MlflowVersion="2.16.2")
    assert server not in names(sagemaker, CreatedBefore=0)


def test_a_name_is_taken_once(sagemaker, server, role):
    with pytest.raises(ClientError) as refused:
        sagemaker.create_mlflow_tracking_server(
            TrackingServerName=server, ArtifactStoreUri="s3://contract/mlflow", RoleArn=role
        )

    assert refused.value.response["Error"]["Code"] == "ResourceInUse"


def test_a_deleted_one_is_gone(sagemaker, server):
    sagemaker.delete_mlflow_tracking_server(TrackingServerName=server)

    with pytest.raises(sagemaker.exceptions.ResourceNotFound, match=f"{server} does not exist"):
        sagemaker.describe_mlflow_tracking_server(TrackingServerName=server)
