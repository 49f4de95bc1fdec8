"""What jobs use in AWS: buckets, an image, and instances."""

import hashlib
import re
import shutil
from collections.abc import Iterable
from functools import cached_property
from typing import Any
from urllib.parse import urlsplit

from bank_marketing.errors import PlatformError
from platforms.sagemaker import checks
from platforms.sagemaker.session import error_code
from stacks.doctor import machine
from stacks.doctor.check import Finding, ok, problem, unknown
from stacks.files import DEFAULT, JobFile, SageMakerFile, StackFile

STEPS_AT_ONCE = 2  # the backtest runs beside training and what follows it
LOCK_TAG = "lock-"

_IMAGE = re.compile(
    r"(?P<account>\d{12})\.dkr\.ecr\.(?P<region>[\w-]+)\.amazonaws\.com(\.cn)?/"
    r"(?P<repository>[^:@]+)(:(?P<tag>[^@]+))?(@(?P<digest>sha256:\w+))?"
)

_PUBLIC_ACCESS = (
    "BlockPublicAcls",
    "IgnorePublicAcls",
    "BlockPublicPolicy",
    "RestrictPublicBuckets",
)


class ResourceLooks:
    """Looks at what a stack names."""

    def __init__(self, stack: StackFile, sagemaker: SageMakerFile, account: checks.Account) -> None:
        self._stack = stack
        self._sagemaker = sagemaker
        self._account = account
        self.usages = _usages(sagemaker)

    @property
    def buckets(self) -> list[str]:
        """The bucket of the artifacts and that of code, mostly the same."""
        path = str(self._stack.components["artifact_store"].config.get("path"))
        code = self._stack.components["orchestrator"].config.get("bucket")
        return sorted({urlsplit(path).netloc, code or ""} - {""})

    def bucket(self, name: str) -> Finding:
        ours, caller = self._account.region, self._account.caller
        try:
            region = self._account.bucket_region(name, caller.account)
        except PlatformError as error:
            if error_code(error) != "403":
                raise
            return problem(
                f"{name} is not of account {caller.account}, or not for {caller.arn}",
                "set SAGEMAKER_BUCKET to a bucket of the account",
            )
        if region is None:
            return problem(f"there is no bucket {name}", f"aws s3 mb s3://{name} --region {ours}")
        if region != ours:
            return problem(
                f"{name} is in {region}, the jobs are in {ours}",
                f"set SAGEMAKER_BUCKET to a bucket in {ours}, or AWS_REGION to {region}",
            )
        return ok(f"{name} in {region}")

    def encryption(self, bucket: str) -> Finding:
        algorithm = self._account.bucket_encryption(bucket)
        if algorithm is not None:
            return ok(f"{algorithm} by default")
        rules = '{"Rules":[{"ApplyServerSideEncryptionByDefault":{"SSEAlgorithm":"AES256"}}]}'
        return problem(
            "nothing is encrypted by default",
            f"aws s3api put-bucket-encryption --bucket {bucket} "
            f"--server-side-encryption-configuration '{rules}'",
        )

    def public_access(self, bucket: str) -> Finding:
        if self._account.blocks_public_access(bucket):
            return ok("blocked")
        rules = ",".join(f"{name}=true" for name in _PUBLIC_ACCESS)
        return problem(
            "the bucket does not block it",
            f"aws s3api put-public-access-block --bucket {bucket} "
            f"--public-access-block-configuration {rules}",
        )

    def image(self) -> Finding:
        name = self._sagemaker.docker.parent_image
        if name is None:
            if shutil.which("docker"):
                return ok("ZenML builds one with Docker")
            return problem(
                "ZenML would build one, and there is no Docker",
                "install it, or set docker.parent_image",
            )
        parts = _IMAGE.fullmatch(name)
        if parts is None:
            return problem(
                f"{name} is not in ECR, the only place that SageMaker takes images from",
                "push it there, and set SAGEMAKER_IMAGE",
            )
        if parts["account"] != self._account.caller.account:
            return unknown(f"{name} is of another account", "ask its owner whether it exists")
        if self._image is None:
            return problem(f"there is no {name}", f"docker push {name}")
        return ok(f"{name} is {self._image.digest[:19]}")

    def libraries(self) -> Finding:
        tags = self._image.tags if self._image else ()
        locks = [tag for tag in tags if tag.startswith(LOCK_TAG)]
        wanted = lock_tag()
        if wanted in locks:
            return ok(f"those of requirements.txt ({wanted})")
        if locks:
            return problem(
                f"the image was built from {locks[0]}, requirements.txt is {wanted}",
                "build and push the image again",
            )
        return unknown(
            f"the image has no tag {LOCK_TAG}...", f"tag the image {wanted} when you build it"
        )

    def quota(self, usage: str) -> Finding:
        wanted, quota = self.usages[usage], self._quotas.get(usage)
        if quota is None:
            return unknown("AWS does not list it", "look in the console under Service Quotas")
        found = f"{quota.value:.0f}, and at least {wanted} run at a time"
        if usage in _quotas(self._sagemaker.submitted_job):
            found += ", tuning.workers of them in a tuning job"
        if quota.value >= wanted:
            return ok(found)
        return problem(
            found,
            "aws service-quotas request-service-quota-increase --service-code sagemaker "
            f"--quota-code {quota.code} --desired-value {wanted} --region {self._account.region}",
        )

    @cached_property
    def _image(self) -> checks.Image | None:
        parts = _IMAGE.fullmatch(self._sagemaker.docker.parent_image or "")
        if parts is None:
            return None
        return checks.Account(parts["region"]).image(parts["repository"], _reference(parts))

    @cached_property
    def _quotas(self) -> dict[str, checks.Quota]:
        return self._account.quotas(self.usages)


def lock_tag() -> str:
    """Return the tag of an image that holds the libraries of requirements.txt."""
    return LOCK_TAG + hashlib.sha256(machine.LOCK.read_bytes()).hexdigest()[:12]


def _usages(sagemaker: SageMakerFile) -> dict[str, int]:
    """Return, by the name of a quota, how many instances have to run at a time."""
    wanted: dict[str, int] = {}
    for step, job in sagemaker.step_jobs.items():
        at_once = STEPS_AT_ONCE if step == DEFAULT else 1
        for name in _quotas(job):
            wanted[name] = max(at_once, wanted.get(name, 0))
    for name in _quotas(sagemaker.submitted_job):  # while the step that submits it waits
        wanted[name] = wanted.get(name, 0) + 1
    return wanted


def _quotas(job: JobFile) -> Iterable[str]:
    kind = f"spot {job.type} job" if job.spot else f"{job.type} job"
    yield f"{job.instance_type} for {kind} usage"
    if job.keep_alive_s:
        yield f"{job.instance_type} for training warm pool usage"


def _reference(image: re.Match[str]) -> dict[str, Any]:
    if image["digest"]:
        return {"imageDigest": image["digest"]}
    return {"imageTag": image["tag"] or "latest"}
