"""The model registry: versions, approval, and models that are made from them."""

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.contract.sagemaker.models import MODEL_IMAGE, put_model_data

ARN = "arn:aws:sagemaker:eu-west-1:123456789012"


@pytest.fixture
def group(sagemaker: Any, name: str) -> str:
    sagemaker.create_model_package_group(
        ModelPackageGroupName=name, ModelPackageGroupDescription="who subscribes"
    )
    return name


@pytest.fixture
def register(sagemaker: Any, s3: Any, name: str) -> Callable[..., str]:
    """Register a package; return its ARN."""
    data = put_model_data(s3, name, 2)

    def create(**changes: Any) -> str:
        specification = {
            "Containers": [
                {"Image": MODEL_IMAGE, "ModelDataUrl": data, "Environment": {"FROM": "package"}}
            ],
            "SupportedContentTypes": ["text/csv"],
            "SupportedResponseMIMETypes": ["text/csv"],
        }
        return str(
            sagemaker.create_model_package(InferenceSpecification=specification, **changes)[
                "ModelPackageArn"
            ]
        )

    return create


def versions(sagemaker: Any, **request: Any) -> list[int]:
    listed = sagemaker.list_model_packages(**request)["ModelPackageSummaryList"]
    return [each["ModelPackageVersion"] for each in listed]


class TestVersions:
    def test_versions_count_up_and_wait_for_approval(self, sagemaker, group, register):
        first, second = (register(ModelPackageGroupName=group) for _ in range(2))

        assert first == f"{ARN}:model-package/{group}/1"
        assert second == f"{ARN}:model-package/{group}/2"
        package = sagemaker.describe_model_package(ModelPackageName=second)
        assert package["ModelPackageVersion"] == 2
        assert package["ModelApprovalStatus"] == "PendingManualApproval"
        assert package["ModelPackageStatus"] == "Completed"
        assert package["InferenceSpecification"]["Containers"][0]["Image"] == MODEL_IMAGE
        assert "ModelPackageName" not in package

    def test_a_deleted_version_does_not_come_again(self, sagemaker, group, register):
        arn = register(ModelPackageGroupName=group)

        sagemaker.delete_model_package(ModelPackageName=arn)

        assert register(ModelPackageGroupName=group) == f"{ARN}:model-package/{group}/2"
        with pytest.raises(ClientError, match=f"ModelPackage {arn} does not exist"):
            sagemaker.describe_model_package(ModelPackageName=arn)

    def test_approval_and_properties_are_updated(self, sagemaker, group, register):
        properties = {"threshold": "0.3", "draft": "yes"}
        arn = register(ModelPackageGroupName=group, CustomerMetadataProperties=properties)

        sagemaker.update_model_package(
            ModelPackageArn=arn,
            ModelApprovalStatus="Approved",
            ApprovalDescription="better than the last",
            CustomerMetadataProperties={"threshold": "0.4"},
            CustomerMetadataPropertiesToRemove=["draft"],
        )

        package = sagemaker.describe_model_package(ModelPackageName=arn)
        assert package["ModelApprovalStatus"] == "Approved"
        assert package["ApprovalDescription"] == "better than the last"
        assert package["CustomerMetadataProperties"] == {"threshold": "0.4"}
        assert package["LastModifiedTime"] > package["CreationTime"]

    def test_versions_are_listed_by_group_and_approval(self, sagemaker, group, register):
        for approval in ("Approved", "Rejected", "Approved"):
            register(ModelPackageGroupName=group, ModelApprovalStatus=approval)
        listed = partial(versions, sagemaker, ModelPackageGroupName=group)

        assert listed() == [1, 2, 3]
        assert listed(SortBy="CreationTime", SortOrder="Descending") == [3, 2, 1]
        assert listed(ModelApprovalStatus="Approved", SortOrder="Descending") == [3, 1]
        assert listed(ModelApprovalStatus="Approved", MaxResults=1) == [1]

    def test_a_package_can_stand_alone(self, sagemaker, register, name):
        arn = register(ModelPackageName=name)

        assert arn == f"{ARN}:model-package/{name}"
        package = sagemaker.describe_model_package(ModelPackageName=name)
        assert "ModelApprovalStatus" not in package
        listed = sagemaker.list_model_packages(NameContains=name)["ModelPackageSummaryList"]
        assert [each["ModelPackageName"] for each in listed] == [name]


class TestGroups:
    def test_a_group_is_described_and_listed(self, sagemaker, group):
        described = sagemaker.describe_model_package_group(ModelPackageGroupName=group)

        assert described["ModelPackageGroupStatus"] == "Completed"
        assert described["ModelPackageGroupArn"] == f"{ARN}:model-package-group/{group}"
        listed = sagemaker.list_model_package_groups(NameContains=group)
        names = [each["ModelPackageGroupName"] for each in listed["ModelPackageGroupSummaryList"]]
        assert names == [group]

    def test_a_group_is_deleted_only_when_it_is_empty(self, sagemaker, group, register):
        arn = register(ModelPackageGroupName=group)
        delete = partial(sagemaker.delete_model_package_group, ModelPackageGroupName=group)

        with pytest.raises(sagemaker.exceptions.ConflictException):
            delete()
        sagemaker.delete_model_package(ModelPackageName=arn)
        delete()

        with pytest.raises(ClientError, match="does not exist"):
            sagemaker.describe_model_package_group(ModelPackageGroupName=group)

    def test_a_version_needs_its_group(self, register):
        with pytest.raises(ClientError, match=r"ModelPackageGroup arn:.*/nobody does not exist"):
            register(ModelPackageGroupName="nobody")

    @pytest.mark.parametrize(
        ("names", "message"),
        [
            ({}, "Missing ARN"),
            ({"ModelPackageName": "a", "ModelPackageGroupName": "b"}, "Both ModelPackageName and"),
        ],
    )
    def test_a_package_has_a_name_or_a_group(self, register, names, message):
        with pytest.raises(ClientError, match=message):
            register(**names)


class TestModels:
    def test_only_an_approved_version_becomes_a_model(self, sagemaker, group, register, role, name):
        arn = register(ModelPackageGroupName=group)
        create = partial(
            sagemaker.create_model,
            ModelName=name,
            ExecutionRoleArn=role,
            PrimaryContainer={"ModelPackageName": arn},
        )

        with pytest.raises(ClientError, match="approval status is PendingManualApproval"):
            create()
        sagemaker.update_model_package(ModelPackageArn=arn, ModelApprovalStatus="Approved")
        create()

        model = sagemaker.describe_model(ModelName=name)
        assert model["PrimaryContainer"]["ModelPackageName"] == arn

    def test_the_sdk_registers_deploys_and_asks(
        self, sagemaker_session, sagemaker, s3, role, name, client, until
    ):
        from sagemaker.model import Model, ModelPackage

        sagemaker.create_model_package_group(ModelPackageGroupName=name)
        model = Model(
            MODEL_IMAGE, put_model_data(s3, name, 5), role, sagemaker_session=sagemaker_session
        )

        registered = model.register(
            ["text/csv"], ["text/csv"], ["ml.m5.large"], model_package_group_name=name
        )
        package = ModelPackage(
            role,
            model_package_arn=registered.model_package_arn,
            sagemaker_session=sagemaker_session,
            env={"GIVEN": "later"},
        )
        package.deploy(1, "ml.m5.large", endpoint_name=name, wait=False)
        until(
            lambda: sagemaker.describe_endpoint(EndpointName=name),
            lambda endpoint: endpoint["EndpointStatus"] == "InService",
        )
        runtime = client("sagemaker-runtime")
        answer = runtime.invoke_endpoint(EndpointName=name, Body="1,2", ContentType="text/csv")

        assert answer["Body"].read() == b"15\n"
        sagemaker.delete_endpoint(EndpointName=name)
