"""SageMaker's model registry: a group for each model, a package for each version."""

import json
import re
from collections.abc import Mapping
from typing import Any

from bank_marketing.bundle import Bundle
from bank_marketing.errors import PlatformError
from platforms.base import Approval, JobPlace, ModelPackage, ModelVersion
from platforms.sagemaker.job_files import packed_files, upload
from platforms.sagemaker.session import aws_errors, error_code

_NONE = "none"
# What SageMaker demands beside a stage.
_STATUS = {"staging": "PendingApproval", "production": "Approved", "archived": "Retired"}

# As Amazon SageMaker Model Monitor calls what both of us measure.
_STATISTICS = {"roc_auc": "auc", "pr_auc": "au_prc"}

_MAX_DESCRIPTION = 1024
_MAX_FACT = 256
_NOT_IN_FACTS = re.compile(r"[^\w .:/=+\-@]")


class SageMakerModelPackages:
    """The `ModelPackages` of one region, through a client of SageMaker."""

    def __init__(self, sagemaker: Any) -> None:
        self._sagemaker = sagemaker

    def packages(self, name: str) -> dict[str, ModelPackage]:
        """See `ModelPackages.packages`."""
        pages = self._sagemaker.get_paginator("list_model_packages")
        try:
            with aws_errors(f"list the model packages of {name!r}"):
                found = [
                    summary
                    for page in pages.paginate(ModelPackageGroupName=name)
                    for summary in page["ModelPackageSummaryList"]
                ]
        except PlatformError as error:
            if _is_missing(error):
                return {}
            raise
        return {
            summary["ModelPackageArn"]: ModelPackage(
                arn=summary["ModelPackageArn"],
                approval=summary["ModelApprovalStatus"],
                stage=summary.get("ModelLifeCycle", {}).get("Stage", _NONE),
            )
            for summary in found
        }

    def set_approval(self, arn: str, approval: Approval, because: str) -> None:
        """See `ModelPackages.set_approval`."""
        with aws_errors(f"set the approval of {arn}"):
            self._sagemaker.update_model_package(
                ModelPackageArn=arn,
                ModelApprovalStatus=approval,
                ApprovalDescription=because[:_MAX_DESCRIPTION],
            )

    def set_stage(self, arn: str, stage: str) -> None:
        """See `ModelPackages.set_stage`."""
        with aws_errors(f"set the stage of {arn}"):
            self._sagemaker.update_model_package(
                ModelPackageArn=arn,
                ModelLifeCycle={"Stage": stage, "StageStatus": _STATUS.get(stage, stage)},
            )

    def delete(self, arn: str) -> None:
        """See `ModelPackages.delete`."""
        try:
            with aws_errors(f"delete {arn}"):
                self._sagemaker.delete_model_package(ModelPackageName=arn)
        except PlatformError as error:
            if not _is_missing(error):
                raise


class SageMakerPackagePublisher:
    """The `PackagePublisher` of a run, which keeps its files at `place`."""

    def __init__(self, place: JobPlace, sagemaker: Any, s3: Any) -> None:
        self._place = place
        self._sagemaker = sagemaker
        self._s3 = s3

    def publish(self, version: ModelVersion, bundle: Bundle, facts: Mapping[str, str]) -> str:
        """See `PackagePublisher.publish`."""
        self._require_group(version.name)
        folder = f"{self._place.output_uri}/models/{bundle.checksum}"
        model, statistics = f"{folder}/model.tar.gz", f"{folder}/statistics.json"
        upload(self._s3, model, packed_files(bundle.files()), self._place.tags)
        upload(self._s3, statistics, _statistics(bundle.manifest.metrics), self._place.tags)
        with aws_errors(f"register a model package of {version.name!r}"):
            arn = self._sagemaker.create_model_package(
                ModelPackageGroupName=version.name,
                ModelPackageDescription=f"{version.name} version {version.version}",
                ModelApprovalStatus="PendingManualApproval",
                InferenceSpecification={
                    "Containers": [{"Image": self._place.image, "ModelDataUrl": model}],
                    "SupportedContentTypes": ["text/csv"],
                    "SupportedResponseMIMETypes": ["text/csv"],
                    "SupportedRealtimeInferenceInstanceTypes": [self._place.instance_type],
                    "SupportedTransformInstanceTypes": [self._place.instance_type],
                },
                ModelMetrics={
                    "ModelQuality": {
                        "Statistics": {"ContentType": "application/json", "S3Uri": statistics}
                    }
                },
                CustomerMetadataProperties=_legal(facts),
            )["ModelPackageArn"]
        return str(arn)

    def _require_group(self, name: str) -> None:
        """Create the group of a model unless it is there; its packages share its tags."""
        try:
            with aws_errors(f"create the model package group {name!r}"):
                self._sagemaker.create_model_package_group(
                    ModelPackageGroupName=name,
                    ModelPackageGroupDescription="Every registered version of the model",
                    Tags=[{"Key": key, "Value": value} for key, value in self._place.tags.items()],
                )
        except PlatformError as error:
            if "already exists" not in str(error):
                raise


def _is_missing(error: PlatformError) -> bool:
    """Say whether AWS refused because there is no such thing; for that it has two codes."""
    return error_code(error) == "ResourceNotFound" or (
        error_code(error) == "ValidationException" and "does not exist" in str(error)
    )


def _statistics(metrics: Mapping[str, float]) -> bytes:
    """Return metrics as SageMaker Studio reads them.

    Source:
        Amazon SageMaker Developer Guide, "Model quality metrics and Amazon CloudWatch monitoring".
    """
    values = {
        _STATISTICS.get(name, name): {"value": value, "standard_deviation": "NaN"}
        for name, value in metrics.items()
    }
    return json.dumps({"binary_classification_metrics": values}, indent=1).encode()


def _legal(facts: Mapping[str, str]) -> dict[str, str]:
    """Return what SageMaker takes for metadata: short, not empty, of a few characters only."""
    return {
        name: _NOT_IN_FACTS.sub("-", value)[:_MAX_FACT] for name, value in facts.items() if value
    }
