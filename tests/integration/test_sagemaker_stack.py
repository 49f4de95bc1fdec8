"""The training pipeline on the emulated SageMaker stack gives what it gives on this machine."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import boto3
import pytest
import requests

from bank_marketing.synthetic import make_table
from sagemaker_emulator.server import Emulator
from stacks import emulation
from tests.account_template import LEFT_OUT, deploy, refused
from tests.checkout import copy_checkout

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(600),
    pytest.mark.filterwarnings(LEFT_OUT),
]

EMULATED = ("--stack", "sagemaker-emulated")
GONE = (
    "the emulated servers do not run, and what they kept is gone; "
    "`python run.py emulator up` starts empty ones"
)
# Rows of a file of ours count as real, so that the gate of a shared registry lets them pass.
QUICK = (
    *("--set", "evaluation.resamples=100", "--set", "explanation.max_rows=200"),
    *("--set", "gate.min_roc_auc=0.6", "--set", "gate.min_test_rows=100"),
    *("--set", "gate.max_brier=0.2", "--set", "gate.min_backtest_roc_auc=0.5"),
)
TRAIN = ("--pipeline", "training", "--data")
ENDLESS = (
    *("--stack", "sagemaker-emulated", "--set", "tuning.backend=sagemaker"),
    *("--set", "tuning.trials=12", "--set", "tuning.timeout_s=3600"),
    *("--set", "model.n_estimators=10000", "--set", "model.early_stopping_rounds=10000"),
)
RUN_NAME = re.compile(r"training-\d{8}-\d{6}-\w{6}")


class Checkout(NamedTuple):
    """A copy of the project with a home of its own, as on a new machine."""

    folder: Path
    table: Path

    def begin(self, *arguments: str, user: str = "ann") -> "subprocess.Popen[str]":
        environment = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("AWS_", "MLFLOW_", "ZENML_", "SAGEMAKER_"))
        }
        return subprocess.Popen(
            [sys.executable, "run.py", *arguments],
            cwd=self.folder,
            env=environment
            | {"ZENML_CONFIG_PATH": str(self.folder.parent / f"zenml-{user}"), "USER": user},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *arguments: str, user: str = "ann") -> "subprocess.CompletedProcess[str]":
        with self.begin(*arguments, user=user) as process:
            output, errors = process.communicate(timeout=500)
        return subprocess.CompletedProcess(arguments, process.returncode, output, errors)

    def train(self, *arguments: str, user: str = "ann") -> Any:
        summary = self.folder.parent / f"summary-{user}.json"
        done = self.run(
            *(*TRAIN, str(self.table), "--summary", str(summary)),
            *QUICK,
            *arguments,
            user=user,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return json.loads(summary.read_text())

    @property
    def variables(self) -> dict[str, str]:
        """What makes another program a client of the emulated servers."""
        return emulation.variables(state=self.folder / ".local" / "emulator")


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Checkout]:
    folder = copy_checkout(tmp_path_factory.mktemp("sagemaker stack") / "checkout")
    table = folder.parent / "contacts.csv"
    make_table(rows=6_000, seed=3).to_csv(table, index=False)
    checkout = Checkout(folder, table)
    yield checkout
    checkout.run("emulator", "down")


@pytest.fixture(scope="module")
def local(checkout: Checkout) -> Any:
    return checkout.train()


@pytest.fixture(scope="module")
def emulated(checkout: Checkout, local: Any) -> Any:
    return checkout.train(*EMULATED)


@pytest.fixture(scope="module")
def together(checkout: Checkout, emulated: Any) -> dict[str, Any]:
    """Two people who run the same at the same moment, each in a single job."""
    single = (*EMULATED, "--execution", "single-job", "--no-cache")
    with ThreadPoolExecutor() as pool:
        runs = {user: pool.submit(checkout.train, *single, user=user) for user in ("ann", "bob")}
    return {user: run.result() for user, run in runs.items()}


@pytest.fixture(scope="module")
def client(checkout: Checkout, together: Any) -> Callable[[str], Any]:
    """Make a client of a service of the emulated cloud, once all runs are over.

    What it calls is recorded as somebody else's.
    """
    variables = checkout.variables
    session = boto3.session.Session("auditor", "testing", region_name=variables["AWS_REGION"])
    return lambda service: session.client(service, endpoint_url=variables["AWS_ENDPOINT_URL"])


def test_the_same_table_gives_the_same_results(local, emulated):
    for name in ("sha256", "fingerprint", "rows", "rejected_rows"):
        assert emulated["data"][name] == local["data"][name]
    assert emulated["metrics"] == local["metrics"]
    assert emulated["threshold"] == local["threshold"]
    assert emulated["decision"] == local["decision"]


def test_the_same_table_gives_the_same_model_byte_for_byte(local, emulated):
    assert local["model"]["bundle_sha256"]
    assert emulated["model"]["bundle_sha256"] == local["model"]["bundle_sha256"]


def test_nobody_made_it_the_champion_of_a_shared_registry(emulated):
    assert emulated["model"]["aliases"] == ["challenger"]


def test_its_package_waits_for_approval(local, emulated):
    group, _, number = emulated["model"]["package_arn"].rpartition("/")
    assert group.endswith(":model-package/bank-marketing")
    assert number.isdigit()
    assert not emulated["model"]["approved"]
    assert local["model"]["package_arn"] == ""


def test_every_step_was_a_job_of_its_own_kind(checkout, emulated):
    listed = checkout.run("runs", "list", *EMULATED)

    assert emulated["run_name"] in listed.stdout
    assert {job["type"] for job in emulated["jobs"].values()} == {"processing", "training"}
    assert emulated["jobs"]["train_model"]["type"] == "training"
    assert emulated["jobs"].keys() == emulated["durations"].keys()


def test_applying_the_stack_again_changes_nothing(checkout, emulated):
    again = checkout.run("stack", "apply", "sagemaker-emulated")

    assert again.stdout.startswith("nothing to do: stack 'bank-marketing-sagemaker-emulated' is as")


@pytest.mark.parametrize("user", ["ann", "bob"])
def test_a_single_job_gives_the_same_model_whoever_else_runs_one(local, together, user):
    assert together[user]["model"]["bundle_sha256"] == local["model"]["bundle_sha256"]
    assert together[user]["metrics"] == local["metrics"]
    assert len(together[user]["jobs"]) == 1


def test_two_who_run_at_once_share_no_version_and_no_run(emulated, together):
    runs = [emulated, *together.values()]

    assert len({run["model"]["version"] for run in runs}) == 3
    assert len({run["run_name"] for run in runs}) == 3


def test_a_run_is_stopped_with_the_tuning_job_that_it_waits_for(checkout, client):
    sagemaker = client("sagemaker")

    def statuses(operation: str) -> set[str]:
        """Return the statuses of all jobs of a kind."""
        (kind, summaries), *_ = getattr(sagemaker, operation)().items()
        return {job[f"{kind.removesuffix('Summaries')}Status"] for job in summaries}

    with checkout.begin(*TRAIN, str(checkout.table), *ENDLESS) as waiting:
        while "InProgress" not in statuses("list_hyper_parameter_tuning_jobs"):
            assert waiting.poll() is None
            time.sleep(0.2)
        (name,) = RUN_NAME.findall(checkout.run("runs", "list", "--last", "1", *EMULATED).stdout)
        stopped = checkout.run("runs", "stop", name, *EMULATED)
        _, errors = waiting.communicate(timeout=60)

    assert (stopped.returncode, stopped.stderr) == (0, "")
    assert stopped.stdout.endswith(f"{name}: stopped\n")
    assert (waiting.returncode, errors) == (1, f"error: {name} was stopped\n")
    assert statuses("list_hyper_parameter_tuning_jobs") == {"Stopped"}
    assert "InProgress" not in statuses("list_training_jobs")


def test_names_tell_the_project_and_the_user(client, emulated):
    sagemaker = client("sagemaker")
    pipelines = sagemaker.list_pipelines()["PipelineSummaries"]
    jobs = sagemaker.list_processing_jobs(NameContains="single")["ProcessingJobSummaries"]

    assert all(name["PipelineName"].startswith("bank-marketing-ann-") for name in pipelines)
    assert {job["ProcessingJobName"][:19] for job in jobs} == {
        "bank-marketing-ann-",
        "bank-marketing-bob-",
    }


def test_everything_in_sagemaker_carries_its_project_and_its_user(checkout, client):
    sagemaker = client("sagemaker")
    arns = [
        summary[arn]
        for operation, arn in (
            ("list_pipelines", "PipelineArn"),
            ("list_processing_jobs", "ProcessingJobArn"),
            ("list_training_jobs", "TrainingJobArn"),
            ("list_model_package_groups", "ModelPackageGroupArn"),
        )
        for page in sagemaker.get_paginator(operation).paginate()
        for summary in next(iter(page.values()))
    ]
    owners = {arn: tags_of(sagemaker.list_tags(ResourceArn=arn)["Tags"]) for arn in arns}

    assert len(arns) > 12
    assert {tags.get("project") for tags in owners.values()} == {"bank-marketing"}
    assert {tags.get("user") for tags in owners.values()} == {"ann", "bob"}


def test_every_object_carries_its_project(checkout, client):
    s3, bucket = client("s3"), checkout.variables["SAGEMAKER_BUCKET"]
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket)
    keys = [found["Key"] for page in pages for found in page["Contents"]]
    tags = {key: s3.get_object_tagging(Bucket=bucket, Key=key)["TagSet"] for key in keys}

    untagged = [key for key, found in tags.items() if "project" not in tags_of(found)]

    assert len(keys) > 50
    assert untagged == []


def test_the_template_allows_what_was_done_and_no_call_is_refused(checkout, client, tmp_path):
    variables = checkout.variables
    answer = requests.get(f"{variables['AWS_ENDPOINT_URL']}/_emulator/calls", timeout=30)
    calls = answer.json()["calls"]
    role = variables["SAGEMAKER_ROLE_ARN"]
    with Emulator(tmp_path) as account:
        deployed = deploy(account)

    of_jobs = [call for call in calls if call["caller"] == role]
    of_people = [call for call in calls if call["caller"] == variables["AWS_ACCESS_KEY_ID"]]

    assert deployed.variables["SAGEMAKER_BUCKET"] == variables["SAGEMAKER_BUCKET"]
    assert "PutObject" in {call["operation"] for call in of_jobs}
    assert "CreatePipeline" in {call["operation"] for call in of_people}
    assert refused(deployed.jobs, of_jobs) == []
    assert refused(deployed.submitters, of_people) == []


def test_what_a_step_raises_is_the_reason(checkout, emulated):
    done = checkout.run(
        *(*TRAIN, str(checkout.table)),
        *("--set", "validation.min_rows=100000"),
        *EMULATED,
    )

    assert done.returncode == 1
    assert "step validate_data: the data did not pass validation" in done.stderr
    assert "failed" in checkout.run("runs", "list", *EMULATED).stdout


def test_an_emulator_that_is_killed_in_the_middle_is_not_waited_for(checkout, emulated):
    with checkout.begin("--pipeline", "training", "--no-cache", *QUICK, *EMULATED) as client:
        lines = iter(client.stdout.readline, "")
        assert any(line.startswith("ingest_data: running") for line in lines)
        pid = json.loads((checkout.folder / ".local/emulator/sagemaker.json").read_text())["pid"]
        os.killpg(pid, signal.SIGKILL)
        _, errors = client.communicate(timeout=120)

    assert client.returncode == 1
    assert errors.splitlines()[-1] == f"error: {GONE}"


@pytest.mark.parametrize(
    "command",
    [
        ("runs", "list", *EMULATED),
        ("model", "list", *EMULATED),
        ("dashboard", *EMULATED),
        ("stack", "doctor", "sagemaker-emulated"),
    ],
)
def test_what_is_gone_is_not_replaced_by_empty_servers(checkout, emulated, command):
    asked = checkout.run(*command)

    assert (asked.returncode, asked.stderr) == (1, f"error: {GONE}\n")


def tags_of(listed: list[dict[str, str]]) -> dict[str, str]:
    return {tag["Key"]: tag["Value"] for tag in listed}


def test_nothing_is_left_when_it_is_down(checkout, emulated):
    down = checkout.run("emulator", "down")
    status = checkout.run("emulator", "status")

    assert down.returncode == 0
    assert status.returncode == 1
    left = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout
    assert str(checkout.folder) not in left
