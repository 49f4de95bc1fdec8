"""ZenML's dashboard and MLflow's UI, served by this machine in the background."""

import os
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from bank_marketing.errors import PlatformError
from stacks import servers
from stacks.servers import HOST, Program, Server

_ROOT = Path(__file__).parent.parent
_ZENML = "zenml"
_MLFLOW = "mlflow"
_NAMES = (_ZENML, _MLFLOW)


@dataclass(frozen=True)
class Dashboard:
    """The addresses of the two user interfaces, without a slash at the end."""

    zenml_url: str
    mlflow_url: str


def start(*, state: Path, mlflow_uri: str) -> Dashboard:
    """Show the active ZenML store and `mlflow_uri`; what already shows them stays as it is.

    A store that is itself a server (`http...`) brings its own user interface.

    Raises:
        PlatformError: One of the two does not start; then neither is left running.
    """
    mlflow_uri = _address(mlflow_uri)
    if mlflow_uri.startswith("arn:"):
        raise PlatformError(f"{mlflow_uri} has no address; open it in SageMaker Studio")
    with servers.all_or_none(state, _NAMES):
        zenml = _ensure(state, _zenml_program(_prepare_zenml_store()))
        mlflow = _ensure(state, _mlflow_program(mlflow_uri))
        for name, server in ((_ZENML, zenml), (_MLFLOW, mlflow)):
            if server.pid is not None:
                servers.wait_until_ready(state, name, f"{server.url}/health")
    return Dashboard(zenml.url, mlflow.url)


def stop(*, state: Path) -> tuple[str, ...]:
    """End what `start` started, wait until it is gone, and return the addresses it had.

    Raises:
        PlatformError: A server does not end.
    """
    with servers.exclusive(state):
        return servers.stop_all(state, _NAMES)


def running(*, state: Path, zenml_store: str, mlflow_uri: str) -> Dashboard | None:
    """Return what `start` returned, if all of it still runs and shows these two stores."""
    zenml, mlflow = (servers.running(state, name) for name in _NAMES)
    if not (
        zenml and zenml.store == zenml_store and mlflow and mlflow.store == _address(mlflow_uri)
    ):
        return None
    return Dashboard(zenml.url, mlflow.url)


def run_url(base: str, run_id: object, *, project: str) -> str:
    """Return the page of a pipeline run in ZenML's dashboard."""
    return f"{base}/projects/{quote(project)}/runs/{run_id}"


def mlflow_run_url(base: str, *, experiment_id: str, run_id: str) -> str:
    """Return the page of a run in MLflow's UI."""
    return f"{base}/#/experiments/{experiment_id}/runs/{run_id}"


def _zenml_program(store: str) -> Program:
    """Describe a server of the database that runs write to.

    `zenml login --local` starts the same one, but then makes every run go through it, which
    doubles the time of a short run.
    """
    (port,) = servers.free_ports(1)
    return Program(
        name=_ZENML,
        store=store,
        port=port,
        arguments=(
            *("uvicorn", "--factory", "stacks.dashboard_app:create", "--app-dir", str(_ROOT)),
            *("--no-access-log", "--host", HOST, "--port", str(port)),
        ),
        environment={
            **os.environ,
            "ZENML_SERVER": "true",
            "ZENML_SERVER_AUTH_SCHEME": "NO_AUTH",
            "ZENML_SERVER_DEPLOYMENT_TYPE": "local",
            "ZENML_SERVER_ALLOW_LOCAL_FILE_ACCESS": "true",  # reports lie in a local folder
            "DISABLE_DATABASE_MIGRATION": "true",  # done by the client, which opened it before
            "ZENML_ANALYTICS_OPT_IN": "false",
            "ZENML_LOGGING_COLORS_DISABLED": "true",
        },
    )


def _prepare_zenml_store() -> str:
    """Return the URL of the active store, which from now on asks its visitors nothing.

    Else the first page is a survey, and every page fetches announcements from the web.
    """
    from zenml.client import Client  # takes seconds, and `stop` does without
    from zenml.models import ServerSettingsUpdate

    client = Client()
    store = client.zen_store
    if not _is_server(store.url):
        user = client.active_user
        client.update_user(
            user.id,
            updated_email_opt_in=False,
            updated_metadata={
                **user.user_metadata,
                "finished_onboarding_survey": True,
                "awareness_channels": ["other"],
            },
        )
        store.update_server_settings(
            ServerSettingsUpdate(
                enable_analytics=False, display_announcements=False, display_updates=False
            )
        )
    return store.url


def _mlflow_program(uri: str) -> Program:
    (port,) = servers.free_ports(1)
    return Program(
        name=_MLFLOW,
        store=uri,
        port=port,
        arguments=(
            *("mlflow", "server", "--backend-store-uri", uri, "--no-serve-artifacts"),
            *("--workers", "1", "--uvicorn-opts", "--no-access-log"),
            *("--host", HOST, "--port", str(port)),
        ),
        environment={
            **os.environ,
            "MLFLOW_DISABLE_TELEMETRY": "true",
            "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",  # workers for LLM evaluation
        },
    )


def _ensure(state: Path, program: Program) -> Server:
    """Return the server that shows the program's store, launching it if there is none."""
    server = servers.running(state, program.name)
    if server and server.store == program.store:
        return server
    servers.stop(state, program.name)
    if not _is_server(program.store):
        return servers.launch(state, program)
    server = Server(store=program.store, url=program.store.rstrip("/"), pid=None)
    servers.record(state, program.name, server)
    return server


def _is_server(uri: str) -> bool:
    return uri.startswith(("http://", "https://"))


def _address(mlflow_uri: str) -> str:
    """Return where an MLflow on SageMaker answers if that is known, and any other URI as it is."""
    if mlflow_uri.startswith("arn:"):
        return os.environ.get("SAGEMAKER_MLFLOW_CUSTOM_ENDPOINT", mlflow_uri)
    return mlflow_uri
