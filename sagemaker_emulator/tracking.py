"""MLflow tracking servers as an account tells of them; the MLflow itself is somebody else's."""

from typing import Any

from sagemaker_emulator.api.cloud import Call, Cloud, Fields, Handler
from sagemaker_emulator.api.kinds import TRACKING_SERVER
from sagemaker_emulator.api.records import Record, page

# Where Amazon's plugin for MLflow, in a client or in a job, looks for every tracking server.
_ENDPOINT = "SAGEMAKER_MLFLOW_CUSTOM_ENDPOINT"
_FILTERS = ("TrackingServerStatus", "MlflowVersion")


def _create(cloud: Cloud, call: Call) -> Fields:
    request = call.request
    cloud.require_role(request["RoleArn"], call.region)
    fields: dict[str, Any] = {
        "TrackingServerSize": "Small",
        **{name: value for name, value in request.items() if name != "Tags"},
        "TrackingServerStatus": "Created",
        "IsActive": "Active",
        "TrackingServerUrl": cloud.variables.get(_ENDPOINT),
    }
    name = request["TrackingServerName"]
    server = cloud.records.create(
        TRACKING_SERVER, call.region, name, fields, tags=request.get("Tags")
    )
    return {"TrackingServerArn": server.arn}


def _describe(cloud: Cloud, call: Call) -> Fields:
    return _server(cloud, call).fields


def _list(cloud: Cloud, call: Call) -> Fields:
    words = {"CreatedAfter": "CreationTimeAfter", "CreatedBefore": "CreationTimeBefore"}
    request = {words.get(name, name): value for name, value in call.request.items()}
    servers = [
        server
        for server in cloud.records.all(TRACKING_SERVER, call.region)
        if all(
            server.fields.get(name) == request.get(name, server.fields.get(name))
            for name in _FILTERS
        )
    ]
    chosen, token = page(servers, request)
    return {"TrackingServerSummaries": [each.fields for each in chosen], "NextToken": token}


def _delete(cloud: Cloud, call: Call) -> Fields:
    server = _server(cloud, call)
    cloud.records.delete(server)
    return {"TrackingServerArn": server.arn}


def _server(cloud: Cloud, call: Call) -> Record:
    return cloud.records.get(TRACKING_SERVER, call.region, call.request["TrackingServerName"])


OPERATIONS: dict[str, Handler] = {
    "CreateMlflowTrackingServer": _create,
    "DescribeMlflowTrackingServer": _describe,
    "ListMlflowTrackingServers": _list,
    "DeleteMlflowTrackingServer": _delete,
}
