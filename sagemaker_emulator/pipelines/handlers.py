"""Pipelines: what is stored of them, and their executions."""

from string import ascii_lowercase, digits
from typing import Any

from botocore.exceptions import ClientError

from sagemaker_emulator.api.cloud import Call, Cloud, Fields, Handler, is_active
from sagemaker_emulator.api.errors import NotEmulated, ServiceError, ValidationException
from sagemaker_emulator.api.kinds import PIPELINE, PIPELINE_EXECUTION
from sagemaker_emulator.api.records import Record, cut, now, random_text, summaries
from sagemaker_emulator.pipelines.definitions import parsed
from sagemaker_emulator.pipelines.executions import Execution
from sagemaker_emulator.pipelines.expressions import as_text, parameter_values


def _create(cloud: Cloud, call: Call) -> Fields:
    request = call.request
    cloud.require_role(request["RoleArn"], call.region)
    record = cloud.records.create(
        PIPELINE,
        call.region,
        request["PipelineName"],
        _stored(cloud, call),
        tags=request.get("Tags"),
    )
    record.update(PipelineStatus="Active")
    return record.fields


def _update(cloud: Cloud, call: Call) -> Fields:
    record = _pipeline(cloud, call)
    if "RoleArn" in call.request:
        cloud.require_role(call.request["RoleArn"], call.region)
    record.update(**_stored(cloud, call))
    return record.fields


def _stored(cloud: Cloud, call: Call) -> dict[str, Any]:
    """Return what a request says of a pipeline, its definition checked."""
    request = call.request
    fields = {
        name: request[name]
        for name in (
            "PipelineDisplayName",
            "PipelineDescription",
            "RoleArn",
            "ParallelismConfiguration",
        )
        if name in request
    }
    if "PipelineDefinitionS3Location" in request:
        fields["PipelineDefinition"] = _fetched(cloud, call)
    elif "PipelineDefinition" in request:
        fields["PipelineDefinition"] = request["PipelineDefinition"]
    elif call.operation == "CreatePipeline":
        raise ValidationException(
            "Either PipelineDefinition or PipelineDefinitionS3Location must be provided."
        )
    if "PipelineDefinition" in fields:
        parsed(fields["PipelineDefinition"])
    return fields


def _fetched(cloud: Cloud, call: Call) -> str:
    location = call.request["PipelineDefinitionS3Location"]
    bucket, key = location["Bucket"], location["ObjectKey"]
    try:
        found = cloud.client("s3", call.region).get_object(Bucket=bucket, Key=key)
    except ClientError as error:
        raise ValidationException(
            f"The pipeline definition at s3://{bucket}/{key} cannot be read: {error}"
        ) from error
    return str(found["Body"].read().decode())


def _list(cloud: Cloud, call: Call) -> Fields:
    prefix = call.request.get("PipelineNamePrefix", "")
    records = cloud.records.all(PIPELINE, call.region)
    named = [record for record in records if record.name.startswith(prefix)]
    return summaries(call.operation, PIPELINE, named, _listing(call.request))


def _delete(cloud: Cloud, call: Call) -> Fields:
    record = _pipeline(cloud, call)
    executions = _executions(cloud, record)
    if any(map(is_active, executions)):
        raise ServiceError(
            "ConflictException", f"Pipeline '{record.arn}' has executions that are running."
        )
    for each in [*executions, record]:
        cloud.records.delete(each)
    return record.fields


def _start(cloud: Cloud, call: Call) -> Fields:
    pipeline, request = _pipeline(cloud, call), call.request
    if "SelectiveExecutionConfig" in request:
        raise NotEmulated("the execution of selected steps")
    with cloud.records.locked():
        for each in _executions(cloud, pipeline):
            if each.fields["ClientRequestToken"] == request["ClientRequestToken"]:
                return each.fields
        return _started(cloud, pipeline, request).fields


def _started(cloud: Cloud, pipeline: Record, request: Fields) -> Record:
    definition = parsed(pipeline.fields["PipelineDefinition"])
    parameters = parameter_values(definition.parameters, request.get("PipelineParameters") or [])
    parallelism = request.get("ParallelismConfiguration") or pipeline.fields.get(
        "ParallelismConfiguration"
    )
    time = now()
    record = cloud.records.create(
        PIPELINE_EXECUTION,
        pipeline.region,
        f"{pipeline.name}/execution/{random_text(12, ascii_lowercase + digits)}",
        {
            "PipelineArn": pipeline.arn,
            "PipelineDefinition": pipeline.fields["PipelineDefinition"],
            "PipelineExecutionDisplayName": f"execution-{time.timestamp() * 1000:.0f}",
            **request,
            "ParallelismConfiguration": parallelism,
            "StartTime": time,
            "PipelineParameters": [
                {"Name": name, "Value": as_text(value)} for name, value in parameters.items()
            ],
            "PipelineExecutionSteps": [],
        },
    )
    record.set_status("Executing")
    pipeline.fields |= {"LastRunTime": time, "LastExecutionTime": time}
    execution = Execution(
        cloud,
        record,
        definition,
        parameters=parameters,
        role=pipeline.fields["RoleArn"],
        limit=(parallelism or {}).get("MaxParallelExecutionSteps"),
    )
    cloud.run(execution.run)
    return record


def _stop(cloud: Cloud, call: Call) -> Fields:
    record = _execution(cloud, call)
    if not record.ask_to_stop():
        raise ValidationException(
            f"Pipeline execution '{record.arn}' is {record.status}; "
            "only pipeline executions that are Executing can be stopped."
        )
    return record.fields


def _describe(cloud: Cloud, call: Call) -> Fields:
    return _execution(cloud, call).fields


def _list_executions(cloud: Cloud, call: Call) -> Fields:
    found = _executions(cloud, _pipeline(cloud, call))
    return summaries(call.operation, PIPELINE_EXECUTION, found, _listing(call.request))


def _list_steps(cloud: Cloud, call: Call) -> Fields:
    steps = _execution(cloud, call).fields["PipelineExecutionSteps"]
    newest_first = call.request.get("SortOrder", "Descending") == "Descending"
    found, token = cut(steps[::-1] if newest_first else steps, call.request)
    return {"PipelineExecutionSteps": found, "NextToken": token}


def _list_parameters(cloud: Cloud, call: Call) -> Fields:
    found, token = cut(_execution(cloud, call).fields["PipelineParameters"], call.request)
    return {"PipelineParameters": found, "NextToken": token}


def _pipeline(cloud: Cloud, call: Call) -> Record:
    return cloud.records.get(PIPELINE, call.region, call.request["PipelineName"])


def _execution(cloud: Cloud, call: Call) -> Record:
    return cloud.records.get(PIPELINE_EXECUTION, call.region, call.request["PipelineExecutionArn"])


def _executions(cloud: Cloud, pipeline: Record) -> list[Record]:
    records = cloud.records.all(PIPELINE_EXECUTION, pipeline.region)
    return [record for record in records if record.fields["PipelineArn"] == pipeline.arn]


def _listing(request: Fields) -> Fields:
    """Return the request of a listing in the words of most others."""
    words = {"CreatedAfter": "CreationTimeAfter", "CreatedBefore": "CreationTimeBefore"}
    translated = {words.get(name, name): value for name, value in request.items()}
    return translated | (
        {"SortBy": "Name"} if request.get("SortBy") == "PipelineExecutionArn" else {}
    )


OPERATIONS: dict[str, Handler] = {
    "CreatePipeline": _create,
    "UpdatePipeline": _update,
    "DescribePipeline": lambda cloud, call: _pipeline(cloud, call).fields,
    "ListPipelines": _list,
    "DeletePipeline": _delete,
    "StartPipelineExecution": _start,
    "StopPipelineExecution": _stop,
    "DescribePipelineExecution": _describe,
    "DescribePipelineDefinitionForExecution": _describe,
    "ListPipelineExecutions": _list_executions,
    "ListPipelineExecutionSteps": _list_steps,
    "ListPipelineParametersForExecution": _list_parameters,
}
