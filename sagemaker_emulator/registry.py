"""The model registry: groups of versioned packages, and packages that stand alone."""

from collections.abc import Mapping
from typing import Any

from sagemaker_emulator.api.cloud import Call, Cloud, Fields, Handler
from sagemaker_emulator.api.errors import NotEmulated, ServiceError, ValidationException
from sagemaker_emulator.api.kinds import MODEL_PACKAGE, MODEL_PACKAGE_GROUP
from sagemaker_emulator.api.records import Record, page

# API reference of ListModelPackages and ListModelPackageGroups; other listings are descending.
_ORDER = {"SortOrder": "Ascending"}
_UPDATED = ("ModelApprovalStatus", "ApprovalDescription", "ModelLifeCycle", "SourceUri")
_UPDATES = {"ModelPackageArn", *_UPDATED, "CustomerMetadataProperties"}


def _create_group(cloud: Cloud, call: Call) -> Fields:
    request = call.request
    fields: dict[str, Any] = {
        "ModelPackageGroupDescription": request.get("ModelPackageGroupDescription"),
        "ModelPackageGroupStatus": "Completed",
        "CreatedBy": {},
        "LastVersion": 0,  # no member of any answer: it stays inside
    }
    group = cloud.records.create(
        MODEL_PACKAGE_GROUP,
        call.region,
        request["ModelPackageGroupName"],
        fields,
        tags=request.get("Tags"),
    )
    return {"ModelPackageGroupArn": group.arn}


def _list_groups(cloud: Cloud, call: Call) -> Fields:
    groups = cloud.records.all(MODEL_PACKAGE_GROUP, call.region)
    chosen, token = page(groups, {**_ORDER, **call.request})
    return {
        "ModelPackageGroupSummaryList": [group.fields for group in chosen],
        "NextToken": token,
    }


def _delete_group(cloud: Cloud, call: Call) -> Fields:
    with cloud.records.locked():
        group = _group(cloud, call)
        if _packages(cloud, group):
            # The code is that of the API reference, the words are ours.
            raise ServiceError(
                "ConflictException",
                f"Model Package Group {group.arn} cannot be deleted: it contains Model Packages.",
            )
        cloud.records.delete(group)
    return {}


def _create_package(cloud: Cloud, call: Call) -> Fields:
    request = call.request
    named = [name for name in ("ModelPackageName", "ModelPackageGroupName") if request.get(name)]
    if len(named) == 2:
        raise ValidationException(
            "Both ModelPackageName and ModelPackageGroupName are provided in the input. Cannot "
            "determine which one to use."
        )
    if not named:
        raise ValidationException("Missing ARN.")
    fields: dict[str, Any] = {
        **{name: value for name, value in request.items() if name != "Tags"},
        "ModelPackageStatus": "Completed",
        "ModelPackageStatusDetails": {"ValidationStatuses": [], "ImageScanStatuses": []},
        "CreatedBy": {},
    }
    with cloud.records.locked():
        name = request.get("ModelPackageName")
        if name is None:
            group = _group(cloud, call)
            fields = _versioned(group, fields)
            name = f"{group.name}/{fields['ModelPackageVersion']}"
        package = cloud.records.create(
            MODEL_PACKAGE, call.region, name, fields, tags=request.get("Tags")
        )
        if _type(package) == "Versioned":
            package.fields["ModelPackageName"] = None  # a version has an ARN, and no name
    return {"ModelPackageArn": package.arn}


def _versioned(group: Record, fields: Mapping[str, Any]) -> dict[str, Any]:
    """Make a package the next version of its group; a deleted version does not come again."""
    group.fields["LastVersion"] += 1
    return {
        "ModelApprovalStatus": "PendingManualApproval",
        **fields,
        "ModelPackageGroupName": group.name,
        "ModelPackageVersion": group.fields["LastVersion"],
    }


def _list_packages(cloud: Cloud, call: Call) -> Fields:
    request = call.request
    if request.get("ModelPackageGroupName"):
        packages = _packages(cloud, _group(cloud, call))
    else:
        wanted = request.get("ModelPackageType", "Unversioned")
        packages = [
            package
            for package in cloud.records.all(MODEL_PACKAGE, call.region)
            if wanted in ("Both", _type(package))
        ]
    approval = request.get("ModelApprovalStatus")
    if approval:
        packages = [each for each in packages if each.fields.get("ModelApprovalStatus") == approval]
    chosen, token = page(packages, {**_ORDER, **request})
    return {"ModelPackageSummaryList": [each.fields for each in chosen], "NextToken": token}


def _update_package(cloud: Cloud, call: Call) -> Fields:
    request = call.request
    unknown = set(request) - _UPDATES - {"CustomerMetadataPropertiesToRemove"}
    if unknown:
        raise NotEmulated(f"an update of {', '.join(sorted(unknown))}")
    with cloud.records.locked():
        package = cloud.records.get(MODEL_PACKAGE, call.region, request["ModelPackageArn"])
        if "ModelApprovalStatus" in request and _type(package) == "Unversioned":
            raise ValidationException(
                f"Model package {package.arn} is not versioned and has no approval status."
            )
        properties = {
            **(package.fields.get("CustomerMetadataProperties") or {}),
            **(request.get("CustomerMetadataProperties") or {}),
        }
        for name in request.get("CustomerMetadataPropertiesToRemove") or []:
            properties.pop(name, None)
        changes = {name: request[name] for name in _UPDATED if name in request}
        package.update(**changes, CustomerMetadataProperties=properties)
    return {"ModelPackageArn": package.arn}


def _delete_package(cloud: Cloud, call: Call) -> Fields:
    name = call.request["ModelPackageName"]
    cloud.records.delete(cloud.records.get(MODEL_PACKAGE, call.region, name))
    return {}


def _group(cloud: Cloud, call: Call) -> Record:
    name = call.request["ModelPackageGroupName"]
    return cloud.records.get(MODEL_PACKAGE_GROUP, call.region, name)


def _packages(cloud: Cloud, group: Record) -> list[Record]:
    return [
        package
        for package in cloud.records.all(MODEL_PACKAGE, group.region)
        if package.fields.get("ModelPackageGroupName") == group.name
    ]


def _type(package: Record) -> str:
    return "Versioned" if package.fields.get("ModelPackageVersion") else "Unversioned"


OPERATIONS: dict[str, Handler] = {
    "CreateModelPackageGroup": _create_group,
    "ListModelPackageGroups": _list_groups,
    "DeleteModelPackageGroup": _delete_group,
    "CreateModelPackage": _create_package,
    "ListModelPackages": _list_packages,
    "UpdateModelPackage": _update_package,
    "DeleteModelPackage": _delete_package,
}
