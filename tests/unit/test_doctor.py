"""What follows from facts, without asking anybody."""

import pytest

from bank_marketing.errors import PlatformError
from platforms.sagemaker.checks import Account
from stacks.doctor.check import Finding, Look, look_at, ok, problem, unknown
from stacks.doctor.resources import ResourceLooks
from stacks.doctor.servers import compare_mlflow, reach
from stacks.files import StackFile, load_stack
from tests.unit.test_stack_files import VARIABLES


@pytest.fixture
def stack() -> StackFile:
    return load_stack("sagemaker", VARIABLES)


def states(*looks: Look) -> dict[str, str]:
    return {check.name: check.state for check in look_at(looks)}


def refuse() -> Finding:
    raise PlatformError("AWS refused")


class TestOrder:
    def test_what_needs_a_problem_is_skipped_and_so_is_what_needs_that(self):
        wrong = Look("a", lambda: problem("wrong", "mend"))

        assert states(wrong, Look("b", refuse, ("a",)), Look("c", lambda: ok(""), ("b",))) == {
            "a": "problem",
            "b": "unknown",
            "c": "unknown",
        }

    def test_what_needs_something_unknown_is_looked_at(self):
        assert states(Look("a", lambda: unknown("")), Look("b", lambda: ok(""), ("a",))) == {
            "a": "unknown",
            "b": "ok",
        }

    def test_a_refusal_is_no_problem_and_no_all_clear(self):
        (check,) = look_at([Look("a", refuse)])

        assert check.state == "unknown"
        assert check.found == "could not be checked: AWS refused"


class TestReach:
    @pytest.mark.parametrize(
        ("url", "state"),
        [
            ("https://zenml.example.com", "ok"),
            ("https://8.8.8.8:8080", "ok"),
            ("http://127.0.0.1:8237", "problem"),
            ("http://localhost:8237", "problem"),
            ("http://[::1]:8237", "problem"),
            ("http://0.0.0.0:8237", "problem"),
            ("http://10.0.0.7", "problem"),
            ("http://192.168.1.5:8080", "problem"),
            ("http://host.docker.internal:8080", "problem"),
            ("http://build-box:8080", "problem"),
            ("sqlite:////home/me/zenml.db", "problem"),
            ("/home/me/mlruns", "problem"),
            ("None", "problem"),
        ],
    )
    def test_a_job_in_aws_finds_public_servers_alone(self, stack, url, state):
        assert reach(url, stack, "mend").state == state

    @pytest.mark.parametrize(
        ("url", "state"),
        [
            ("http://10.0.0.7", "unknown"),
            ("http://zenml.corp.internal", "unknown"),
            ("http://127.0.0.1:8237", "problem"),
            ("http://0.0.0.0:8237", "problem"),
        ],
    )
    def test_a_job_in_subnets_may_find_private_ones(self, stack, url, state):
        assert stack.sagemaker is not None
        inside = stack.sagemaker.model_copy(update={"subnets": ("subnet-1",)})

        assert reach(url, stack.model_copy(update={"sagemaker": inside}), "").state == state

    def test_an_emulated_job_finds_this_machine(self, stack):
        emulated = stack.model_copy(update={"emulated": True})

        assert reach("http://127.0.0.1:8237", emulated, "").state == "ok"
        assert reach("sqlite:///zenml.db", emulated, "").state == "problem"


@pytest.mark.parametrize(
    ("client", "server", "state"),
    [
        ("3.17.2", "3.17.0", "ok"),
        ("3.17.2", "3.18.0", "ok"),
        ("3.17.2", "3.4.1", "unknown"),
        ("3.17.2", "2.22.0", "problem"),
        ("3.17.2", "", "unknown"),
    ],
)
def test_mlflow_servers_of_another_major_version_are_refused(client, server, state):
    assert compare_mlflow(client=client, server=server).state == state


def test_quotas_are_those_of_the_jobs_and_as_many_as_run_at_once(stack):
    assert stack.sagemaker is not None
    spot = stack.sagemaker.submitted_job.model_copy(update={"spot": True, "keep_alive_s": 60})
    sagemaker = stack.sagemaker.model_copy(update={"submitted_job": spot})

    assert ResourceLooks(stack, sagemaker, Account("eu-west-1")).usages == {
        "ml.m5.large for processing job usage": 2,
        "ml.m5.xlarge for training job usage": 1,
        "ml.m5.large for training job usage": 1,
        "ml.m5.large for spot training job usage": 1,
        "ml.m5.large for training warm pool usage": 1,
    }
