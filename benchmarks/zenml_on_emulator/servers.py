"""The three servers that stand for a team's cloud: SageMaker, ZenML, MLflow."""

import os
import re
import secrets
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

import boto3

REGION = "eu-west-1"
BUCKET = "zenml-artifacts"
IMAGE = f"123456789012.dkr.ecr.{REGION}.amazonaws.com/project:1"

# What a step of ZenML imports before it does anything.
PRELOADED = (
    "zenml.entrypoints.entrypoint",
    "zenml.integrations.aws.orchestrators.sagemaker_orchestrator_entrypoint_config",
    "zenml.integrations.s3.artifact_stores",
    "zenml.integrations.mlflow.experiment_trackers",
    "zenml.integrations.pandas.materializers",
    "zenml.orchestrators.step_runner",
    "zenml.orchestrators.step_launcher",
    "mlflow.xgboost",
    "xgboost",
    "sklearn.metrics",
    "s3fs",
    "pyarrow.parquet",
)

_STARTUP_S = 90


class Servers(NamedTuple):
    """Where the servers answer, and the variables of a client of all three."""

    aws: str
    zenml: str
    mlflow: str
    variables: dict[str, str]


@contextmanager
def servers(folder: Path, *, preload: Sequence[str]) -> Iterator[Servers]:
    """Start the servers, with what they keep in `folder`; they end with the block."""
    password = secrets.token_urlsafe(16)
    zenml_port, mlflow_port = _free_port(), _free_port()
    with ExitStack() as stack:
        aws = stack.enter_context(_emulator(folder / "sagemaker", preload))
        variables = _client_variables(aws, zenml_port, mlflow_port, password, folder)
        boto3.session.Session("testing", "testing", region_name=REGION).client(
            "s3", endpoint_url=aws
        ).create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": REGION})
        zenml_command = [
            *("-m", "uvicorn", "zenml.zen_server.zen_server_api:app"),
            *("--host", "127.0.0.1", "--port", str(zenml_port)),
        ]
        mlflow_command = [
            *("-m", "mlflow", "server", "--workers", "1", "--port", str(mlflow_port)),
            *("--backend-store-uri", f"sqlite:///{folder / 'mlflow.db'}"),
            *("--artifacts-destination", f"s3://{BUCKET}/mlflow"),
        ]
        zenml_variables = _zenml_server_variables(folder / "zenml", password)
        aws_variables = {k: v for k, v in variables.items() if k.startswith(("AWS", "NO_PROXY"))}
        stack.enter_context(
            _process(zenml_command, aws_variables | zenml_variables, folder / "zenml.log")
        )
        stack.enter_context(_process(mlflow_command, aws_variables, folder / "mlflow.log"))
        _wait(f"http://127.0.0.1:{zenml_port}/ready", folder / "zenml.log")
        _wait(f"http://127.0.0.1:{mlflow_port}/health", folder / "mlflow.log")
        yield Servers(
            aws, variables["ZENML_STORE_URL"], variables["MLFLOW_TRACKING_URI"], variables
        )


@contextmanager
def _emulator(work: Path, preload: Sequence[str]) -> Iterator[str]:
    command = [
        *("-m", "sagemaker_emulator", "--work", str(work), "--slots", "2"),
        *("--image", f"{re.escape(IMAGE)}={sys.prefix}"),
        *("--env", "ZENML_ANALYTICS_OPT_IN=false", "--env", "MLFLOW_DISABLE_TELEMETRY=true"),
        *("--env", "SAGEMAKER_SUPPRESS_V2_WARNING=1", "--env", "OMP_WAIT_POLICY=PASSIVE"),
        *(option for name in preload for option in ("--preload", name)),
    ]
    with subprocess.Popen([sys.executable, *command], stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None  # noqa: S101  # a pipe was asked for
            yield process.stdout.readline().strip()
        finally:
            process.terminate()


@contextmanager
def _process(arguments: Sequence[str], variables: Mapping[str, str], log: Path) -> Iterator[None]:
    environment = {"PATH": os.environ["PATH"], "HOME": str(log.parent), **variables}
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, *arguments],
            env=environment,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        yield
    finally:
        os.killpg(process.pid, 9)
        process.wait()


def _client_variables(
    aws: str, zenml_port: int, mlflow_port: int, password: str, folder: Path
) -> dict[str, str]:
    return {
        "AWS_ENDPOINT_URL": aws,
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",  # pragma: allowlist secret
        "AWS_REGION": REGION,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "NO_PROXY": "127.0.0.1,localhost",
        "SAGEMAKER_SUPPRESS_V2_WARNING": "1",
        "MLFLOW_TRACKING_URI": f"http://127.0.0.1:{mlflow_port}",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "ZENML_ANALYTICS_OPT_IN": "false",
        "ZENML_CONFIG_PATH": str(folder / "client"),
        "ZENML_STORE_TYPE": "rest",
        "ZENML_STORE_URL": f"http://127.0.0.1:{zenml_port}",
        "ZENML_STORE_USERNAME": "default",
        "ZENML_STORE_PASSWORD": password,
    }


def _zenml_server_variables(folder: Path, password: str) -> dict[str, str]:
    """Return the settings of a server that counts as remote, which the orchestrator demands."""
    folder.mkdir(parents=True)
    return {
        "ZENML_CONFIG_PATH": str(folder),
        "ZENML_SERVER": "true",
        "ZENML_STORE_TYPE": "sql",
        "ZENML_STORE_URL": f"sqlite:///{folder / 'zenml.db'}",
        "ZENML_SERVER_DEPLOYMENT_TYPE": "other",
        "ZENML_SERVER_AUTO_ACTIVATE": "true",
        "ZENML_SECRETS_STORE_TYPE": "sql",  # pragma: allowlist secret
        "ZENML_DEFAULT_USER_NAME": "default",
        "ZENML_DEFAULT_USER_PASSWORD": password,
        "ZENML_SERVER_JWT_SECRET_KEY": secrets.token_urlsafe(32),
        "ZENML_SERVER_AUTH_SCHEME": "OAUTH2_PASSWORD_BEARER",
        "ZENML_ANALYTICS_OPT_IN": "false",
    }


def _wait(url: str, log: Path) -> None:
    end = time.monotonic() + _STARTUP_S
    while time.monotonic() < end:
        try:
            with urllib.request.urlopen(url, timeout=2):  # noqa: S310  # our own loopback server
                return
        except (urllib.error.URLError, TimeoutError, ConnectionError):
            time.sleep(0.2)
    raise TimeoutError(f"{url} does not answer; see {log}")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
