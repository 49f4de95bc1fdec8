"""Clients of AWS: whose they are, and what their errors become."""

import pytest
from botocore.exceptions import ClientError

from bank_marketing.errors import PlatformError
from platforms.sagemaker.session import aws_errors, client, error_code, is_amazons


@pytest.mark.parametrize(
    ("region", "endpoint", "expected"),
    [
        ("eu-west-1", None, True),
        ("cn-north-1", None, True),
        ("eu-west-1", "https://vpce-1.api.sagemaker.eu-west-1.vpce.amazonaws.com", True),
        ("eu-west-1", "http://127.0.0.1:5000", False),
        ("eu-west-1", "https://amazonaws.com.example.org", False),
    ],
)
def test_only_amazons_own_addresses_are_amazons(monkeypatch, region, endpoint, expected):
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    if endpoint:
        monkeypatch.setenv("AWS_ENDPOINT_URL_SAGEMAKER", endpoint)

    assert is_amazons(client("sagemaker", region)) is expected


def test_what_s3_refused_is_told_though_s3fs_hides_it():
    refusal = ClientError({"Error": {"Code": "ExpiredToken", "Message": "It has."}}, "PutObject")

    with pytest.raises(PlatformError) as raised, aws_errors("save"):
        raise PermissionError("It has.") from refusal

    assert str(raised.value) == "save: AWS refused PutObject: ExpiredToken: It has."
    assert error_code(raised.value) == "ExpiredToken"


def test_an_error_of_this_machine_is_left_alone():
    with pytest.raises(FileNotFoundError), aws_errors("save"):
        raise FileNotFoundError
