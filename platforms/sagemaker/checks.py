"""Facts about an AWS account that a stack depends on; each is told, or refused, within seconds."""

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from email.utils import parsedate_to_datetime
from functools import cached_property
from typing import Any, Literal, NamedTuple

import boto3
from botocore.config import Config
from botocore.exceptions import (
    ClientError,
    CredentialRetrievalError,
    HTTPClientError,
    NoCredentialsError,
    PartialCredentialsError,
    ProfileNotFound,
    SSOError,
    TokenRetrievalError,
)
from botocore.exceptions import ConnectionError as NoConnectionError

from bank_marketing.errors import PlatformError
from platforms.sagemaker.roles import SAGEMAKER
from platforms.sagemaker.session import aws_errors, client, error_code

CredentialTrouble = Literal["missing", "expired", "unreachable", "refused"]

_QUICK = Config(
    connect_timeout=3, read_timeout=5, retries={"mode": "standard", "total_max_attempts": 2}
)
_EXPIRED = {"ExpiredToken", "ExpiredTokenException", "RequestExpired"}
_NO_LONGER = (SSOError, CredentialRetrievalError, TokenRetrievalError)
_NO_ANSWER = (NoConnectionError, HTTPClientError)
_MISSING = (NoCredentialsError, PartialCredentialsError, ProfileNotFound)
_PARTITIONS = ("aws", "aws-cn", "aws-us-gov")
_QUOTA_PAGES = 40  # of 100; SageMaker has some 2,000 quotas


class Caller(NamedTuple):
    """Who asks, and the time of the server that said so."""

    account: str
    arn: str
    time: datetime


class Role(NamedTuple):
    """A role, and the services that may take it on."""

    arn: str
    trusted: frozenset[str]


class Image(NamedTuple):
    """A container image in ECR."""

    digest: str
    tags: tuple[str, ...]


class Quota(NamedTuple):
    """How many instances may run at a time."""

    code: str
    value: float


class MlflowServer(NamedTuple):
    """MLflow on SageMaker; `version` is MLflow's own, empty where AWS does not tell."""

    is_running: bool
    status: str
    version: str


@dataclass(frozen=True)
class Account:
    """The services of one region, as the credentials in the environment see them."""

    region: str

    @cached_property
    def caller(self) -> Caller:
        """Return who the credentials belong to; needs no permission.

        Raises:
            PlatformError: There are none, or AWS does not know them; see `credential_trouble`.
        """
        with aws_errors("ask AWS who we are"):
            answer = self._client("sts").get_caller_identity()
        return Caller(answer["Account"], answer["Arn"], _time(answer))

    def require_sagemaker(self) -> None:
        """Ask SageMaker for something small.

        Raises:
            PlatformError: It refuses, or does not answer.
        """
        with aws_errors(f"use SageMaker in {self.region}"):
            self._client("sagemaker").list_processing_jobs(MaxResults=1)

    def role(self, name: str) -> Role | None:
        """Return a role of this account, if there is one of that name."""
        with aws_errors(f"look at role {name}"), _absent("NoSuchEntity") as found:
            found += [self._client("iam").get_role(RoleName=name)["Role"]]
        if not found:
            return None
        return Role(found[0]["Arn"], _trusted(found[0]["AssumeRolePolicyDocument"]))

    def pass_role_decision(self, who_arn: str, role_arn: str) -> str:
        """Return IAM's word on whether a caller or role may hand a role to SageMaker.

        It is `allowed`, `implicitDeny` or `explicitDeny`.
        """
        with aws_errors(f"simulate iam:PassRole for {who_arn}"):
            iam = self._client("iam")
            answer = iam.simulate_principal_policy(
                PolicySourceArn=_principal(iam, who_arn),
                ActionNames=["iam:PassRole"],
                ResourceArns=[role_arn],
                ContextEntries=[
                    {
                        "ContextKeyName": "iam:PassedToService",
                        "ContextKeyValues": [SAGEMAKER],
                        "ContextKeyType": "string",
                    }
                ],
            )
        return str(answer["EvaluationResults"][0]["EvalDecision"])

    def bucket_region(self, bucket: str, owner: str) -> str | None:
        """Return the region of a bucket of account `owner`, if there is such a bucket."""
        with aws_errors(f"look at bucket {bucket}"), _absent("404", "NoSuchBucket") as found:
            found += [self._client("s3").head_bucket(Bucket=bucket, ExpectedBucketOwner=owner)]
        if not found:
            return None
        headers = found[0]["ResponseMetadata"]["HTTPHeaders"]
        return str(headers.get("x-amz-bucket-region", self.region))

    def bucket_encryption(self, bucket: str) -> str | None:
        """Return how a bucket encrypts what is put there without a word, if it does."""
        absent = "ServerSideEncryptionConfigurationNotFoundError"
        with aws_errors(f"look at the encryption of bucket {bucket}"), _absent(absent) as found:
            found += [self._client("s3").get_bucket_encryption(Bucket=bucket)]
        if not found:
            return None
        (rule, *_) = found[0]["ServerSideEncryptionConfiguration"]["Rules"]
        return str(rule["ApplyServerSideEncryptionByDefault"]["SSEAlgorithm"])

    def blocks_public_access(self, bucket: str) -> bool:
        """Return whether a bucket refuses every way of making its objects public."""
        absent = "NoSuchPublicAccessBlockConfiguration"
        with aws_errors(f"look at the public access of bucket {bucket}"), _absent(absent) as found:
            found += [self._client("s3").get_public_access_block(Bucket=bucket)]
        return bool(found) and all(found[0]["PublicAccessBlockConfiguration"].values())

    def image(self, repository: str, reference: Mapping[str, str]) -> Image | None:
        """Return an image by `imageTag` or `imageDigest`, if this account has it."""
        absent = ("RepositoryNotFoundException", "ImageNotFoundException")
        with aws_errors(f"look at image {repository}"), _absent(*absent) as found:
            found += self._client("ecr").describe_images(
                repositoryName=repository, imageIds=[dict(reference)]
            )["imageDetails"]
        if not found:
            return None
        return Image(found[0]["imageDigest"], tuple(found[0].get("imageTags", ())))

    def quotas(self, names: Collection[str]) -> dict[str, Quota]:
        """Return SageMaker's quotas of these names, as far as AWS lists them."""
        with aws_errors(f"list SageMaker's quotas in {self.region}"):
            pages = self._client("service-quotas").get_paginator("list_service_quotas")
            quotas: dict[str, Quota] = {}
            limits = {"PageSize": 100, "MaxItems": 100 * _QUOTA_PAGES}
            for page in pages.paginate(ServiceCode="sagemaker", PaginationConfig=limits):
                for quota in page["Quotas"]:
                    if quota["QuotaName"] in names:
                        quotas[quota["QuotaName"]] = Quota(quota["QuotaCode"], quota["Value"])
                if len(quotas) == len(names):
                    break
        return quotas

    def mlflow_server(self, arn: str) -> MlflowServer | None:
        """Return a tracking server or an MLflow app, if there is one of that ARN."""
        sagemaker = self._client("sagemaker")
        with aws_errors(f"look at {arn}"), _absent("ResourceNotFound") as found:
            if ":mlflow-app/" in arn:
                found += [sagemaker.describe_mlflow_app(Arn=arn)]
            else:
                name = arn.rpartition("/")[2]
                found += [sagemaker.describe_mlflow_tracking_server(TrackingServerName=name)]
        if not found:
            return None
        status = found[0].get("TrackingServerStatus") or found[0].get("Status", "")
        is_running = found[0].get("IsActive") == "Active" or status in ("Created", "Updated")
        return MlflowServer(is_running, status, found[0].get("MlflowVersion", ""))

    def _client(self, service: str) -> Any:
        return client(service, self.region, _QUICK)


def sagemaker_regions() -> frozenset[str]:
    """Return the regions in which botocore knows a SageMaker."""
    session = boto3.session.Session()
    return frozenset(
        region
        for partition in _PARTITIONS
        for region in session.get_available_regions("sagemaker", partition)
    )


def credential_trouble(error: PlatformError) -> CredentialTrouble:
    """Say why AWS did not tell who we are."""
    cause = error.__cause__
    if isinstance(cause, _MISSING):
        return "missing"
    if isinstance(cause, _NO_LONGER) or error_code(error) in _EXPIRED:
        return "expired"
    return "unreachable" if isinstance(cause, _NO_ANSWER) else "refused"


def refused_at(error: PlatformError) -> datetime | None:
    """Return the time of the server that refused, if one did."""
    cause = error.__cause__
    return _time(cause.response) if isinstance(cause, ClientError) else None


def _time(answer: Mapping[str, Any]) -> datetime:
    return parsedate_to_datetime(answer["ResponseMetadata"]["HTTPHeaders"]["date"])


@contextmanager
def _absent(*codes: str) -> Iterator[list[Any]]:
    """Yield a list that stays empty where one of `codes` says that there is no such thing."""
    try:
        yield []
    except ClientError as error:
        if error.response["Error"]["Code"] not in codes:
            raise


def _trusted(policy: Mapping[str, Any]) -> frozenset[str]:
    """Return the services that a trust policy lets take the role on, whatever its conditions."""
    services: set[str] = set()
    for statement in _listed(policy["Statement"]):
        principal = statement.get("Principal", {})
        actions = set(_listed(statement.get("Action", ())))
        if (
            statement["Effect"] == "Allow"
            and actions & {"sts:AssumeRole", "sts:*", "*"}
            and isinstance(principal, Mapping)
        ):
            services |= set(_listed(principal.get("Service", ())))
    return frozenset(services)


def _listed(value: Any) -> list[Any]:
    """Return what IAM writes as one thing or a list of them as a list."""
    return list(value) if isinstance(value, (list, tuple)) else [value]


def _principal(iam: Any, arn: str) -> str:
    """Return the ARN that IAM knows a caller by: for a session, that of its role."""
    kind, _, rest = arn.partition(":sts::")[2].partition(":")[2].partition("/")
    if kind != "assumed-role":
        return arn
    return str(iam.get_role(RoleName=rest.partition("/")[0])["Role"]["Arn"])
