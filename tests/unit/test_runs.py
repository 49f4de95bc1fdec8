"""A run as ZenML's store has it, beside what SageMaker says of it."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from zenml import log_metadata, pipeline, step
from zenml.client import Client
from zenml.enums import ExecutionStatus, StackComponentType
from zenml.models import PipelineRunResponse, PipelineSnapshotRequest, StepRunRequest
from zenml.orchestrators.publish_utils import publish_failed_step_run
from zenml.pipelines.run_utils import create_placeholder_run
from zenml.utils.time_utils import utc_now

from bank_marketing.errors import PlatformError
from platforms.base import Charge, Execution, Job, OutageError
from platforms.patience import Patience
from registry.lineage import SUBMITTED_BY
from stacks.billing import billed_jobs, record_cost
from stacks.runs import Runs, is_in_sagemaker, record_failure

ARN = "arn:aws:sagemaker:eu-west-1:123456789012:pipeline/errand/execution/1"
TUNING = "arn:aws:sagemaker:eu-west-1:123456789012:hyper-parameter-tuning-job/bank-1"
NO_PATIENCE = Patience(first_pause=0, longest_pause=0, longest_outage=60)
AWAY = OutageError("SageMaker is away")


@step
def first() -> int:
    return 1


@step
def second(number: int) -> int:
    return number


@pipeline
def errand() -> None:
    second(first())


class Cloud:
    """Says of every execution what it is given, one answer after the other; the last one again.

    `submitted` are its answers about the job of a step.
    """

    def __init__(self, *answers: Execution | PlatformError) -> None:
        self.answers = list(answers)
        self.submitted: list[Execution | PlatformError] = []
        self.asked: list[str] = []
        self.stopped: list[str] = []
        self.refusal: PlatformError | None = None
        self.charges: dict[str, list[Charge | PlatformError | None]] = {}
        self.logs: dict[str, tuple[str, ...] | PlatformError] = {}

    def describe(self, arn: str) -> Execution:
        self.asked.append(arn)
        return told(self.submitted if arn == TUNING else self.answers)

    def stop(self, arn: str) -> None:
        if self.refusal:
            raise self.refusal
        self.stopped.append(arn)

    def charge(self, job: Job) -> Charge | None:
        return told(self.charges[job.step])

    def log_tail(self, job: Job) -> tuple[str, ...]:
        return told([self.logs.get(job.step, ())])


def told(answers: list[Any]) -> Any:
    answer = answers.pop(0) if len(answers) > 1 else answers[0]
    if isinstance(answer, Exception):
        raise answer
    return answer


def runs_in(cloud: Cloud, **options: Any) -> Runs:
    return Runs(lambda: cloud, **({"patience": NO_PATIENCE} | options))


def job(step: str = "first", state: str = "failed", **changes: Any) -> Job:
    values = {"arn": f"{ARN}/{step}", "reason": None, "log_url": None}
    return Job(step=step, state=state, **(values | changes))


def execution(state: str, *jobs: Job, reason: str | None = None) -> Execution:
    return Execution(state=state, reason=reason, jobs=jobs)


RUNNING = execution("running", job(state="running"))
STOPPED = execution("stopped", job(state="stopped"))
KILLED = execution("failed", job(reason="It was\nkilled."), reason="A step failed.")


@pytest.fixture(scope="module")
def snapshot(zenml_home) -> Callable[..., Any]:
    """Make a snapshot of the pipeline, on the stack that is given or ZenML's default one."""
    compiled = errand.with_options(enable_cache=False)().snapshot
    shared = set(PipelineSnapshotRequest.model_fields) & {
        *("run_name_template", "pipeline_configuration", "step_configurations"),
        *("client_environment", "pipeline_spec", "is_dynamic"),
    }

    def make(stack: Any = None) -> Any:
        return Client().zen_store.create_snapshot(
            PipelineSnapshotRequest(
                project=Client().active_project.id,
                stack=stack or compiled.stack.id,
                pipeline=compiled.pipeline.id,
                **{name: getattr(compiled, name) for name in shared},
            )
        )

    return make


@pytest.fixture
def begin(snapshot) -> Callable[..., PipelineRunResponse]:
    """Begin a run in ZenML, with the status of its steps; it is SageMaker's if it has an ARN."""

    def begin(*, arn: str | None = ARN, stack: Any = None, **steps: str) -> PipelineRunResponse:
        run = create_placeholder_run(snapshot(stack), orchestrator_run_id=arn)
        for name, status in steps.items():
            Client().zen_store.create_run_step(
                StepRunRequest(
                    name=name,
                    pipeline_run_id=run.id,
                    project=run.project_id,
                    status=ExecutionStatus(status),
                    start_time=utc_now(),
                )
            )
        return Client().get_pipeline_run(run.id)

    return begin


@pytest.fixture
def elsewhere(zenml_home) -> Iterator[Any]:
    """A stack whose pipelines run in SageMaker."""
    client = Client()
    orchestrator = client.create_stack_component(
        "elsewhere",
        "sagemaker",
        StackComponentType.ORCHESTRATOR,
        {"execution_role": "arn:aws:iam::123456789012:role/jobs"},
    )
    store = client.active_stack_model.components[StackComponentType.ARTIFACT_STORE][0]
    stack = client.create_stack(
        "elsewhere",
        {
            StackComponentType.ORCHESTRATOR: orchestrator.id,
            StackComponentType.ARTIFACT_STORE: store.id,
        },
    )
    return stack.id


def status_of(run: PipelineRunResponse) -> tuple[str, str | None]:
    """Return what ZenML now says of a run."""
    found = Client().get_pipeline_run(run.id)
    return str(found.status), found.get_body().status_reason


def steps_of(run: PipelineRunResponse) -> dict[str, str]:
    return {name: str(each.status) for name, each in run.steps.items()}


class TestWaiting:
    def test_a_refusal_is_said_at_once(self, begin):
        cloud = Cloud(PlatformError("AWS refused"))

        with pytest.raises(PlatformError, match="AWS refused"):
            runs_in(cloud).follow(begin().id, print)

        assert cloud.asked == [ARN]

    def test_an_outage_is_told_once_and_waited_out(self, begin):
        lines = []

        view = runs_in(Cloud(RUNNING, AWAY, AWAY, STOPPED)).follow(
            begin(first="running").id, lines.append
        )

        assert view.has_ended
        assert lines.count("SageMaker is away; still trying") == 1

    def test_an_outage_that_does_not_end_ends_the_waiting(self, begin):
        impatient = Patience(first_pause=0, longest_pause=0, longest_outage=-1)

        with pytest.raises(OutageError, match="SageMaker is away"):
            runs_in(Cloud(AWAY), patience=impatient).follow(begin().id, print)

    def test_nobody_waits_for_a_server_that_is_known_to_be_gone(self, begin):
        def check() -> None:
            raise PlatformError("it has ended")

        with pytest.raises(PlatformError, match="it has ended"):
            runs_in(Cloud(AWAY)).follow(begin().id, print, check)

    def test_each_piece_of_news_is_told_once(self, begin):
        waiting = execution("running", job("second", "running", log_url="https://b"))
        both = execution("running", job("first", "running", log_url="https://a"), *waiting.jobs)
        lines = []

        runs_in(Cloud(waiting, both, both, STOPPED)).follow(begin(first="running").id, lines.append)

        assert lines[:3] == [
            "second: running, log: https://b",
            "first: running",
            "first: running, log: https://a",
        ]
        assert lines[3].startswith("first: stopped in ")

    def test_a_failed_step_is_not_the_end_while_others_run(self, begin):
        view = runs_in(Cloud(RUNNING)).look(begin(first="failed").id)

        assert view.run.status.is_finished
        assert not view.has_ended

    def test_an_execution_that_succeeded_is_the_end_though_zenml_misses_a_step(self, begin):
        view = runs_in(Cloud(execution("succeeded"))).look(begin(first="completed").id)

        assert view.has_ended

    def test_a_run_that_is_not_there_is_refused(self, begin):
        run = begin()
        Client().delete_pipeline_run(run.id)

        with pytest.raises(PlatformError, match="ZenML refused") as refused:
            runs_in(Cloud(RUNNING)).look(run.id)

        assert not isinstance(refused.value, OutageError)

    def test_a_run_of_this_machine_is_followed_without_sagemaker(self, begin):
        def connect() -> Cloud:
            raise AssertionError

        view = Runs(connect).look(begin(arn=None, first="running").id)

        assert view.execution is None
        assert not view.has_ended


class TestEnds:
    def test_zenml_hears_of_a_step_that_could_not_tell(self, begin):
        run = begin(first="running")

        view = runs_in(Cloud(KILLED)).look(run.id)

        assert steps_of(view.run) == {"first": "failed"}
        assert status_of(run) == ("failed", "It was killed.")

    def test_zenml_hears_of_a_job_that_never_began(self, begin):
        run = begin()

        runs_in(Cloud(execution("failed", job(arn=None, reason="x" * 300)))).look(run.id)

        assert status_of(run) == ("failed", "x" * 250)

    def test_an_execution_without_jobs_has_a_reason_too(self, begin):
        run = begin()

        runs_in(Cloud(execution("failed", reason="No."))).look(run.id)

        assert status_of(run) == ("failed", "No.")

    def test_what_zenml_knows_is_left_alone(self, begin):
        run = begin(first="failed")

        runs_in(Cloud(KILLED)).look(run.id)

        assert status_of(run) == ("failed", None)

    @pytest.mark.parametrize("steps", [{}, {"first": "running"}, {"first": "completed"}], ids=str)
    def test_a_run_that_sagemaker_stopped_is_stopped(self, begin, steps):
        run = begin(**steps)

        view = runs_in(Cloud(STOPPED)).look(run.id)

        assert str(view.run.status) == "stopped"
        assert status_of(run) == ("stopped", None)

    def test_the_end_of_both_steps_is_the_end_of_the_run(self, begin):
        run = begin(first="completed", second="running")

        runs_in(Cloud(execution("succeeded"))).look(run.id)

        assert status_of(run) == ("completed", None)

    def test_a_submission_that_was_interrupted_long_ago_has_failed(self, begin, elsewhere):
        run = begin(arn=None, stack=elsewhere)

        ages = timedelta(minutes=15), timedelta()
        views = [runs_in(Cloud(), longest_submission=age).look(run.id) for age in ages]

        assert [view.has_ended for view in views] == [False, True]
        assert status_of(run) == ("failed", "its submission was interrupted")

    def test_the_failure_of_a_submission_is_kept_with_the_run(self, begin):
        run = begin(arn=None)

        record_failure(run.name, "AWS refused")

        assert status_of(run) == ("failed", "AWS refused")


class TestStopping:
    def test_sagemaker_is_asked(self, begin):
        cloud = Cloud(RUNNING)
        run = begin()

        runs_in(cloud).stop(run)

        assert is_in_sagemaker(run)
        assert cloud.stopped == [ARN]
        assert status_of(run) == ("initializing", None)

    def test_a_step_that_fails_because_it_is_stopped_was_stopped(self, begin):
        cloud = Cloud(STOPPED)
        run = begin(first="running")

        runs_in(cloud).stop(run)
        publish_failed_step_run(run.steps["first"].id)

        assert status_of(run) == ("stopped", None)

    def test_a_run_that_amazon_does_not_stop_goes_on(self, begin):
        cloud = Cloud(RUNNING)
        cloud.refusal = PlatformError("AWS refused StopPipelineExecution")
        run = begin(first="running")

        with pytest.raises(PlatformError, match="AWS refused StopPipelineExecution"):
            runs_in(cloud).stop(run)

        assert status_of(run) == ("running", None)

    def test_a_process_of_some_machine_cannot_be_stopped(self, begin):
        run = begin(arn=None)

        with pytest.raises(
            PlatformError, match=r"runs in a process, .* end the process \(Ctrl-C\)"
        ):
            runs_in(Cloud()).stop(run)

        assert not is_in_sagemaker(run)


def charge(seconds: float) -> Charge:
    return Charge(type="training", instance_type="ml.m5.xlarge", seconds=seconds)


class TestCost:
    @pytest.fixture
    def tuning(self, begin) -> PipelineRunResponse:
        """A run whose first step has submitted a tuning job."""
        run = begin(first="completed")
        log_metadata({f"{SUBMITTED_BY}first": TUNING}, run_id_name_or_prefix=run.id)
        return Client().get_pipeline_run(run.id)

    def test_jobs_that_are_billed_are_told_by_step(self, begin):
        cloud = Cloud(execution("succeeded", job("first"), job("second")))
        cloud.charges = {"first": [AWAY, charge(7)], "second": [None]}
        runs = runs_in(cloud)

        charges = runs.charges(runs.look(begin().id))

        assert charges == {"first": (job("first"), charge(7))}

    def test_what_a_step_submitted_is_billed_too(self, tuning):
        cloud = Cloud(execution("succeeded", job("first")))
        cloud.submitted = [execution("succeeded", job(""))]
        cloud.charges = {"first": [charge(7)], "": [charge(70)]}
        runs = runs_in(cloud)

        charges = runs.charges(runs.look(tuning.id))

        assert {name: found.seconds for name, (_, found) in charges.items()} == {
            "first": 7,
            "first, submitted": 70,
        }
        assert cloud.stopped == []

    def test_what_a_step_left_behind_is_stopped_and_then_billed(self, tuning):
        cloud = Cloud(KILLED)
        cloud.submitted = [
            AWAY,
            *(execution(state, job("")) for state in ("running", "stopping", "stopped")),
        ]
        cloud.charges = {"first": [None], "": [charge(70)]}
        runs = runs_in(cloud)

        charges = runs.charges(runs.look(tuning.id))

        assert list(charges) == ["first, submitted"]
        assert cloud.stopped == [TUNING]

    def test_what_a_step_submitted_is_stopped_with_its_run(self, tuning):
        cloud = Cloud(RUNNING)

        runs_in(cloud).stop(tuning)

        assert cloud.stopped == [ARN, TUNING]

    @pytest.mark.parametrize("end", [execution("succeeded", job("")), KILLED, STOPPED], ids=str)
    def test_it_is_kept_with_the_run_however_that_ended(self, begin, end):
        (ended,) = end.jobs
        cloud = Cloud(end)
        cloud.charges = {ended.step: [charge(3600), AssertionError()]}
        runs, run = runs_in(cloud), begin(first="running")

        kept = record_cost(runs, runs.look(run.id))
        again = record_cost(runs, runs.look(run.id))

        (name,) = kept.run_metadata["jobs"]
        # AWS's own bill: 0.257 USD an hour
        assert name == (ended.step or "all steps")
        assert billed_jobs(kept)[name].usd == 0.257
        assert kept.run_metadata["cost_usd"] == "0.2570"
        assert again == kept

    def test_a_run_of_this_machine_has_none(self, begin):
        runs = runs_in(Cloud())

        kept = record_cost(runs, runs.look(begin(arn=None, first="completed").id))

        assert billed_jobs(kept) == {}
        assert "cost_usd" not in kept.run_metadata


class TestReasons:
    @pytest.fixture
    def why(self, begin) -> Callable[..., str | None]:
        def why(found: Execution, log: Any = ()) -> str | None:
            cloud = Cloud(found)
            cloud.logs["first"] = log
            runs = runs_in(cloud)
            return runs.failure(runs.look(begin().id))

        return why

    def test_a_failed_job_is_told_with_the_end_of_its_log(self, why):
        failed = job(reason="It was killed.", log_url="https://a")

        assert why(execution("failed", failed, job("second", "stopped")), ("a", "b")) == (
            "step first: It was killed.\nits log ends with:\n  a\n  b\nlog: https://a"
        )

    def test_a_log_that_cannot_be_read_does_not_hide_the_reason(self, why):
        assert why(KILLED, PlatformError("AWS refused GetLogEvents")) == (
            "step first: It was\nkilled.\nits log cannot be read: AWS refused GetLogEvents"
        )

    def test_a_single_job_for_all_steps_is_called_the_pipeline(self, why):
        assert why(execution("failed", job(""))) == "step pipeline: no reason was given"

    def test_without_a_failed_job_the_execution_says_why(self, why):
        assert why(execution("failed", reason="No.")) == "No."

    def test_a_run_that_did_not_fail_has_no_reason(self, why):
        assert why(STOPPED) is None
