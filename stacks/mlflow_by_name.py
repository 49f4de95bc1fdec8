"""The experiment tracker of a stack by its name in SageMaker."""

import re
from typing import Final

from bank_marketing.errors import SettingsError
from platforms.sagemaker.mlflow_servers import mlflow_arn
from platforms.sagemaker.session import client
from stacks.files import ComponentFile, StackFile

_NAME = re.compile(r"[a-zA-Z0-9](-*[a-zA-Z0-9]){0,255}")
TRACKER: Final = "experiment_tracker"


def mlflow_name(stack: StackFile) -> str | None:
    """Return what the stack calls an MLflow server in SageMaker, if it does so by name."""
    tracker = stack.components.get(TRACKER)
    if tracker is None or tracker.flavor != "sagemaker_mlflow":
        return None
    uri = str(tracker.config.get("tracking_uri"))
    return uri if _NAME.fullmatch(uri) else None  # else an address, or what the flavor refuses


def with_mlflow_arn(stack: StackFile) -> StackFile:
    """Return `stack` with the ARN in place of the name of an MLflow server in SageMaker.

    Raises:
        SettingsError: The stack does not say in which region to look.
        PlatformError: There is no such server, or it is not running.
    """
    name = mlflow_name(stack)
    if name is None:
        return stack
    region = stack.components["orchestrator"].config.get("region")
    if region is None:
        raise SettingsError(
            f"stack {stack.name!r}: tracking_uri {name!r} is a name, and no "
            "orchestrator.config.region says where to look; set it, or give an ARN or an address"
        )
    arn = mlflow_arn(name, client("sagemaker", region))
    tracker = stack.components[TRACKER]
    resolved = ComponentFile(flavor=tracker.flavor, config=tracker.config | {"tracking_uri": arn})
    return stack.model_copy(update={"components": stack.components | {TRACKER: resolved}})
