from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import boto3
import pytest
from botocore.stub import Stubber

from bank_marketing.errors import PlatformError
from platforms.sagemaker.mlflow_servers import mlflow_arn

PREFIX = "arn:aws:sagemaker:eu-west-1:123456789012"
SERVER = f"{PREFIX}:mlflow-tracking-server/bank"
APP = f"{PREFIX}:mlflow-app/app-ABC123"
DESCRIBE = "describe_mlflow_tracking_server"
LIST = "list_mlflow_apps"


@pytest.fixture
def stub() -> Iterator[Stubber]:
    client = boto3.session.Session("testing", "testing", region_name="eu-west-1").client(
        "sagemaker"
    )
    with Stubber(client) as stub:
        yield stub
        stub.assert_no_pending_responses()


def add_server(stub: Stubber, active: str, status: str) -> None:
    answer = {"TrackingServerArn": SERVER, "IsActive": active, "TrackingServerStatus": status}
    stub.add_response(DESCRIBE, answer, {"TrackingServerName": "bank"})


def add_no_server(stub: Stubber) -> None:
    stub.add_client_error(DESCRIBE, "ResourceNotFound", "no such server")


def app(name: str, status: str, arn: str = APP) -> dict[str, Any]:
    return {
        "Arn": arn,
        "Name": name,
        "Status": status,
        "CreationTime": datetime(2026, 1, 1, tzinfo=UTC),
    }


def test_a_tracking_server_that_runs_is_found_by_its_name(stub):
    add_server(stub, "Active", "Created")

    assert mlflow_arn("bank", stub.client) == SERVER


def test_a_tracking_server_that_is_stopped_is_an_error_that_says_how_to_start_it(stub):
    add_server(stub, "Inactive", "Stopped")

    with pytest.raises(PlatformError, match=r"is Stopped, not active; run .*-server-name bank`"):
        mlflow_arn("bank", stub.client)


def test_an_app_is_found_by_its_name_on_any_page(stub):
    add_no_server(stub)
    stub.add_response(LIST, {"Summaries": [app("other", "Created")], "NextToken": "2"}, {})
    gone = app("bank", "Deleted", f"{PREFIX}:mlflow-app/app-GONE")
    stub.add_response(LIST, {"Summaries": [gone, app("bank", "Updated")]}, {"NextToken": "2"})

    assert mlflow_arn("bank", stub.client) == APP


def test_an_app_that_is_not_ready_is_an_error(stub):
    add_no_server(stub)
    stub.add_response(LIST, {"Summaries": [app("bank", "CreateFailed")]})

    with pytest.raises(PlatformError, match="MLflow app 'bank' is CreateFailed, not Created"):
        mlflow_arn("bank", stub.client)


def test_a_name_that_nobody_carries_is_an_error_that_says_what_to_do(stub):
    add_no_server(stub)
    stub.add_response(LIST, {"Summaries": []})

    with pytest.raises(PlatformError, match=r"eu-west-1 has no .* called 'bank'; create one, or"):
        mlflow_arn("bank", stub.client)


def test_a_refusal_is_not_taken_for_an_absence(stub):
    stub.add_client_error(DESCRIBE, "AccessDeniedException", "not for you")

    with pytest.raises(
        PlatformError, match=r"'bank': AWS refused Desc.*: AccessDenied.*not for you"
    ):
        mlflow_arn("bank", stub.client)
