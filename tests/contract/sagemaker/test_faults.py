"""Faults on request, and the record of calls."""

import json
import time
import urllib.request
from typing import Any

import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from sagemaker_emulator.faults import Fault
from sagemaker_emulator.server import Emulator
from tests.contract.sagemaker.conftest import BUCKET


@pytest.fixture
def impatient(sagemaker_emulator: Emulator) -> Any:
    """Make clients that do not try again, and end all faults afterwards."""
    session = sagemaker_emulator.session()
    yield lambda service: session.client(
        service,
        endpoint_url=sagemaker_emulator.url,
        config=Config(retries={"total_max_attempts": 1}),
    )
    sagemaker_emulator.faults.clear()


def test_the_nth_call_of_an_operation_fails_and_the_others_do_not(impatient, sagemaker_emulator):
    client = impatient("sagemaker")
    sagemaker_emulator.faults.add(
        Fault(
            "sagemaker",
            "ListTrainingJobs",
            nth=2,
            code="ThrottlingException",
            message="Rate exceeded",
        )
    )

    client.list_training_jobs()
    with pytest.raises(ClientError, match=r"ThrottlingException.*Rate exceeded"):
        client.list_training_jobs()
    client.list_training_jobs()


def test_a_client_that_tries_again_gets_through_throttling(sagemaker, sagemaker_emulator):
    sagemaker_emulator.faults.add(
        Fault(
            "sagemaker",
            "ListTrainingJobs",
            nth=1,
            code="ThrottlingException",
            message="Rate exceeded",
        )
    )

    answer = sagemaker.list_training_jobs()

    assert answer["ResponseMetadata"]["RetryAttempts"] == 1


def test_the_credentials_of_one_caller_expire(s3, impatient, sagemaker_emulator):
    message = "The security token included in the request is expired"
    sagemaker_emulator.faults.add(
        Fault("sagemaker", caller="someone", code="ExpiredTokenException", message=message)
    )
    sagemaker_emulator.faults.add(
        Fault(
            "s3", caller="testing", code="ExpiredToken", message="The provided token has expired."
        )
    )

    impatient("sagemaker").list_training_jobs()
    with pytest.raises(ClientError, match=r"ExpiredToken\).*The provided token has expired\."):
        impatient("s3").list_buckets()


def test_a_call_can_be_delayed(impatient, sagemaker_emulator):
    sagemaker_emulator.faults.add(Fault("sagemaker", "ListTrainingJobs", delay_s=0.5))
    started = time.monotonic()

    impatient("sagemaker").list_training_jobs()

    assert time.monotonic() - started >= 0.5


def test_s3_is_away_for_a_while(impatient, s3, sagemaker_emulator):
    sagemaker_emulator.faults.add(
        Fault("s3", for_s=1, code="ServiceUnavailable", message="Please try again.", status=503)
    )

    with pytest.raises(ClientError, match="ServiceUnavailable"):
        impatient("s3").list_objects_v2(Bucket=BUCKET)
    time.sleep(1.1)
    impatient("s3").list_objects_v2(Bucket=BUCKET)


@pytest.mark.parametrize(
    ("service", "call"),
    [
        ("iam", lambda client: client.list_roles()),
        ("sts", lambda client: client.get_caller_identity()),
        ("logs", lambda client: client.describe_log_groups()),
    ],
)
def test_every_service_can_fail(impatient, sagemaker_emulator, service, call):
    sagemaker_emulator.faults.add(Fault(service, code="ExpiredToken", message="It has expired."))

    with pytest.raises(ClientError, match=r"ExpiredToken.*It has expired"):
        call(impatient(service))


def test_each_call_is_recorded_with_its_action_resource_and_caller(s3, sagemaker_emulator, name):
    s3.put_object(Bucket=BUCKET, Key=name, Body=b"")
    s3.copy_object(Bucket=BUCKET, Key=f"{name}-2", CopySource=f"{BUCKET}/{name}")

    calls = sagemaker_emulator.recorder.calls()

    made = [(call["operation"], call["caller"]) for call in calls if name in call["resource"]]
    assert made == [("PutObject", "testing"), ("CopyObject", "testing")]


def test_faults_and_calls_can_be_had_over_http(impatient, sagemaker_emulator):
    fault = {"service": "sagemaker", "operation": "ListTrainingJobs", "code": "InternalFailure"}
    ask(sagemaker_emulator, "faults", "POST", fault)

    with pytest.raises(ClientError, match="InternalFailure"):
        impatient("sagemaker").list_training_jobs()
    ask(sagemaker_emulator, "faults", "DELETE")
    impatient("sagemaker").list_training_jobs()

    last, before = ask(sagemaker_emulator, "calls", "GET")["calls"][:-3:-1]
    assert (before["error"], last["error"]) == ("InternalFailure", "")


def test_a_quota_can_be_set_over_http(sagemaker_emulator):
    ask(sagemaker_emulator, "quotas", "POST", {"ml.g5.xlarge for training job usage": 1})

    assert sagemaker_emulator.quotas["ml.g5.xlarge for training job usage"] == 1


def test_an_unknown_question_is_not_answered(sagemaker_emulator):
    with pytest.raises(urllib.error.HTTPError, match="404"):
        ask(sagemaker_emulator, "secrets", "GET")


def test_what_is_not_there_cannot_be_killed(sagemaker_emulator):
    assert ask(sagemaker_emulator, "kill", "POST", {"name": "gone"}) == {"killed": 0}


@pytest.mark.parametrize(
    "headers", [{"Host": "evil.example"}, {"Origin": "http://evil.example"}, {"Host": ""}]
)
def test_a_page_in_a_browser_gets_nothing(sagemaker_emulator, headers):
    request = urllib.request.Request(f"{sagemaker_emulator.url}/_emulator/calls", headers=headers)

    with pytest.raises(urllib.error.HTTPError, match="403"):
        urllib.request.urlopen(request)


def ask(emulator: Emulator, what: str, method: str, body: Any = None) -> Any:
    data = json.dumps(body).encode() if body else None
    request = urllib.request.Request(f"{emulator.url}/_emulator/{what}", data, method=method)
    with urllib.request.urlopen(request) as response:
        return json.load(response)
