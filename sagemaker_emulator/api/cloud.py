"""What every handler works with: the resources, the containers, and the rest of the cloud."""

import os
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
from botocore.config import Config

from sagemaker_emulator.api.errors import ResourceLimitExceeded, ValidationException
from sagemaker_emulator.api.records import Record, Records
from sagemaker_emulator.images.containers import Container, ContainerRuntime
from sagemaker_emulator.images.images import Images

if TYPE_CHECKING:
    from sagemaker_emulator.hosting.endpoints import Endpoint

# The emulator calls its own S3 and logs by these; such calls are not recorded.
OWN_KEY = "EMULATOR"

Fields = Mapping[str, Any]


@dataclass(frozen=True)
class Call:
    """A request to SageMaker; `by_job` tells whether a job makes it, which then waits for it."""

    operation: str
    region: str
    request: Fields
    by_job: bool = False


@dataclass(frozen=True)
class Cloud:
    """One emulated account.

    Args:
        endpoint: Where all services answer.
        call: Carries out what a pipeline asks of SageMaker in a role.
        work: Folder of the jobs' files.
        variables: What the network supplies to every container.
        slots: Jobs that run at a time; others wait as for an instance.
        slots_of_jobs: As many for what running jobs ask for, which could not end without.
        quotas: Limit by instance type and use, such as `ml.m5.large for training job usage`.
        stop_grace_s: Between SIGTERM and SIGKILL; Amazon gives 120.
        running: Containers by the ARN of their job or endpoint.
        endpoints: What runs of endpoints, by their ARN.
        callers: Role by the access key that a job got.
    """

    endpoint: str
    call: Callable[[Call, str], Fields]
    work: Path
    images: Images
    containers: ContainerRuntime
    variables: Mapping[str, str]
    slots: threading.BoundedSemaphore
    slots_of_jobs: threading.BoundedSemaphore
    quotas: Mapping[str, int]
    stop_grace_s: float
    records: Records = field(default_factory=Records)
    running: dict[str, list[Container]] = field(default_factory=dict)
    endpoints: dict[str, "Endpoint"] = field(default_factory=dict)
    callers: dict[str, str] = field(default_factory=dict)

    def client(self, service: str, region: str) -> Any:
        """Return a client of another service of this cloud."""
        return _client(self.endpoint, service, region)

    def run(self, work: Callable[..., None], *arguments: object) -> None:
        """Do something beside the request that asked for it."""
        threading.Thread(target=work, args=arguments, daemon=True).start()

    def require_role(self, arn: str, region: str) -> None:
        """Refuse a role that does not exist.

        Raises:
            ValidationException: In Amazon's words.
        """
        iam = self.client("iam", region)
        try:
            iam.get_role(RoleName=arn.rpartition("/")[2])
        except iam.exceptions.NoSuchEntityException as error:
            raise ValidationException(
                f"Could not assume role {arn}. Please ensure that the role exists and allows "
                "principal 'sagemaker.amazonaws.com' to assume the role."
            ) from error

    def require_quota(self, instance_type: str, use: str, count: int, active: int) -> None:
        """Refuse more machines of a type than the account may have.

        Raises:
            ResourceLimitExceeded: In Amazon's words.
        """
        limit = self.quotas.get(f"{instance_type} for {use} usage")
        if limit is not None and active + count > limit:
            raise ResourceLimitExceeded(
                f"The account-level service limit '{instance_type} for {use} usage' is {limit} "
                f"Instances, with current utilization of {active} Instances and a request delta "
                f"of {count} Instances. Please use AWS Service Quotas to request an increase for "
                "this quota. If AWS Service Quotas is not available, contact AWS support to "
                "request an increase for this quota."
            )

    def container_variables(self, region: str, role: str | None) -> dict[str, str]:
        """Return what the role and the network of a job supply to its container."""
        credentials = self._credentials(region, role) if role else {}
        return {**client_variables(self.endpoint, region), **credentials, **self.variables}

    def _credentials(self, region: str, role: str) -> dict[str, str]:
        assumed = self.client("sts", region).assume_role(RoleArn=role, RoleSessionName="SageMaker")[
            "Credentials"
        ]
        self.callers[assumed["AccessKeyId"]] = role
        return {
            "AWS_ACCESS_KEY_ID": assumed["AccessKeyId"],
            "AWS_SECRET_ACCESS_KEY": assumed["SecretAccessKey"],
            "AWS_SESSION_TOKEN": assumed["SessionToken"],
        }


Handler = Callable[[Cloud, Call], Fields]


def client_variables(endpoint: str, region: str) -> dict[str, str]:
    """Return the variables with which any AWS client talks to an emulator, and to nothing else."""
    return {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",  # pragma: allowlist secret
        "AWS_REGION": region,
        "AWS_DEFAULT_REGION": region,
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "NO_PROXY": "127.0.0.1,localhost",
    }


def is_active(record: Record) -> bool:
    return not record.done.is_set()


@cache
def _client(endpoint: str, service: str, region: str) -> Any:
    return boto3.session.Session().client(
        service,
        region_name=region,
        endpoint_url=endpoint,
        aws_access_key_id=OWN_KEY,
        aws_secret_access_key=OWN_KEY,
        config=Config(
            retries={"max_attempts": 2},
            max_pool_connections=64,
            proxies={},
            s3={"addressing_style": "path"},
        ),
    )
