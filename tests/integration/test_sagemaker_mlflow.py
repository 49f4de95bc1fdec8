"""A step tracks and registers by an ARN, through AWS's own plugin, or by an address."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from botocore.credentials import Credentials
from mlflow import MlflowClient

from tests.mlflow_in_sagemaker import (
    ARNS,
    BUCKET,
    KEY,
    MlflowInSageMaker,
    Request,
    mlflow_in_sagemaker,
)

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parent.parent.parent
CLIENT = Path(__file__).with_name("sagemaker_mlflow_client.py")
ARN_HEADERS = {
    "sagemaker-mlflow": "x-mlflow-sm-tracking-server-arn",
    "sagemaker": "x-sm-mlflow-app-arn",
}
BY_ARN = pytest.mark.parametrize("tracked", ARNS, indirect=True)
BY_URL = pytest.mark.parametrize("tracked", ["http", "http-token"], indirect=True)


class Tracked(NamedTuple):
    """What the client said and sent; `name` is that of its model, and of the service for ARNs."""

    name: str
    said: dict[str, Any]
    log: str
    requests: list[Request]


@pytest.fixture(scope="module")
def mlflow_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MlflowInSageMaker]:
    with mlflow_in_sagemaker(tmp_path_factory.mktemp("mlflow")) as started:
        yield started


@pytest.fixture(scope="module")
def tracked(
    request: pytest.FixtureRequest,
    mlflow_server: MlflowInSageMaker,
    tmp_path_factory: pytest.TempPathFactory,
) -> Tracked:
    """A pipeline of one step that ran on a stack with the tracker."""
    name: str = request.param
    config = {"tracking_uri": ARNS.get(name, mlflow_server.proxy.url)}
    if name == "http-token":
        config |= {"tracking_token": "{{mlflow.token}}"}
    home = tmp_path_factory.mktemp(name)
    first = len(mlflow_server.proxy.requests)
    ended = subprocess.run(
        [sys.executable, CLIENT, name, json.dumps(config)],
        cwd=home,
        env={
            "PATH": os.environ["PATH"],
            "HOME": str(home),
            "PYTHONPATH": str(ROOT),
            "ZENML_CONFIG_PATH": str(home),
            "ZENML_ANALYTICS_OPT_IN": "false",
            "MLFLOW_DISABLE_TELEMETRY": "true",
            "OMP_WAIT_POLICY": "PASSIVE",
            **mlflow_server.variables,
        },
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    said = json.loads(ended.stdout.splitlines()[-1])
    return Tracked(name, said, ended.stderr, mlflow_server.proxy.requests[first:])


@pytest.fixture
def client(mlflow_server: MlflowInSageMaker) -> MlflowClient:
    """The server as its other users see it, past the proxy."""
    return MlflowClient(mlflow_server.url)


@BY_ARN
class TestByArn:
    def test_every_request_is_signed_for_the_service_of_the_arn(self, tracked):
        unsigned = [each for each in tracked.requests if not each.is_signed(KEY, tracked.name)]

        assert len(tracked.requests) > 20
        assert unsigned == []

    def test_every_request_names_the_arn(self, tracked):
        named = {each.headers.get(ARN_HEADERS[tracked.name]) for each in tracked.requests}

        assert named == {ARNS[tracked.name]}

    def test_another_request_does_not_carry_the_signature(self, tracked):
        request = next(each for each in tracked.requests if each.method == "POST")

        for other in (
            replace(request, body=request.body + b" "),
            replace(request, path=request.path + "x"),
            replace(
                request, headers=request.headers | {ARN_HEADERS[tracked.name]: "arn:aws:another"}
            ),
        ):
            assert not other.is_signed(KEY, tracked.name)

    def test_another_key_or_service_does_not_give_the_signature(self, tracked):
        request = tracked.requests[0]

        assert not request.is_signed(Credentials("testing", "another"), tracked.name)
        assert not request.is_signed(KEY, "s3")

    def test_the_tracker_is_the_one_of_the_arn(self, tracked):
        assert tracked.said["tracking_uri"] == ARNS[tracked.name]


@BY_URL
class TestByAddress:
    def test_no_request_is_signed_or_names_an_arn(self, tracked):
        names = {name for each in tracked.requests for name in each.headers}

        assert len(tracked.requests) > 20
        assert not names & {"x-amz-date", *ARN_HEADERS.values()}

    def test_credentials_are_sent_where_the_stack_has_some(self, tracked):
        sent = {each.headers.get("authorization") for each in tracked.requests}

        assert sent == {"Bearer of-the-team" if tracked.name == "http-token" else None}

    def test_nothing_is_complained_about(self, tracked):
        assert "resolving request headers" not in tracked.log


@pytest.mark.parametrize("tracked", [*ARNS, "http"], indirect=True)
class TestTracked:
    def test_the_run_has_what_the_step_recorded(self, tracked, client):
        run = client.get_run(tracked.said["run_id"])

        assert run.info.status == "FINISHED"
        assert run.data.params == {"model.max_depth": "5"}
        assert run.data.metrics == {"test_roc_auc": 0.79}
        assert run.info.artifact_uri.startswith(f"s3://{BUCKET}/mlflow/")

    def test_the_version_belongs_to_the_run_and_has_its_alias(self, tracked, client):
        version = client.get_model_version_by_alias(tracked.name, "challenger")

        assert (version.version, version.run_id) == ("1", tracked.said["run_id"])
        assert version.tags == {"data_source": "synthetic"}

    def test_the_bundle_is_in_s3_and_loads_as_it_was_trained(self, tracked):
        assert tracked.said["bundle_uri"].startswith(f"s3://{BUCKET}/mlflow/")
        assert tracked.said["same_bundle"]

    def test_it_does_not_count_as_local(self, tracked):
        assert tracked.said["is_local"] is False
