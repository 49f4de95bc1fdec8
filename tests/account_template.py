"""The account that `infrastructure/sagemaker.yaml` makes, and what its policies allow."""

from collections.abc import Iterable, Iterator, Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, NamedTuple

from cfnlint.decode import decode

from sagemaker_emulator.server import REGION, Emulator

TEMPLATE = Path(__file__).parent.parent / "infrastructure" / "sagemaker.yaml"
STACK = "bank-marketing"

# What moto's CloudFormation says of what it leaves out; tests that deploy have to ignore it.
LEFT_OUT = "ignore:Tried to parse AWS..S3..BucketPolicy:UserWarning"

Document = Mapping[str, Any]

# Where IAM has another name for what botocore calls (Service Authorization Reference, Amazon S3).
_ACTIONS = {
    "s3:CompleteMultipartUpload": "s3:PutObject",
    "s3:CreateMultipartUpload": "s3:PutObject",
    "s3:DeleteObjects": "s3:DeleteObject",
    "s3:GetBucketEncryption": "s3:GetEncryptionConfiguration",
    "s3:GetPublicAccessBlock": "s3:GetBucketPublicAccessBlock",
    "s3:HeadBucket": "s3:ListBucket",
    "s3:HeadObject": "s3:GetObject",
    "s3:ListObjectsV2": "s3:ListBucket",
    "s3:UploadPart": "s3:PutObject",
}
# The second is how boto3 asks for the date of a bucket, and it does without where that is refused.
_NEEDS_NOTHING = {"sts:GetCallerIdentity", "s3:ListBuckets"}
_RESOURCES = {
    "HyperParameterTuningJob": "hyper-parameter-tuning-job",
    "TrainingJob": "training-job",
    "ProcessingJob": "processing-job",
    "MlflowTrackingServer": "mlflow-tracking-server",
    "Pipeline": "pipeline",
    "ModelPackage": "model-package-group",  # a package goes by its ARN
}


class Deployed(NamedTuple):
    """The outputs as variables, and the policies of the jobs and of those who submit them."""

    variables: dict[str, str]
    jobs: tuple[Document, ...]
    submitters: tuple[Document, ...]


def deploy(emulator: Emulator, **parameters: str) -> Deployed:
    """Deploy the template, and what moto's CloudFormation leaves out of it."""

    def client(service: str) -> Any:
        return emulator.session().client(service, endpoint_url=emulator.url)

    cloudformation, iam, s3 = client("cloudformation"), client("iam"), client("s3")
    cloudformation.create_stack(
        StackName=STACK,
        TemplateBody=TEMPLATE.read_text(),
        Capabilities=["CAPABILITY_IAM"],
        Parameters=[
            {"ParameterKey": name, "ParameterValue": value} for name, value in parameters.items()
        ],
    )
    (stack,) = cloudformation.describe_stacks(StackName=STACK)["Stacks"]
    assert stack["StackStatus"] == "CREATE_COMPLETE"
    ids = {
        each["LogicalResourceId"]: each["PhysicalResourceId"]
        for each in cloudformation.describe_stack_resources(StackName=STACK)["StackResources"]
        if "LogicalResourceId" in each  # one of those that moto knows
    }
    s3.put_public_access_block(
        Bucket=ids["Bucket"],
        PublicAccessBlockConfiguration=properties("Bucket")["PublicAccessBlockConfiguration"],
    )

    def managed(arn: str) -> Document:
        version = iam.get_policy(PolicyArn=arn)["Policy"]["DefaultVersionId"]
        found = iam.get_policy_version(PolicyArn=arn, VersionId=version)["PolicyVersion"]
        document: Document = found["Document"]
        return document

    attached = iam.list_attached_role_policies(RoleName=ids["JobRole"])["AttachedPolicies"]
    return Deployed(
        {each["Description"]: each["OutputValue"] for each in stack["Outputs"]},
        tuple(managed(each["PolicyArn"]) for each in attached),
        tuple(managed(ids[f"{name}Policy"]) for name in ("Common", "HandOver", "Submit")),
    )


def properties(resource: str) -> Any:
    """Return the properties of a resource of the template, as they are written."""
    template, _ = decode(str(TEMPLATE))
    return template["Resources"][resource]["Properties"]


def refused(policies: Iterable[Document], calls: Iterable[Document]) -> list[str]:
    """Return the recorded calls that no statement allows; conditions count as fulfilled."""
    statements = [each for policy in policies for each in policy["Statement"]]
    asked = {(_action(call), _resource(call)) for call in calls}
    return sorted(
        f"{action} on {resource}"
        for action, resource in asked
        if action not in _NEEDS_NOTHING
        and not any(_allows(s, action, resource) for s in statements)
    )


def _allows(statement: Document, action: str, resource: str) -> bool:
    return (
        statement["Effect"] == "Allow"
        and any(fnmatchcase(action, each) for each in listed(statement["Action"]))
        and any(fnmatchcase(resource, each) for each in listed(statement["Resource"]))
    )


def listed(value: Any) -> Iterator[str]:
    yield from [value] if isinstance(value, str) else value


def _action(call: Document) -> str:
    action = f"{call['service']}:{call['operation']}"
    return _ACTIONS.get(action, action)


def _resource(call: Document) -> str:
    """Return the ARN of what was asked for; `*` where a call is about nothing in particular."""
    name, service = call["resource"], call["service"]
    if name.startswith("arn:"):
        return str(name)
    if service == "s3":
        return f"arn:aws:s3:::{name.strip('/')}"
    account = f"{service}:{REGION}:123456789012"
    if service == "logs":
        return f"arn:aws:{account}:log-group:{name}"
    kind = next((word for word in _RESOURCES if word in call["operation"]), None)
    return f"arn:aws:{account}:{_RESOURCES[kind]}/{name}" if kind and name else "*"
