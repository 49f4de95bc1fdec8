"""The servers are started as users start them: by a command that ends while they stay."""

import fcntl
import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bank_marketing.errors import PlatformError
from stacks import dashboard
from stacks.dashboard import Dashboard

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]

SCRIPTS = {
    "start.py": """
import sys
from pathlib import Path
from bank_marketing.errors import PlatformError
from stacks import dashboard

try:
    started = dashboard.start(state=Path(sys.argv[1]), mlflow_uri=sys.argv[2])
except PlatformError as error:
    sys.exit(f"error: {error}")
print(started.zenml_url, started.mlflow_url)
""",
    "run_pipeline.py": """
from zenml import pipeline, step
from zenml.client import Client
from zenml.types import HTMLString

@step
def draw_report() -> HTMLString:
    return HTMLString("<h1>400 rows</h1>")

@pipeline(enable_cache=False)
def reporting():
    draw_report()

for _ in range(3):
    run = reporting()
artifact = run.steps["draw_report"].outputs["output"][0]
print(run.id, artifact.id, Client().zen_store.url)
""",
    "log_run.py": """
import sys
import mlflow

client = mlflow.MlflowClient(sys.argv[1])
experiment = client.create_experiment(sys.argv[2], artifact_location=sys.argv[3])
run = client.create_run(experiment).info.run_id
client.log_metric(run, "roc_auc", 0.79)
client.log_text(run, '{"columns": 59}', "model.json")
print(run)
""",
}


class Installation:
    """A user's folders, of which none is a real user's."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.state = folder / "dashboard"
        self.zenml_store = f"sqlite:///{folder / 'zenml/local_stores/default_zen_store/zenml.db'}"
        self.mlflow_uri = f"sqlite:///{folder / 'mlflow.db'}"
        for name, code in SCRIPTS.items():
            (folder / name).write_text(code)

    def launch(self, script: str, *arguments: str | Path) -> subprocess.Popen[str]:
        environment = {
            "ZENML_CONFIG_PATH": str(self.folder / "zenml"),
            "ZENML_ANALYTICS_OPT_IN": "false",
            "MLFLOW_DISABLE_TELEMETRY": "true",
            "PYTHONPATH": str(ROOT),
        }
        return subprocess.Popen(
            [sys.executable, script, *arguments],
            cwd=self.folder,
            env={**os.environ, **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, script: str, *arguments: str | Path) -> list[str]:
        return printed(self.launch(script, *arguments))

    def start(self, mlflow_uri: str | None = None) -> Dashboard:
        return Dashboard(*self.run("start.py", self.state, mlflow_uri or self.mlflow_uri))

    def running(
        self, *, zenml_store: str | None = None, mlflow_uri: str | None = None
    ) -> Dashboard | None:
        return dashboard.running(
            state=self.state,
            zenml_store=zenml_store or self.zenml_store,
            mlflow_uri=mlflow_uri or self.mlflow_uri,
        )


def printed(process: subprocess.Popen[str]) -> list[str]:
    """Return the words of the last line; a server that held the terminal would block this."""
    output, complaints = process.communicate(timeout=300)
    assert process.returncode == 0, complaints
    return output.splitlines()[-1].split()


def fetch(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=60) as response:
        return response.read()


def get(url: str) -> Any:
    return json.loads(fetch(url))


def ask(url: str, path: str, *, method: str = "GET", **headers: str) -> http.client.HTTPResponse:
    """Send what a browser would send on behalf of a page, whose code cannot choose it."""
    connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=60)
    connection.request(method, path, headers=headers)
    response = connection.getresponse()
    response.read()
    connection.close()
    return response


def is_served(url: str, *, host: str = "127.0.0.1") -> bool:
    port = int(url.rpartition(":")[2])
    with socket.socket() as client:
        client.settimeout(2)
        return client.connect_ex((host, port)) == 0


def copy_of_the_project(folder: Path) -> Path:
    """Return a checkout of what the command line needs, with this interpreter as its own."""
    for name in ("Makefile", "run.py"):
        shutil.copy(ROOT / name, folder)
    for package in ("bank_marketing", "cli", "platforms", "stacks"):
        shutil.copytree(ROOT / package, folder / package)
    python = folder / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    python.chmod(0o755)
    return folder


@pytest.fixture(scope="module")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    installation = Installation(tmp_path_factory.mktemp("shared"))
    yield installation
    dashboard.stop(state=installation.state)


@pytest.fixture(scope="module")
def simultaneous_starts(installation: Installation) -> list[list[str]]:
    commands = [
        installation.launch("start.py", installation.state, installation.mlflow_uri)
        for _ in range(2)
    ]
    return [printed(command) for command in commands]


@pytest.fixture(scope="module")
def served(simultaneous_starts: list[list[str]]) -> Dashboard:
    return Dashboard(*simultaneous_starts[0])


@pytest.fixture
def stranger() -> Iterator[subprocess.Popen[bytes]]:
    """A process that leads its own group, like a server of ours, and waits to be ended."""
    with subprocess.Popen(
        [sys.executable, "-c", "input()"], stdin=subprocess.PIPE, start_new_session=True
    ) as process:
        yield process
        process.kill()


class TestStart:
    def test_both_user_interfaces_answer(self, served):
        pages = [fetch(served.zenml_url), fetch(served.mlflow_url)]

        assert b"<title>ZenML" in pages[0]
        assert b"<title>MLflow" in pages[1]

    def test_two_commands_at_once_start_one(self, simultaneous_starts):
        first, second = simultaneous_starts

        assert first == second

    def test_what_runs_is_found_again(self, installation, served):
        assert installation.running() == served

    @pytest.mark.usefixtures("served")
    def test_servers_of_another_store_are_not_taken_for_ours(self, installation):
        assert installation.running(zenml_store="sqlite:///elsewhere.db") is None
        assert installation.running(mlflow_uri="sqlite:///elsewhere.db") is None

    def test_other_addresses_of_the_machine_are_not_served(self, served):
        urls = (served.zenml_url, served.mlflow_url)

        assert [is_served(url) for url in urls] == [True, True]
        assert [is_served(url, host="127.0.0.2") for url in urls] == [False, False]

    def test_a_failure_quotes_the_log_and_leaves_nothing_running(self, installation, tmp_path):
        command = installation.launch("start.py", tmp_path, "nonsense://database")

        _, complaints = command.communicate(timeout=300)

        assert command.returncode == 1
        assert f"the mlflow server ended while starting; {tmp_path / 'mlflow.log'}" in complaints
        assert "nonsense" in complaints.splitlines()[-1]
        assert dashboard.stop(state=tmp_path) == ()


class TestOtherPages:
    """Pages that the user's browser shows and that came from elsewhere."""

    @pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE", "OPTIONS"])
    @pytest.mark.parametrize("origin", ["https://evil.example", "http://127.0.0.1:1", "null"])
    def test_zenml_refuses_whatever_they_ask(self, served, method, origin):
        asked = {"Origin": origin, "Access-Control-Request-Method": "DELETE"}

        response = ask(served.zenml_url, "/api/v1/pipelines", method=method, **asked)

        assert response.status == 403
        assert response.headers["Access-Control-Allow-Origin"] is None

    def test_zenml_refuses_names_that_strangers_made_lead_here(self, served):
        asked = {"Host": "evil.example", "Origin": "http://evil.example"}

        assert ask(served.zenml_url, "/api/v1/info", **asked).status == 400

    def test_mlflow_lets_none_of_them_read_or_change(self, served):
        path = "/api/2.0/mlflow/experiments/search?max_results=1"

        read = ask(served.mlflow_url, path, Origin="https://evil.example")
        changed = ask(served.mlflow_url, path, method="POST", Origin="https://evil.example")
        renamed = ask(served.mlflow_url, path, Host="evil.example")

        assert read.headers["Access-Control-Allow-Origin"] is None
        assert (changed.status, renamed.status) == (403, 403)

    @pytest.mark.parametrize("name", ["127.0.0.1", "localhost"])
    def test_pages_of_the_server_itself_may_change_things(self, served, name):
        host = served.zenml_url.removeprefix("http://").replace("127.0.0.1", name)
        asked = {"Host": host, "Origin": f"http://{host}"}

        response = ask(served.zenml_url, "/api/v1/tags", method="POST", **asked)

        assert response.status == 422  # ZenML looked at the tag, and misses its name


class TestZenML:
    def test_nobody_is_asked_to_sign_up_or_to_fill_in_a_survey(self, served):
        user = get(f"{served.zenml_url}/api/v1/current-user")
        server = get(f"{served.zenml_url}/api/v1/info")

        assert user["metadata"]["user_metadata"]["finished_onboarding_survey"] is True
        assert (server["active"], server["auth_scheme"]) == (True, "NO_AUTH")

    def test_nothing_is_reported_or_fetched(self, served):
        server = get(f"{served.zenml_url}/api/v1/info")
        settings = get(f"{served.zenml_url}/api/v1/settings")["body"]

        assert server["analytics_enabled"] is False
        assert (settings["display_announcements"], settings["display_updates"]) == (False, False)

    def test_runs_are_shown_while_they_are_written_to_the_database(self, installation, served):
        command = installation.launch("run_pipeline.py")
        while command.poll() is None:
            get(f"{served.zenml_url}/api/v1/runs?size=20")
        run, report, store = printed(command)

        shown = get(f"{served.zenml_url}/api/v1/runs/{run}")
        page = get(f"{served.zenml_url}/api/v1/artifact_versions/{report}/visualize")

        assert shown["body"]["status"] == "completed"
        assert page["value"] == "<h1>400 rows</h1>"
        assert store.startswith("sqlite:")


class TestMLflow:
    def test_runs_are_shown_with_their_artifacts(self, installation, served):
        artifacts = installation.folder / "artifacts"
        (run,) = installation.run("log_run.py", installation.mlflow_uri, "bank", artifacts)

        shown = get(f"{served.mlflow_url}/api/2.0/mlflow/runs/get?run_id={run}")["run"]
        artifact = get(f"{served.mlflow_url}/get-artifact?path=model.json&run_uuid={run}")

        assert shown["data"]["metrics"][0]["value"] == 0.79
        assert artifact == {"columns": 59}


class TestStop:
    def test_stopping_what_does_not_run_is_fine(self, tmp_path):
        assert dashboard.stop(state=tmp_path) == ()

    def test_make_clean_ends_what_it_forgets(self, tmp_path):
        """A server, seen from outside, is a process whose log is locked and whose id is known."""
        checkout = copy_of_the_project(tmp_path)
        state = checkout / ".local" / "dashboard"
        state.mkdir(parents=True)
        with (state / "zenml.log").open("ab") as log:
            fcntl.flock(log, fcntl.LOCK_EX)
            server = subprocess.Popen(
                [sys.executable, "-c", "import time; time.sleep(60)"],
                stdout=log,
                start_new_session=True,
            )
        record = {"store": "sqlite://", "url": "http://127.0.0.1:1", "pid": server.pid}
        (state / "zenml.json").write_text(json.dumps(record))

        subprocess.run([str(shutil.which("make")), "clean"], cwd=checkout, check=True, timeout=60)

        assert server.wait(timeout=10) == -signal.SIGTERM
        assert not (checkout / ".local").exists()

    def test_a_stranger_with_the_number_of_an_ended_server_lives_on(self, tmp_path, stranger):
        record = {"store": "sqlite://", "url": "http://127.0.0.1:1", "pid": stranger.pid}
        (tmp_path / "zenml.json").write_text(json.dumps(record))

        stopped = dashboard.stop(state=tmp_path)

        assert stopped == ()
        assert stranger.poll() is None
        assert not (tmp_path / "zenml.json").exists()


def test_a_damaged_record_says_what_to_do(tmp_path):
    (tmp_path / "zenml.json").write_text('{"pid": 1}')

    with pytest.raises(PlatformError, match=r"zenml\.json .* store: Field required.* delete it"):
        dashboard.running(state=tmp_path, zenml_store="sqlite://", mlflow_uri="sqlite://")


def test_links_lead_to_the_page_of_a_run():
    zenml = dashboard.run_url("http://127.0.0.1:1", "4ba9", project="my project")
    mlflow = dashboard.mlflow_run_url("http://127.0.0.1:2", experiment_id="7", run_id="b121")

    assert zenml == "http://127.0.0.1:1/projects/my%20project/runs/4ba9"
    assert mlflow == "http://127.0.0.1:2/#/experiments/7/runs/b121"


class TestEnd:
    """Comes last: ends the servers at which the tests above look."""

    def test_a_tracking_server_replaces_our_mlflow_and_nothing_else(self, installation):
        before = installation.start()

        after = installation.start(mlflow_uri="https://mlflow.example.com/")

        assert after == Dashboard(before.zenml_url, "https://mlflow.example.com")
        assert installation.running(mlflow_uri="https://mlflow.example.com/") == after
        assert not is_served(before.mlflow_url)

    def test_every_process_ends_and_both_ports_are_free(self, installation):
        started = installation.start()

        stopped = dashboard.stop(state=installation.state)

        assert stopped == (started.zenml_url, started.mlflow_url)
        assert not any(is_served(url) for url in stopped)
        assert installation.running() is None
