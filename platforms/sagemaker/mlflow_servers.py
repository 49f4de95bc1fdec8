"""MLflow in SageMaker: the ARN behind a name."""

from typing import Any

from bank_marketing.errors import PlatformError
from platforms.sagemaker.session import aws_errors, error_code

_READY = ("Created", "Updated")


def mlflow_arn(name: str, sagemaker: Any) -> str:
    """Return the ARN of the MLflow tracking server called `name`, else of the MLflow app.

    Args:
        name: As in the console of SageMaker.
        sagemaker: A client of SageMaker.

    Raises:
        PlatformError: There is neither, it is not running, or AWS refuses.
    """
    server = _tracking_server(name, sagemaker)
    if server is not None:
        if server["IsActive"] != "Active":
            raise PlatformError(
                f"MLflow tracking server {name!r} is {server['TrackingServerStatus']}, not active; "
                f"run `aws sagemaker start-mlflow-tracking-server --tracking-server-name {name}`"
            )
        return str(server["TrackingServerArn"])
    app = _app(name, sagemaker)
    if app is None:
        raise PlatformError(
            f"{sagemaker.meta.region_name} has no MLflow tracking server and no MLflow app called "
            f"{name!r}; create one, or give an ARN or an http(s) address"
        )
    if app["Status"] not in _READY:
        raise PlatformError(
            f"MLflow app {name!r} is {app['Status']}, not {' or '.join(_READY)}; wait or mend it"
        )
    return str(app["Arn"])


def _tracking_server(name: str, sagemaker: Any) -> Any | None:
    try:
        with aws_errors(f"MLflow tracking server {name!r}"):
            return sagemaker.describe_mlflow_tracking_server(TrackingServerName=name)
    except PlatformError as error:
        if error_code(error) == "ResourceNotFound":
            return None
        raise


def _app(name: str, sagemaker: Any) -> Any | None:
    """Return the app's summary; a deleted one stays listed for a while, beside its successor."""
    with aws_errors("list the MLflow apps"):
        pages = sagemaker.get_paginator("list_mlflow_apps").paginate()
        apps = [
            app
            for page in pages
            for app in page["Summaries"]
            if app["Name"] == name and app["Status"] != "Deleted"
        ]
    return apps[0] if apps else None
