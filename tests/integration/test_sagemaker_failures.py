"""What breaks on a SageMaker stack: what one then sees, the exit code, and what `runs list` says.

The team's stack takes the servers of the emulated one for AWS, its ZenML and its MLflow. An errand
is a run of one step.
"""

import json
import multiprocessing
import os
import pty
import signal
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from multiprocessing.context import ForkServerContext
from pathlib import Path
from typing import Any, NamedTuple

import boto3
import pytest
from zenml.client import Client as ZenMLClient

from stacks import emulation, servers
from stacks.billing import billed_jobs
from stacks.emulation import PRELOADED
from stacks.servers import Program
from tests.checkout import copy_checkout
from tests.conftest import Outcome, Run

pytestmark = [
    pytest.mark.slow,
    # The servers outlive the command that starts them, which is what `subprocess` warns of.
    pytest.mark.filterwarnings("ignore:subprocess .* is still running:ResourceWarning"),
    # ZenML makes steps as the SDK wanted them before.
    pytest.mark.filterwarnings("ignore:We are deprecating the instantiation:DeprecationWarning"),
]

PATIENCE_S = 240  # a busy machine starts a client in a minute
# What the step of an errand imports.
NEEDED = tuple(name for name in PRELOADED if name.startswith(("zenml.", "s3fs", "sagemaker_")))
ROLE = "bank-marketing"
ROLE_ARN = emulation.STACK_VARIABLES["SAGEMAKER_ROLE_ARN"]
EXPIRED = {
    "service": "sagemaker",
    "caller": "testing",
    "code": "ExpiredTokenException",
    "message": "The security token included in the request is expired",
    "status": 403,
}
NO_PASS_ROLE = (
    f"is not authorized to perform: iam:PassRole on resource: {ROLE_ARN} "
    "because no identity-based policy allows the iam:PassRole action"
)


class Cloud(NamedTuple):
    """The emulated servers, and a checkout with the errand in it."""

    state: Path
    code: Path

    def ask(self, what: str, method: str, body: Any = None) -> None:
        data = json.dumps(body).encode() if body else None
        url = f"{os.environ['AWS_ENDPOINT_URL']}/_emulator/{what}"
        urllib.request.urlopen(urllib.request.Request(url, data, method=method)).close()

    def client(self, service: str) -> Any:
        return boto3.client(service, endpoint_url=os.environ["AWS_ENDPOINT_URL"])

    def fault(self, service: str = "sagemaker", operation: str = "*", **fields: Any) -> None:
        self.ask("faults", "POST", {"service": service, "operation": operation, **fields})

    def restart(self, name: str) -> None:
        """Kill a server and start it again, as it was."""
        server = servers.running(self.state, name)
        assert server
        assert server.pid
        process = Path(f"/proc/{server.pid}")
        variables = process.joinpath("environ").read_text().rstrip("\0").split("\0")
        _, _, *arguments = process.joinpath("cmdline").read_text().rstrip("\0").split("\0")
        os.killpg(server.pid, signal.SIGKILL)
        wait_until(lambda: servers.running(self.state, name) is None)
        servers.launch(
            self.state,
            Program(
                name=name,
                store=server.store,
                port=int(server.url.rpartition(":")[2]),
                arguments=tuple(arguments),
                environment=dict(variable.split("=", 1) for variable in variables),
            ),
        )


@pytest.fixture(scope="module")
def cloud(zenml_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    from zenml.utils.source_utils import set_custom_source_root

    folder = tmp_path_factory.mktemp("failures")
    code = copy_checkout(folder / "checkout")
    (code / "errand.py").write_bytes(Path(__file__).with_name("errand.py").read_bytes())
    sys.path.insert(0, str(code))
    set_custom_source_root(str(code))
    state = folder / "state"
    emulation.start(state=state, told=print, preload=NEEDED)
    emulation.enter(state=state)
    yield Cloud(state, code)
    emulation.stop(state=state)


@pytest.fixture
def faults(cloud: Cloud) -> Iterator[Callable[..., None]]:
    yield cloud.fault
    cloud.ask("faults", "DELETE")


@pytest.fixture
def errand(cloud: Cloud, run: Run, tmp_path: Path) -> Callable[..., Outcome]:
    """Run one; once its step has begun, do something, and then perhaps let it go on."""
    from errand import BEGAN, GO, command

    def act(meanwhile: Callable[[], object], *, goes_on: bool) -> None:
        wait_until((tmp_path / BEGAN).exists)
        meanwhile()
        if goes_on:
            (tmp_path / GO).touch()

    def errand(
        deed: str = "end",
        *,
        meanwhile: Callable[[], object] | None = None,
        goes_on: bool = True,
    ) -> Outcome:
        if meanwhile is None:
            return run(deed, str(tmp_path), command=command)
        with ThreadPoolExecutor() as pool:
            acting = pool.submit(act, meanwhile, goes_on=goes_on)
            outcome = run("wait", str(tmp_path), command=command)
            acting.result()
        return outcome

    return errand


class Client:
    """A process of its own, at a terminal, that waits for an errand."""

    def __init__(self, clients: ForkServerContext, folder: Path) -> None:
        from errand import BEGAN, begin_at

        self._folder = folder
        self._terminal, inside = pty.openpty()
        self.process = clients.Process(target=begin_at, args=(os.ttyname(inside), str(folder)))
        self.process.start()
        wait_until((folder / BEGAN).exists)
        wait_until(lambda: self.says("do: running"))
        os.close(inside)

    def says(self, words: str) -> bool:
        return words in (self._folder / "output").read_text()

    def interrupt(self, answer: str) -> None:
        os.write(self._terminal, answer.encode() + b"\n")
        assert self.process.pid
        os.kill(self.process.pid, signal.SIGINT)

    def go_on(self) -> None:
        (self._folder / "go").touch()

    def end(self) -> int | None:
        self.process.join(PATIENCE_S)
        return self.process.exitcode

    def close(self) -> None:
        self.process.kill()
        self.process.join()
        self.process.close()
        os.close(self._terminal)


@pytest.fixture(scope="module")
def clients(cloud: Cloud) -> ForkServerContext:
    """Starts processes that have imported what takes a client seconds."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["cli.execution", "zenml.integrations.aws.orchestrators"])
    return context


@pytest.fixture
def begin(clients: ForkServerContext, tmp_path: Path) -> Iterator[Callable[[], Client]]:
    """Begin an errand in another process, and wait until its step has begun."""
    with ExitStack() as begun:

        def begin() -> Client:
            client = Client(clients, tmp_path)
            begun.callback(client.close)
            return client

        yield begin


class Listed(NamedTuple):
    name: str
    status: str
    why: str


@pytest.fixture
def newest(run: Run) -> Callable[[], Listed]:
    """Tell what `runs list` says of the newest run."""

    def newest() -> Listed:
        outcome = run("runs", "list", "--last", "1")
        assert outcome.exit_code == 0
        lines = [line for line in outcome.output.splitlines() if line.startswith("│")]
        columns = zip(*(line.strip("│").split("│") for line in lines), strict=True)
        name, status, *_, why = (" ".join(" ".join(column).split()) for column in columns)
        return Listed(name, status, why)

    return newest


def billed(run: Listed) -> list[str]:
    """Return the jobs whose cost is kept with a run."""
    return list(billed_jobs(ZenMLClient().get_pipeline_run(run.name)))


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


class TestJobs:
    def test_a_step_that_is_killed_for_want_of_memory(self, errand, newest):
        outcome = errand("die")

        words = "Please use an instance type with more memory"
        assert outcome.exit_code == 1
        assert outcome.errors.startswith(f"error: step do: ClientError: ClientError: {words}")
        assert "exit code: 137\nits log ends with:\n  " in outcome.errors
        assert "console.aws.amazon.com" not in outcome.output + outcome.errors
        assert newest().status == "failed"
        assert words in newest().why
        assert billed(newest()) == ["do"]

    def test_an_image_that_cannot_be_pulled(self, errand, newest, monkeypatch):
        monkeypatch.setenv("SAGEMAKER_IMAGE", "123456789012.dkr.ecr.eu-west-1.amazonaws.com/no:1")

        outcome = errand()

        words = "ClientError: CannotPullContainerError: pull image 123456789012.dkr.ecr.eu-west-1"
        assert outcome.exit_code == 1
        assert outcome.errors.startswith(f"error: step do: {words}")
        assert newest().status == "failed"
        assert "CannotPullContainerError" in newest().why

    def test_machines_beyond_the_quota(self, errand, newest, cloud):
        quota = "ml.m5.large for processing job usage"
        cloud.ask("quotas", "POST", {quota: 0})

        outcome = errand()

        cloud.ask("quotas", "POST", {quota: 100})
        words = f"The account-level service limit '{quota}' is 0 Instances"
        assert outcome.exit_code == 1
        assert "Failed to invoke sagemaker:CreateProcessingJob" in outcome.errors
        assert words in outcome.errors
        assert newest().status == "failed"
        assert words in newest().why

    def test_a_role_that_may_not_pass_itself_to_its_jobs(self, errand, newest, faults):
        message = f"User: arn:aws:sts::123456789012:assumed-role/{ROLE}/SageMaker {NO_PASS_ROLE}"
        faults(operation="CreateProcessingJob", code="AccessDeniedException", message=message)

        outcome = errand()

        assert outcome.exit_code == 1
        assert outcome.errors.startswith("error: step do: ClientError: Failed to invoke sagemaker:")
        assert NO_PASS_ROLE in outcome.errors
        assert newest().status == "failed"
        assert "iam:PassRole" in newest().why


class TestCalls:
    def test_throttling_is_waited_out(self, errand, newest, faults):
        for operation in ("CreatePipeline", "CreateProcessingJob", "DescribePipelineExecution"):
            fault = {"code": "ThrottlingException", "message": "Rate exceeded"}
            faults(operation=operation, nth=1, **fault)

        outcome = errand()

        assert outcome.exit_code == 0
        assert outcome.errors == ""
        assert newest().status == "completed"

    def test_credentials_that_have_expired(self, errand, newest, faults):
        before = newest().name
        faults(
            "s3", caller="testing", code="ExpiredToken", message="The provided token has expired."
        )
        faults(**EXPIRED)

        outcome = errand()

        assert outcome.exit_code == 1
        assert outcome.errors == (
            "error: the run could not be submitted: "
            "AWS refused CreateBucket: ExpiredToken: The provided token has expired.\n"
        )
        assert newest().name == before  # it never began

    def test_credentials_that_expire_in_the_middle(self, errand, newest, cloud, run, tmp_path):
        outcome = errand(meanwhile=lambda: cloud.fault(**EXPIRED), goes_on=False)
        unsure = run("runs", "list", "--last", "1")
        cloud.ask("faults", "DELETE")  # they were renewed
        name = newest().name
        (tmp_path / "go").touch()
        watched = run("runs", "watch", name)

        words = "AWS refused DescribePipelineExecution: ExpiredTokenException: The security token"
        assert outcome.exit_code == 1
        assert words in outcome.errors
        assert f"{name} goes on; see it again with `python run.py runs watch" in outcome.errors
        assert unsure.exit_code == 0
        assert f"{name} may have ended since: " in unsure.errors
        assert words in unsure.errors
        assert watched.exit_code == 0
        assert watched.output.endswith(f"{name}: completed\n")
        assert newest().status == "completed"

    def test_a_role_that_does_not_exist(self, errand, newest, cloud):
        iam = cloud.client("iam")
        iam.delete_role(RoleName=ROLE)

        outcome = errand()

        iam.create_role(RoleName=ROLE, AssumeRolePolicyDocument="{}")
        words = f"AWS refused CreatePipeline: ValidationException: Could not assume role {ROLE_ARN}"
        assert outcome.exit_code == 1
        assert outcome.errors.startswith(f"error: the run could not be submitted: {words}")
        assert newest().status == "failed"
        assert words in newest().why

    def test_a_user_who_may_not_pass_the_role(self, errand, newest, faults):
        message = f"User: arn:aws:iam::123456789012:user/testing {NO_PASS_ROLE}"
        faults(operation="CreatePipeline", code="AccessDeniedException", message=message)

        outcome = errand()

        assert outcome.exit_code == 1
        assert outcome.errors == (
            "error: the run could not be submitted: "
            f"AWS refused CreatePipeline: AccessDeniedException: {message}\n"
        )
        assert newest().status == "failed"
        assert "iam:PassRole" in newest().why


class TestServers:
    def test_s3_is_away_in_the_middle(self, errand, newest, faults):
        def go_away() -> None:
            for nth in (1, 2):
                faults("s3", nth=nth, code="ServiceUnavailable", message="Later.", status=503)

        outcome = errand(meanwhile=go_away)

        assert outcome.exit_code == 0
        assert newest().status == "completed"

    def test_zenml_does_not_take_what_sagemaker_has_begun(self, errand, newest, cloud, monkeypatch):
        def refuse(**_: object) -> None:
            raise ConnectionError("ZenML's server does not answer")

        monkeypatch.setattr(
            "zenml.orchestrators.base_orchestrator.publish_pipeline_run_status_update", refuse
        )

        outcome = errand("wait")

        sagemaker = cloud.client("sagemaker")
        newest_first = {"SortBy": "CreationTime", "SortOrder": "Descending", "MaxResults": 1}
        (pipeline,) = sagemaker.list_pipelines(**newest_first)["PipelineSummaries"]
        name = pipeline["PipelineName"]

        def status() -> str:
            (execution,) = sagemaker.list_pipeline_executions(PipelineName=name)[
                "PipelineExecutionSummaries"
            ]
            return execution["PipelineExecutionStatus"]

        wait_until(lambda: status() == "Stopped")
        why = "the run could not be submitted: ZenML's server does not answer"
        assert outcome.exit_code == 1
        assert outcome.errors == f"error: {why}\n"
        assert newest().status == "failed"
        assert newest().why == why

    def test_zenml_and_mlflow_are_restarted_in_the_middle(self, errand, newest, cloud):
        def restart() -> None:
            cloud.restart("zenml")
            cloud.restart("mlflow")

        outcome = errand(meanwhile=restart)

        assert outcome.exit_code == 0
        assert newest().status == "completed"


class TestClients:
    def test_one_that_leaves(self, begin, newest, run):
        client = begin()
        client.interrupt("leave")
        exit_code = client.end()
        left = newest()
        stopped = run("runs", "stop", left.name)

        assert exit_code == 1
        watch = f"python run.py runs watch {left.name} --stack sagemaker"
        assert client.says(f"{left.name} goes on; see it again with `{watch}`")
        assert left.status == "running"
        assert stopped.exit_code == 0
        assert stopped.output.endswith(f"{left.name}: stopped\n")
        assert newest().status == "stopped"
        assert billed(left) == ["do"]

    def test_one_that_stops_its_run(self, begin, newest):
        client = begin()
        client.interrupt("stop")

        assert client.end() == 1
        assert client.says("stopping\n")
        assert client.says(f"error: {newest().name} was stopped\n")
        assert newest().status == "stopped"

    def test_one_that_dies_with_its_laptop(self, begin, newest, run):
        client = begin()
        client.process.kill()
        left = newest()
        client.go_on()
        watched = run("runs", "watch", left.name)

        assert left.status == "running"
        assert watched.exit_code == 0
        assert watched.output.endswith(f"{left.name}: completed\n")
        assert newest() == Listed(left.name, "completed", "")

    def test_two_at_once(self, begin, errand, newest):
        client = begin()
        outcome = errand()
        second = newest()
        client.go_on()

        assert (client.end(), outcome.exit_code) == (0, 0)
        assert outcome.output.endswith(f"{second.name}: completed\n")
        assert client.says(": completed\n")
        assert not client.says(second.name)
