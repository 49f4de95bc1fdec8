"""What a SageMaker stack needs: servers that its jobs reach, and an account that lets it run."""

from functools import partial

from platforms.sagemaker.checks import Account
from stacks.doctor.access import AccessLooks
from stacks.doctor.check import Look
from stacks.doctor.resources import ResourceLooks
from stacks.doctor.servers import MlflowLooks
from stacks.files import SageMakerFile, StackFile

_ACCOUNT = ("credentials",)


def looks(stack: StackFile, sagemaker: SageMakerFile) -> list[Look]:
    """Return what to look at in AWS; an emulator has no policies, no quotas and no images."""
    account = Account(str(stack.components["orchestrator"].config.get("region")))
    access = AccessLooks(stack, account)
    resources = ResourceLooks(stack, sagemaker, account)
    mlflow = MlflowLooks(stack, account)
    found = [
        Look("region", access.region),
        Look("clock", access.clock, needs=("region",)),
        Look("credentials", access.credentials, needs=("clock",)),
        Look("SageMaker", access.sagemaker, needs=_ACCOUNT),
        *(
            Look(f"bucket {name}", partial(resources.bucket, name), needs=_ACCOUNT)
            for name in resources.buckets
        ),
        Look("MLflow address", mlflow.address, needs=_ACCOUNT if mlflow.is_in_sagemaker else ()),
        Look("MLflow server", mlflow.status, needs=("MLflow address",)),
        Look("MLflow", mlflow.answer, needs=("MLflow server",)),
    ]
    return found if stack.emulated else [*found, *_account_looks(access, resources)]


def _account_looks(access: AccessLooks, resources: ResourceLooks) -> list[Look]:
    found = [
        Look("role", access.role, needs=_ACCOUNT),
        Look("PassRole", access.pass_role, needs=("role",)),
        Look("PassRole of the role", access.role_passes_itself, needs=("role",)),
        Look("image", resources.image, needs=_ACCOUNT),
        Look("libraries in the image", resources.libraries, needs=("image",)),
    ]
    for name in resources.buckets:
        bucket = f"bucket {name}"
        found += [
            Look(f"encryption of {bucket}", partial(resources.encryption, name), (bucket,)),
            Look(f"public access of {bucket}", partial(resources.public_access, name), (bucket,)),
        ]
    for usage in resources.usages:
        found.append(Look(f"quota of {usage}", partial(resources.quota, usage), _ACCOUNT))
    return found
