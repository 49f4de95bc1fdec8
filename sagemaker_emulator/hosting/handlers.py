"""Models, endpoint configurations, endpoints, and the requests to them."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from werkzeug.datastructures import Headers

from sagemaker_emulator.api import shapes
from sagemaker_emulator.api.cloud import Call, Cloud, Fields, Handler
from sagemaker_emulator.api.errors import NotEmulated, ServiceError, ValidationException
from sagemaker_emulator.api.kinds import ENDPOINT, ENDPOINT_CONFIG, MODEL, MODEL_PACKAGE
from sagemaker_emulator.api.records import Kind, Record, now
from sagemaker_emulator.hosting.endpoints import Endpoint, not_found
from sagemaker_emulator.hosting.serving import Answer, Model
from sagemaker_emulator.hosting.traffic import ATTRIBUTES, INFERENCE_ID
from sagemaker_emulator.jobs.storage import keys_under

_CHANGING = ("Creating", "Updating", "Deleting")
_RETAINED = {
    "DesiredWeight": ("InitialVariantWeight", "weight"),
    "DesiredInstanceCount": ("InitialInstanceCount", "machines"),
}
_PASSED_ON = ("Content-Type", "Accept", ATTRIBUTES, INFERENCE_ID)
_NOT_ROUTED = ("Target-Model", "Target-Container-Hostname", "Inference-Component", "Session-Id")


def _create_model(cloud: Cloud, call: Call) -> Fields:
    request = call.request
    containers = request.get("Containers") or [request.get("PrimaryContainer")]
    if len(containers) > 1:
        raise NotEmulated("a model of several containers")
    if containers[0] is None or "ExecutionRoleArn" not in request:
        raise NotEmulated("a model without a container or an execution role")
    container = _resolved(cloud, call.region, containers[0])
    for member in ("MultiModelConfig", "AdditionalModelDataSources"):
        if container.get(member):
            raise NotEmulated(f"a model with {member}")
    cloud.require_role(request["ExecutionRoleArn"], call.region)
    model = Model.of(request, container)
    if model.data and not keys_under(cloud, call.region, model.data):
        raise ValidationException(f"Could not find model data at {model.data}.")
    # `Model` is no member of any answer: it stays inside.
    return _create(cloud, call, MODEL, {**request, "Model": model})


def _resolved(cloud: Cloud, region: str, container: Fields) -> Fields:
    """Return the container that is meant, which may be that of a model package."""
    name = container.get("ModelPackageName")
    if name is None:
        if "Image" not in container:
            raise ValidationException("A container must have an Image or a ModelPackageName.")
        return container
    package = cloud.records.get(MODEL_PACKAGE, region, name)
    approval = package.fields.get("ModelApprovalStatus", "Approved")
    # "For versioned models, the value of this parameter must be set to Approved to deploy the
    # model": API reference of CreateModelPackage. The words of the refusal are ours.
    if approval != "Approved":
        raise ValidationException(
            f"Model package {package.arn} cannot be deployed: its approval status is {approval}."
        )
    packaged = (package.fields.get("InferenceSpecification") or {}).get("Containers") or []
    if len(packaged) != 1:
        raise NotEmulated(f"a model of a package with {len(packaged)} containers")
    variables = {**(packaged[0].get("Environment") or {}), **(container.get("Environment") or {})}
    return {**packaged[0], "Environment": variables}


def _create_endpoint_config(cloud: Cloud, call: Call) -> Fields:
    request = call.request
    for member in ("AsyncInferenceConfig", "ShadowProductionVariants", "ExplainerConfig"):
        if request.get(member):
            raise NotEmulated(f"an endpoint with {member}")
    variants = [
        {"InitialVariantWeight": 1.0, "InitialInstanceCount": 1, **each}
        for each in request["ProductionVariants"]
    ]
    for variant in variants:
        if "ServerlessConfig" in variant or "ModelName" not in variant:
            raise NotEmulated("a production variant that is not a model on instances")
        cloud.records.get(MODEL, call.region, variant["ModelName"])
    if len({each["VariantName"] for each in variants}) < len(variants):
        raise ValidationException("Production variants must have different names.")
    return _create(cloud, call, ENDPOINT_CONFIG, {**request, "ProductionVariants": variants})


def _create_endpoint(cloud: Cloud, call: Call) -> Fields:
    config = _config(cloud, call)
    variants = _variants(cloud, config)
    with cloud.records.locked():
        _require_quota(cloud, call.region, _machines(variants))
        created = _create(cloud, call, ENDPOINT, {**call.request, "EndpointStatus": "Creating"})
        record = cloud.records.get(ENDPOINT, call.region, call.request[ENDPOINT.name])
        endpoint = cloud.endpoints[record.arn] = Endpoint(cloud, record)
        endpoint.machines = _machines(variants)
    cloud.run(endpoint.deploy, config, variants)
    return created


def _update_endpoint(cloud: Cloud, call: Call) -> Fields:
    request = call.request
    config = _config(cloud, call)
    with cloud.records.locked():
        endpoint = _settled(cloud, call)
        if endpoint.record.status == "Failed":
            # "DeleteEndpoint is the only operation that can be performed on a failed endpoint":
            # API reference of DescribeEndpoint, EndpointStatus. The words of the refusal are ours.
            raise ValidationException(f'Cannot update failed endpoint "{endpoint.record.arn}".')
        variants = _variants(cloud, config)
        if request.get("RetainAllVariantProperties"):
            left_out = request.get("ExcludeRetainedVariantProperties") or []
            names = {each["VariantPropertyType"] for each in left_out}
            variants = [_retained(endpoint, variant, names) for variant in variants]
        _require_quota(cloud, call.region, _machines(variants))
        endpoint.machines += _machines(variants)  # old and new run side by side for a while
        pending = {"EndpointConfigName": config.name, "StartTime": now()}
        endpoint.record.set_status("Updating", PendingDeploymentSummary=pending)
    cloud.run(endpoint.deploy, config, variants)
    return {ENDPOINT.arn: endpoint.record.arn}


def _retained(endpoint: Endpoint, settings: Fields, left_out: set[str]) -> Fields:
    """Let a variant begin with what one of the same name has now."""
    running = endpoint.variants.get(settings["VariantName"])
    if running is None:
        return settings
    kept = {
        member: getattr(running, attribute)
        for property_, (member, attribute) in _RETAINED.items()
        if property_ not in left_out
    }
    return {**settings, **kept}


def _update_weights(cloud: Cloud, call: Call) -> Fields:
    changes = {each["VariantName"]: each for each in call.request["DesiredWeightsAndCapacities"]}
    with cloud.records.locked():
        endpoint = _settled(cloud, call)
        for name, change in changes.items():
            if name not in endpoint.variants:
                raise ValidationException(
                    f'Could not find variant "{name}" of endpoint "{endpoint.record.arn}".'
                )
            running = endpoint.variants[name]
            more = change.get("DesiredInstanceCount", running.machines) - running.machines
            if more > 0:
                _require_quota(cloud, call.region, Counter({running.instance_type: more}))
        endpoint.resize(changes)
    return {ENDPOINT.arn: endpoint.record.arn}


def _delete_endpoint(cloud: Cloud, call: Call) -> Fields:
    with cloud.records.locked():
        endpoint = _settled(cloud, call)
        endpoint.record.set_status("Deleting")
    cloud.run(endpoint.delete)
    return {}


def invoke(cloud: Cloud, region: str, path: str, headers: Headers, body: bytes) -> Answer:
    """Answer a request to the runtime.

    Raises:
        ServiceError: In Amazon's words.
    """
    _, _, name, operation = path.split("/", 3)
    if operation != "invocations":
        raise NotEmulated(f"the runtime's {operation}")
    for what in _NOT_ROUTED:
        if f"X-Amzn-SageMaker-{what}" in headers:
            raise NotEmulated(f"an invocation by {what}")
    # 6 MB in botocore's description of the API.
    limit = shapes.service("sagemaker-runtime").shape_for("BodyBlob").metadata["max"]
    if len(body) > limit:
        raise ServiceError("413", f"HTTP content length exceeded {limit} bytes.", status=413)
    record = cloud.records.find(ENDPOINT, region, name)
    endpoint = cloud.endpoints.get(record.arn) if record else None
    if endpoint is None or not endpoint.variants:
        raise not_found(name)
    passed_on = {each: headers[each] for each in _PASSED_ON if each in headers}
    return endpoint.invoke(body, passed_on, headers.get("X-Amzn-SageMaker-Target-Variant"))


def _config(cloud: Cloud, call: Call) -> Record:
    policy = call.request.get("DeploymentConfig") or {}
    routing = (policy.get("BlueGreenUpdatePolicy") or {}).get("TrafficRoutingConfiguration") or {}
    if "RollingUpdatePolicy" in policy or routing.get("Type", "ALL_AT_ONCE") != "ALL_AT_ONCE":
        raise NotEmulated("a deployment that is not all at once")
    return cloud.records.get(ENDPOINT_CONFIG, call.region, call.request[ENDPOINT_CONFIG.name])


def _variants(cloud: Cloud, config: Record) -> list[Fields]:
    """Return the variants of a configuration together with their models."""
    return [
        {
            **each,
            "Model": cloud.records.get(MODEL, config.region, each["ModelName"]).fields["Model"],
        }
        for each in config.fields["ProductionVariants"]
    ]


def _settled(cloud: Cloud, call: Call) -> Endpoint:
    """Return an endpoint that nobody changes at the moment."""
    record = cloud.records.get(ENDPOINT, call.region, call.request[ENDPOINT.name])
    if record.status in _CHANGING:
        raise ValidationException(f'Cannot update in-progress endpoint "{record.arn}".')
    return cloud.endpoints[record.arn]


def _machines(variants: Sequence[Fields]) -> Counter[str]:
    machines: Counter[str] = Counter()
    for each in variants:
        machines[each.get("InstanceType", "")] += each["InitialInstanceCount"]
    return machines


def _require_quota(cloud: Cloud, region: str, more: Counter[str]) -> None:
    active: Counter[str] = Counter()
    for endpoint in list(cloud.endpoints.values()):
        if endpoint.record.region == region:
            active += endpoint.machines
    for instance_type, count in more.items():
        cloud.require_quota(instance_type, "endpoint", count, active[instance_type])


def _create(cloud: Cloud, call: Call, kind: Kind, fields: Mapping[str, Any]) -> dict[str, Any]:
    kept = {name: value for name, value in fields.items() if name != "Tags"}
    record = cloud.records.create(
        kind, call.region, call.request[kind.name], kept, tags=call.request.get("Tags")
    )
    return {kind.arn: record.arn}


def _delete(kind: Kind) -> Handler:
    """Delete a description; as at Amazon's, an endpoint that was made from it runs on."""

    def delete(cloud: Cloud, call: Call) -> Fields:
        cloud.records.delete(cloud.records.get(kind, call.region, call.request[kind.name]))
        return {}

    return delete


OPERATIONS: dict[str, Handler] = {
    "CreateModel": _create_model,
    "DeleteModel": _delete(MODEL),
    "CreateEndpointConfig": _create_endpoint_config,
    "DeleteEndpointConfig": _delete(ENDPOINT_CONFIG),
    "CreateEndpoint": _create_endpoint,
    "UpdateEndpoint": _update_endpoint,
    "UpdateEndpointWeightsAndCapacities": _update_weights,
    "DeleteEndpoint": _delete_endpoint,
}
