"""SageMaker's API: every operation that is emulated, and a plain no for the others."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from sagemaker_emulator import registry, tracking
from sagemaker_emulator.api import kinds, shapes
from sagemaker_emulator.api.cloud import Call, Cloud, Fields, Handler
from sagemaker_emulator.api.errors import NotEmulated, ValidationException
from sagemaker_emulator.api.records import Kind, Record, as_tags, summaries
from sagemaker_emulator.hosting import handlers as hosting
from sagemaker_emulator.jobs import handlers as jobs
from sagemaker_emulator.jobs import transform
from sagemaker_emulator.pipelines import handlers as pipelines
from sagemaker_emulator.tuning import handlers as tuning

_DESCRIBED = (
    kinds.TRAINING_JOB,
    kinds.PROCESSING_JOB,
    kinds.TRANSFORM_JOB,
    kinds.TUNING_JOB,
    kinds.MODEL,
    kinds.ENDPOINT_CONFIG,
    kinds.ENDPOINT,
    kinds.MODEL_PACKAGE_GROUP,
    kinds.MODEL_PACKAGE,
)


def _describe(kind: Kind) -> Handler:
    def describe(cloud: Cloud, call: Call) -> Fields:
        name = call.request.get(kind.name) or call.request[kind.arn]
        return cloud.records.get(kind, call.region, name).fields

    return describe


def _list(kind: Kind) -> Handler:
    def list_(cloud: Cloud, call: Call) -> Fields:
        return summaries(call.operation, kind, cloud.records.all(kind, call.region), call.request)

    return list_


def _tagged(cloud: Cloud, call: Call) -> Record:
    arn = call.request["ResourceArn"]
    record = cloud.records.by_arn(arn)
    if record is None:
        raise ValidationException(f"Resource {arn} does not exist.")
    return record


def _add_tags(cloud: Cloud, call: Call) -> Fields:
    record = _tagged(cloud, call)
    record.tags |= as_tags(call.request["Tags"])
    return {"Tags": tag_list(record.tags)}


def _list_tags(cloud: Cloud, call: Call) -> Fields:
    return {"Tags": tag_list(_tagged(cloud, call).tags)}


def _delete_tags(cloud: Cloud, call: Call) -> Fields:
    tags = _tagged(cloud, call).tags
    for key in call.request["TagKeys"]:
        tags.pop(key, None)
    return {}


def tag_list(tags: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"Key": key, "Value": value} for key, value in tags.items()]


OPERATIONS: dict[str, Handler] = {
    **{f"Describe{kind.member}": _describe(kind) for kind in _DESCRIBED},
    **{f"List{kind.member}s": _list(kind) for kind in _DESCRIBED},
    "AddTags": _add_tags,
    "ListTags": _list_tags,
    "DeleteTags": _delete_tags,
    **jobs.OPERATIONS,
    **pipelines.OPERATIONS,
    **tuning.OPERATIONS,
    **hosting.OPERATIONS,
    **registry.OPERATIONS,
    **transform.OPERATIONS,
    **tracking.OPERATIONS,
}


# Where the API reference says how long a page is by default; others are as long as they may be.
_SHORT_PAGES = {
    "ListEndpoints",
    "ListHyperParameterTuningJobs",
    "ListTrainingJobsForHyperParameterTuningJob",
    "ListTransformJobs",
}


def answer(cloud: Cloud, call: Call) -> dict[str, Any]:
    """Carry out a call.

    Raises:
        ServiceError: What Amazon, or this emulator, would not do.
    """
    handler = OPERATIONS.get(call.operation)
    if handler is None:
        shapes.operation(call.operation)
        raise NotEmulated(f"SageMaker's {call.operation}")
    shapes.validate(call.operation, call.request)
    if call.operation in _SHORT_PAGES:
        call = replace(call, request={"MaxResults": 10, **call.request})
    return shapes.answer(call.operation, handler(cloud, call))


def tagged(records: Iterable[Record], request: Fields) -> list[dict[str, Any]]:
    """Return what of `records` the tagging API's GetResources asks for."""
    types = request.get("ResourceTypeFilters") or []
    filters = request.get("TagFilters") or []
    return [
        {"ResourceARN": record.arn, "Tags": tag_list(record.tags)}
        for record in records
        if record.tags
        and (not types or {"sagemaker", f"sagemaker:{record.kind.resource}"} & set(types))
        and all(_has(record.tags, each) for each in filters)
    ]


def _has(tags: Mapping[str, str], wanted: Fields) -> bool:
    values = wanted.get("Values") or []
    return wanted["Key"] in tags and (not values or tags[wanted["Key"]] in values)
