"""An emulated cloud on this machine: SageMaker, and the team's ZenML and MLflow beside it.

Three servers that begin and end together, because the first keeps all that exists in memory: a
ZenML that remembers runs whose artifacts are gone would be of no use.
"""

import os
import re
import secrets
import shlex
import shutil
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import requests

from stacks import servers
from stacks.servers import HOST, Program

_REGION = "eu-west-1"
_ACCOUNT = "123456789012"
_REGISTRY = f"{_ACCOUNT}.dkr.ecr.{_REGION}.amazonaws.com"
_BUCKET = f"bank-marketing-{_ACCOUNT}-{_REGION}"
_NAME = "bank-marketing"  # of the role, the image and the tracking server
_IMAGE = f"{_REGISTRY}/{_NAME}:1"

# What a file in stack_configs/ has to know of the account.
STACK_VARIABLES = {
    "AWS_REGION": _REGION,
    "SAGEMAKER_ROLE_ARN": f"arn:aws:iam::{_ACCOUNT}:role/{_NAME}",
    "SAGEMAKER_BUCKET": _BUCKET,
    "SAGEMAKER_ECR_REGISTRY": _REGISTRY,
    "SAGEMAKER_IMAGE": _IMAGE,
    "SAGEMAKER_MLFLOW": f"arn:aws:sagemaker:{_REGION}:{_ACCOUNT}:mlflow-tracking-server/{_NAME}",
}

# What a step imports before it does anything; our own code is not among it: jobs bring theirs.
PRELOADED = (
    "great_expectations",  # first: it logs much, which ZenML would show
    "zenml.entrypoints.entrypoint",
    "zenml.integrations.aws.orchestrators.sagemaker_orchestrator_entrypoint_config",
    "zenml.integrations.s3.artifact_stores",
    "zenml.integrations.mlflow.experiment_trackers",
    "zenml.integrations.pandas.materializers",
    "zenml.orchestrators.step_runner",
    "zenml.orchestrators.step_launcher",
    "zenml.zen_stores.rest_zen_store",
    "markdown_it",
    "matplotlib.backends.backend_svg",
    "mlflow.xgboost",
    "optuna",
    "pyarrow.csv",
    "pyarrow.parquet",
    "s3fs",
    "sagemaker_mlflow",
    "sklearn.isotonic",
    "sklearn.linear_model",
    "sklearn.metrics",
    "sklearn.pipeline",
    "xgboost",
)

_ROOT = Path(__file__).parent.parent
_SLOTS = 2
_PATIENCE_S = 30
_USER = "default"
_SAGEMAKER = "sagemaker"
_ZENML = "zenml"
_MLFLOW = "mlflow"
_HEALTH = {_SAGEMAKER: "/_emulator/health", _MLFLOW: "/health", _ZENML: "/health"}
_NAMES = tuple(_HEALTH)

# A user's own settings of AWS, ZenML and MLflow would lead elsewhere, or be mixed with ours.
_FOREIGN = (
    *("AWS_", "MLFLOW_TRACKING_", "MLFLOW_S3_", "SAGEMAKER_"),
    *("ZENML_ACTIVE_", "ZENML_SERVER", "ZENML_STORE_"),
)

_SDK_SETTINGS = """\
SchemaVersion: "1.0"
SageMaker: {PythonSDK: {Modules: {TelemetryOptOut: true}}}
"""


@dataclass(frozen=True)
class ServerStatus:
    """One of the servers; `url` and `pid` are none if it was not started, or was stopped."""

    name: str
    running: bool
    url: str | None
    pid: int | None
    log: Path


def start(*, state: Path, told: Callable[[str], None], preload: Sequence[str] = PRELOADED) -> bool:
    """Start the servers with empty stores unless all of them run; return whether it was needed.

    `told` is called with what happens, for people who wait. Jobs start as forks of a process that
    has imported `preload`.

    Raises:
        PlatformError: One of them does not start; then none is left running.
    """
    _make_private(state)
    with servers.all_or_none(state, _NAMES):
        if is_up(state=state):
            return False
        for each in status(state=state):
            if each.url and not each.running:
                told(f"{each.name} had ended: all three begin anew, with empty stores")
        _clear(state)
        told("starting SageMaker (emulated), ZenML and MLflow")
        _start_all(state, told, preload)
    return True


def is_up(*, state: Path) -> bool:
    """Say whether all three run and are ready."""
    return variables_file(state).exists() and all(each.running for each in status(state=state))


def stop(*, state: Path) -> tuple[str, ...]:
    """End the servers, forget what they kept, and return the addresses of those that ran.

    Raises:
        PlatformError: A server does not end.
    """
    with servers.exclusive(state):
        return _clear(state)


def status(*, state: Path) -> tuple[ServerStatus, ...]:
    """Say of each server whether it runs, and where."""
    found = []
    for name in _NAMES:
        recorded = servers.recorded(state, name)
        found.append(
            ServerStatus(
                name=name,
                running=servers.running(state, name) is not None,
                url=recorded.url if recorded else None,
                pid=recorded.pid if recorded else None,
                log=servers.log_of(state, name),
            )
        )
    return tuple(found)


def variables(*, state: Path) -> dict[str, str]:
    """Return what a process needs to be a client of all three, once `start` has returned."""
    text = variables_file(state).read_text(encoding="utf-8")
    pairs = (assignment.partition("=") for assignment in shlex.split(text))
    return {name: value for name, _, value in pairs}


def enter(*, state: Path) -> None:
    """Make this process a client of the three. Comes before ZenML is imported, which reads it."""
    for name in _without_foreign(os.environ).keys() ^ os.environ.keys():
        del os.environ[name]
    os.environ.update(variables(state=state))


def variables_file(state: Path) -> Path:
    """Return the file of the variables, for a shell; it holds a password."""
    return _data(state) / "variables"


def _start_all(state: Path, told: Callable[[str], None], preload: Sequence[str]) -> None:
    from stacks.empty_account import furnish  # boto3 is slow to import

    data = _data(state)
    data.mkdir()
    (data / "sagemaker-sdk.yaml").write_text(_SDK_SETTINGS, encoding="utf-8")
    ports = dict(zip(_NAMES, servers.free_ports(len(_NAMES)), strict=True))
    urls = {name: f"http://{HOST}:{port}" for name, port in ports.items()}
    client = _client_variables(data, urls, password=secrets.token_urlsafe(16))
    begun = time.monotonic()
    for program in (
        _zenml_program(data, ports[_ZENML], client),
        _sagemaker_program(data, ports[_SAGEMAKER], _job_variables(data, urls), preload),
        _mlflow_program(data, ports[_MLFLOW], client),
    ):
        servers.launch(state, program)
    for name, health in _HEALTH.items():
        servers.wait_until_ready(state, name, urls[name] + health)
        told(f"{name} answers after {time.monotonic() - begun:.1f} s")
        if name == _SAGEMAKER:
            furnish(urls[name], region=_REGION, bucket=_BUCKET, name=_NAME)
    _skip_survey(urls[_ZENML], client)
    _write_variables(variables_file(state), client)


def _skip_survey(url: str, client: Mapping[str, str]) -> None:
    """Answer what ZenML's dashboard would ask whoever signs in first."""
    credentials = {
        "username": client["ZENML_STORE_USERNAME"],
        "password": client["ZENML_STORE_PASSWORD"],
    }
    answer = requests.post(f"{url}/api/v1/login", data=credentials, timeout=_PATIENCE_S)
    answer.raise_for_status()
    answer = requests.put(
        f"{url}/api/v1/current-user",
        json={"user_metadata": {"finished_onboarding_survey": True}, "email_opted_in": False},
        headers={"Authorization": f"Bearer {answer.json()['access_token']}"},
        timeout=_PATIENCE_S,
    )
    answer.raise_for_status()


def _write_variables(path: Path, variables: Mapping[str, str]) -> None:
    draft = path.with_suffix(".new")
    draft.touch(mode=0o600)
    lines = (f"{name}={shlex.quote(value)}\n" for name, value in variables.items())
    draft.write_text("".join(lines), encoding="utf-8")
    draft.replace(path)  # whole or not at all: that it exists means that all is ready


def _client_variables(data: Path, urls: Mapping[str, str], *, password: str) -> dict[str, str]:
    return {
        **_aws_variables(urls[_SAGEMAKER]),
        **STACK_VARIABLES,
        **_job_variables(data, urls),
        "ZENML_CONFIG_PATH": str(data / "client"),
        "ZENML_REPOSITORY_PATH": str(data / "client"),  # else a .zen folder above takes part
        "ZENML_STORE_TYPE": "rest",
        "ZENML_STORE_URL": urls[_ZENML],
        "ZENML_STORE_USERNAME": _USER,
        "ZENML_STORE_PASSWORD": password,
    }


def _aws_variables(url: str) -> dict[str, str]:
    return {
        "AWS_ENDPOINT_URL": url,
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",  # pragma: allowlist secret
        "AWS_REGION": _REGION,
        "AWS_DEFAULT_REGION": _REGION,
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "NO_PROXY": f"{HOST},localhost",
        "no_proxy": f"{HOST},localhost",
    }


def _job_variables(data: Path, urls: Mapping[str, str]) -> dict[str, str]:
    """Return what jobs get beside their own variables and the address of the emulator."""
    return {
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "OMP_WAIT_POLICY": "PASSIVE",
        "OPENBLAS_NUM_THREADS": "1",
        "SAGEMAKER_ADMIN_CONFIG_OVERRIDE": str(data / "sagemaker-sdk.yaml"),
        "SAGEMAKER_USER_CONFIG_OVERRIDE": str(data / "sagemaker-sdk.yaml"),
        "SAGEMAKER_MLFLOW_CUSTOM_ENDPOINT": urls[_MLFLOW],
        "SAGEMAKER_SUPPRESS_V2_WARNING": "1",
        "ZENML_ANALYTICS_OPT_IN": "false",
    }


def _sagemaker_program(
    data: Path, port: int, jobs: Mapping[str, str], preload: Sequence[str]
) -> Program:
    return Program(
        name=_SAGEMAKER,
        port=port,
        store="memory",
        arguments=(
            *("sagemaker_emulator", "--port", str(port), "--work", str(data / "sagemaker")),
            *("--environments", str(data.parent / "sagemaker-environments")),
            *("--slots", str(_SLOTS), "--image", f"{re.escape(_IMAGE)}={sys.prefix}"),
            *(word for name, value in jobs.items() for word in ("--env", f"{name}={value}")),
            *(word for module in preload for word in ("--preload", module)),
        ),
        environment=_without_foreign(os.environ) | {"PYTHONPATH": str(_ROOT)},
    )


def _zenml_program(data: Path, port: int, client: Mapping[str, str]) -> Program:
    """Describe a server that ZenML takes for a remote one, which its SageMaker stack demands."""
    folder = data / "zenml"
    database = f"sqlite:///{folder / 'zenml.db'}"
    return Program(
        name=_ZENML,
        port=port,
        store=database,
        arguments=(
            *("uvicorn", "zenml.zen_server.zen_server_api:app", "--no-access-log"),
            *("--host", HOST, "--port", str(port)),
        ),
        environment={
            **_without_foreign(os.environ),
            **_aws_variables(client["AWS_ENDPOINT_URL"]),  # it reads the logs of steps
            "ZENML_CONFIG_PATH": str(folder),
            "ZENML_STORE_TYPE": "sql",
            "ZENML_STORE_URL": database,
            "ZENML_SECRETS_STORE_TYPE": "sql",  # pragma: allowlist secret
            "ZENML_DEFAULT_USER_NAME": client["ZENML_STORE_USERNAME"],
            "ZENML_DEFAULT_USER_PASSWORD": client["ZENML_STORE_PASSWORD"],
            "ZENML_SERVER": "true",
            "ZENML_SERVER_AUTO_ACTIVATE": "true",
            "ZENML_SERVER_AUTH_SCHEME": "OAUTH2_PASSWORD_BEARER",
            "ZENML_SERVER_DEPLOYMENT_TYPE": "other",
            "ZENML_SERVER_DISPLAY_ANNOUNCEMENTS": "false",
            "ZENML_SERVER_DISPLAY_UPDATES": "false",
            "ZENML_SERVER_JWT_SECRET_KEY": secrets.token_urlsafe(32),
            "ZENML_ANALYTICS_OPT_IN": "false",
            "ZENML_LOGGING_COLORS_DISABLED": "true",
        },
    )


def _mlflow_program(data: Path, port: int, client: Mapping[str, str]) -> Program:
    database = f"sqlite:///{data / 'mlflow.db'}"
    return Program(
        name=_MLFLOW,
        port=port,
        store=database,
        arguments=(
            *("mlflow", "server", "--backend-store-uri", database, "--no-serve-artifacts"),
            *("--default-artifact-root", f"s3://{_BUCKET}/mlflow", "--workers", "1"),
            *("--host", HOST, "--port", str(port), "--uvicorn-opts", "--no-access-log"),
        ),
        environment={
            **_without_foreign(os.environ),
            **_aws_variables(client["AWS_ENDPOINT_URL"]),
            "MLFLOW_DISABLE_TELEMETRY": "true",
            "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        },
    )


def _without_foreign(environ: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in environ.items() if not name.startswith(_FOREIGN)}


def _clear(state: Path) -> tuple[str, ...]:
    stopped = servers.stop_all(state, _NAMES)
    shutil.rmtree(_data(state), ignore_errors=True)
    return stopped


def _make_private(state: Path) -> None:
    state.mkdir(parents=True, exist_ok=True)
    state.chmod(0o700)


def _data(state: Path) -> Path:
    return state.absolute() / "data"
