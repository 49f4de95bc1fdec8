"""EventBridge schedules that start pipelines."""

import json
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.contract.sagemaker.steps import definition, fail

UNIVERSAL = "arn:aws:scheduler:::aws-sdk:sagemaker:startPipelineExecution"
WHO = {"Name": "Who", "Type": "String", "DefaultValue": "nobody"}


@pytest.fixture(scope="module")
def scheduler(client: Callable[[str], Any]) -> Any:
    return client("scheduler")


@pytest.fixture
def pipeline(sagemaker: Any, role: str, name: str) -> str:
    """A pipeline that says who started it; return its ARN."""
    text = definition(fail("say", {"Get": "Parameters.Who"}), parameters=[WHO])
    created = sagemaker.create_pipeline(PipelineName=name, PipelineDefinition=text, RoleArn=role)
    return str(created["PipelineArn"])


@pytest.fixture
def executions(sagemaker: Any, name: str) -> Callable[[], Any]:
    return lambda: sagemaker.list_pipeline_executions(PipelineName=name)[
        "PipelineExecutionSummaries"
    ]


@pytest.fixture
def schedule(scheduler: Any, pipeline: str, role: str, name: str) -> Callable[..., Any]:
    """Create a schedule of the pipeline, or of another target."""

    def create(expression: str, *, target: Any = None, **changes: Any) -> Any:
        return scheduler.create_schedule(
            Name=name,
            ScheduleExpression=expression,
            FlexibleTimeWindow={"Mode": "OFF"},
            Target={"Arn": pipeline, "RoleArn": role, **(target or {})},
            **changes,
        )

    return create


def at(seconds: float) -> str:
    """Return the expression for a time from now."""
    time_ = datetime.now(UTC) + timedelta(seconds=seconds)
    return f"at({time_:%Y-%m-%dT%H:%M:%S})"


def names(scheduler: Any) -> list[str]:
    return [each["Name"] for each in scheduler.list_schedules()["Schedules"]]


def test_a_pipeline_is_started_once_with_the_parameters_of_its_schedule(
    schedule, executions, until
):
    given = {"PipelineParameterList": [{"Name": "Who", "Value": "a schedule"}]}

    schedule(at(2), target={"SageMakerPipelineParameters": given})

    until(executions, lambda found: found and "Reason" in str(found[0]))
    time.sleep(1.5)
    (execution,) = executions()
    assert execution["PipelineExecutionFailureReason"].endswith("say: a schedule")


def test_the_universal_target_starts_a_pipeline_and_the_schedule_goes_if_asked(
    schedule, executions, scheduler, name, until
):
    asked = {"PipelineName": name, "PipelineParameters": [{"Name": "Who", "Value": "anyone"}]}

    schedule(
        at(2),
        target={"Arn": UNIVERSAL, "Input": json.dumps(asked)},
        ActionAfterCompletion="DELETE",
    )

    (execution,) = until(executions, lambda found: found and "Reason" in str(found[0]))
    assert execution["PipelineExecutionFailureReason"].endswith("say: anyone")
    until(lambda: names(scheduler), lambda found: name not in found)


def test_a_rate_begins_at_once(schedule, executions, until):
    schedule("rate(5 minutes)")

    assert len(until(executions, len)) == 1


def test_a_disabled_schedule_does_nothing(schedule, executions):
    schedule("rate(1 minute)", State="DISABLED")

    time.sleep(2)
    assert executions() == []


def test_a_schedule_whose_pipeline_is_gone_leaves_the_others_alone(
    schedule, executions, scheduler, role, name, pipeline, until
):
    scheduler.create_schedule(
        Name=f"{name}-gone",
        ScheduleExpression="rate(1 minute)",
        FlexibleTimeWindow={"Mode": "OFF"},
        Target={"Arn": f"{pipeline}-gone", "RoleArn": role},
    )

    schedule("rate(1 minute)")

    assert len(until(executions, len)) == 1


def test_the_sdk_schedules_a_pipeline(sagemaker_session, role, pipeline, name, executions, until):
    from sagemaker.workflow.pipeline import Pipeline
    from sagemaker.workflow.triggers import PipelineSchedule

    planned = Pipeline(name, sagemaker_session=sagemaker_session)

    planned.put_triggers([PipelineSchedule(name=name, rate=(1, "minute"))], role_arn=role)

    assert len(until(executions, len)) == 1


@pytest.mark.parametrize(
    ("expression", "target", "code", "words"),
    [
        ("cron(0 9 * * *)", {}, "ValidationException", "Invalid Schedule Expression cron"),
        ("rate(0 minutes)", {}, "ValidationException", "Invalid Schedule Expression rate"),
        ("cron(0 9 L * ? *)", {}, "NotEmulated", "L, W or # in .* is not emulated"),
        (
            "rate(1 minute)",
            {"Arn": "arn:aws:lambda:eu-west-1:123456789012:function:f"},
            "NotEmulated",
            "a schedule for arn:aws:lambda",
        ),
    ],
)
def test_what_would_never_fire_is_refused(schedule, expression, target, code, words):
    with pytest.raises(ClientError, match=words) as refusal:
        schedule(expression, target=target)

    assert refusal.value.response["Error"]["Code"] == code
