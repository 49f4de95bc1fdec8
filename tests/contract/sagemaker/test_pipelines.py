"""Pipelines, as those who write their definitions and start them see them."""

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from botocore.exceptions import ClientError

from sagemaker_emulator.faults import Fault
from tests.contract.sagemaker.conftest import BUCKET
from tests.contract.sagemaker.requests import IMAGE
from tests.contract.sagemaker.steps import (
    comparison,
    condition,
    definition,
    fail,
    joined,
    processing,
    source,
    training,
)
from tests.contract.sagemaker.trainer import TRAINER_IMAGE

ENDED = ("Succeeded", "Failed", "Stopped")
COUNT = {"Name": "Count", "Type": "Integer", "DefaultValue": 3}


@pytest.fixture
def create(sagemaker: Any, s3: Any, role: str, name: str) -> Callable[..., Any]:
    """Create the test's pipeline of these steps."""

    def do(*steps: Any, parameters: Any = (), **changes: Any) -> Any:
        return sagemaker.create_pipeline(
            PipelineName=name,
            PipelineDefinition=definition(*steps, parameters=parameters),
            RoleArn=role,
            **changes,
        )

    return do


@pytest.fixture
def start(sagemaker: Any, name: str) -> Callable[..., str]:
    """Start the test's pipeline with parameters; return the ARN of the execution."""

    def do(**values: str) -> str:
        parameters = [{"Name": key, "Value": value} for key, value in values.items()]
        return str(
            sagemaker.start_pipeline_execution(PipelineName=name, PipelineParameters=parameters)[
                "PipelineExecutionArn"
            ]
        )

    return do


@pytest.fixture
def ended(sagemaker: Any, until: Callable[..., Any]) -> Callable[[str], Any]:
    """Wait for the end of an execution; return its description."""
    return lambda arn: until(
        partial(sagemaker.describe_pipeline_execution, PipelineExecutionArn=arn),
        lambda execution: execution["PipelineExecutionStatus"] in ENDED,
    )


@pytest.fixture
def steps_of(sagemaker: Any) -> Callable[[str], Any]:
    """Return the steps of an execution that have started, by their names, oldest first."""
    return lambda arn: {
        step["StepName"]: step
        for step in sagemaker.list_pipeline_execution_steps(
            PipelineExecutionArn=arn, SortOrder="Ascending"
        )["PipelineExecutionSteps"]
    }


def equal_to(count: int) -> Any:
    return comparison("Equals", {"Get": "Parameters.Count"}, count)


def overlap(one: Any, other: Any) -> bool:
    return bool(one["StartTime"] < other["EndTime"] and other["StartTime"] < one["EndTime"])


class TestSteps:
    def test_a_step_that_reads_what_another_writes_comes_after_it(
        self, create, start, ended, steps_of, role, sagemaker
    ):
        data = {"Get": "Steps.prepare.ProcessingOutputConfig.Outputs['rows'].S3Output.S3Uri"}
        write = "open('/opt/ml/processing/out/rows.csv', 'w').write('1,2')"
        read = "print(open('/opt/ml/input/data/train/rows.csv').read())"
        create(
            training("train", role, read, data=data),
            processing("prepare", role, write, output="rows"),
        )

        arn = start()

        assert ended(arn)["PipelineExecutionStatus"] == "Succeeded"
        steps = steps_of(arn)
        assert list(steps) == ["prepare", "train"]
        job = steps["train"]["Metadata"]["TrainingJob"]["Arn"].rpartition("/")[2]
        assert job.startswith(f"pipelines-{arn.rpartition('/')[2]}-train-")
        described = sagemaker.describe_training_job(TrainingJobName=job)
        assert described["TrainingJobStatus"] == "Completed"

    def test_steps_that_need_nothing_of_each_other_run_at_the_same_time(
        self, create, start, ended, steps_of, role
    ):
        create(*(processing(each, role, "import time; time.sleep(1)") for each in ("a", "b")))

        arn = start()
        ended(arn)

        steps = steps_of(arn)
        assert overlap(steps["a"], steps["b"])

    def test_no_more_steps_run_at_a_time_than_allowed(self, create, start, ended, steps_of, role):
        create(
            *(processing(each, role, "") for each in ("a", "b")),
            ParallelismConfiguration={"MaxParallelExecutionSteps": 1},
        )

        arn = start()
        ended(arn)

        steps = steps_of(arn)
        assert not overlap(steps["a"], steps["b"])

    @pytest.mark.parametrize(
        ("auc", "status", "ran"), [(0.8, "Succeeded", "register"), (0.7, "Failed", "refuse")]
    )
    def test_a_model_is_registered_or_refused_by_what_its_evaluation_wrote(
        self, create, start, ended, steps_of, role, name, auc, status, ran
    ):
        model = {"Get": "Steps.train.ModelArtifacts.S3ModelArtifacts"}
        measured = {
            "Std:JsonGet": {
                "PropertyFile": {"Get": "Steps.evaluate.PropertyFiles.metrics"},
                "Path": "scores[0].auc",
            }
        }
        train = "open('/opt/ml/model/weights', 'w').write('0.5')"
        evaluate = (
            "import json; open('/opt/ml/processing/model/model.tar.gz'); "
            f"scores = {{'scores': [{{'auc': {auc}}}]}}; "
            "json.dump(scores, open('/opt/ml/processing/out/m.json', 'w'))"
        )
        register = {
            "Name": "register",
            "Type": "RegisterModel",
            "Arguments": {
                "ModelPackageGroupName": name,
                "InferenceSpecification": {
                    "Containers": [{"Image": IMAGE, "ModelDataUrl": model}],
                    "SupportedContentTypes": ["text/csv"],
                    "SupportedResponseMIMETypes": ["text/csv"],
                },
            },
        }
        create(
            training("train", role, train),
            processing(
                "evaluate",
                role,
                evaluate,
                output="evaluation",
                arguments={"ProcessingInputs": [source(model, "/opt/ml/processing/model")]},
                PropertyFiles=[
                    {
                        "PropertyFileName": "metrics",
                        "OutputName": "evaluation",
                        "FilePath": "m.json",
                    }
                ],
            ),
            condition(
                "check",
                comparison("GreaterThanOrEqualTo", measured, {"Get": "Parameters.Floor"}),
                then=[register],
                otherwise=[fail("refuse", joined("auc under", {"Get": "Parameters.Floor"}))],
            ),
            parameters=[{"Name": "Floor", "Type": "Float", "DefaultValue": 0.75}],
        )

        arn = start()

        execution, steps = ended(arn), steps_of(arn)
        assert execution["PipelineExecutionStatus"] == status
        assert list(steps) == ["train", "evaluate", "check", ran]
        assert steps["check"]["Metadata"]["Condition"]["Outcome"] == str(status == "Succeeded")
        if ran == "register":
            package = steps["register"]["Metadata"]["RegisterModel"]["Arn"]
            assert package.endswith(f":model-package/{name}/1")
        else:
            assert steps["refuse"]["FailureReason"] == "auc under/0.75"
            assert "refuse: auc under/0.75" in execution["FailureReason"]

    def test_a_model_step_creates_a_model(self, create, start, ended, steps_of, role, sagemaker):
        model = {"Get": "Steps.train.ModelArtifacts.S3ModelArtifacts"}
        create(
            training("train", role, "open('/opt/ml/model/weights', 'w').write('0.5')"),
            {
                "Name": "create",
                "Type": "Model",
                "Arguments": {
                    "ExecutionRoleArn": role,
                    "PrimaryContainer": {"Image": IMAGE, "ModelDataUrl": model},
                },
            },
            fail("show", {"Get": "Steps.create.ModelName"}),
        )

        arn = start()
        ended(arn)

        created = steps_of(arn)["create"]["Metadata"]["Model"]["Arn"].rpartition("/")[2]
        assert sagemaker.describe_model(ModelName=created)["ModelName"] == created
        assert steps_of(arn)["show"]["FailureReason"] == created

    def test_branches_that_are_not_taken_do_not_run_nor_does_what_needs_them(
        self, create, start, ended, steps_of
    ):
        create(
            condition(
                "outer",
                equal_to(3),
                then=[condition("inner", equal_to(4), then=[fail("no", "never")])],
                otherwise=[fail("neither", "never")],
            ),
            fail("after", "never", DependsOn=["neither"]),
            parameters=[COUNT],
        )

        arn = start()

        assert ended(arn)["PipelineExecutionStatus"] == "Succeeded"
        assert list(steps_of(arn)) == ["outer", "inner"]

    def test_a_failing_step_fails_the_execution_once_what_runs_has_ended(
        self, create, start, ended, steps_of, role
    ):
        create(
            processing("broken", role, "raise SystemExit('the table is empty')"),
            processing("slow", role, "import time; time.sleep(2)"),
            processing("after-broken", role, "", DependsOn=["broken"]),
            processing("after-slow", role, "", DependsOn=["slow"]),
        )

        arn = start()

        execution, steps = ended(arn), steps_of(arn)
        assert execution["PipelineExecutionStatus"] == "Failed"
        assert execution["FailureReason"].startswith(
            "Step failure: One or multiple steps failed. broken: "
            "ClientError: AlgorithmError: the table is empty"
        )
        statuses = {step: each["StepStatus"] for step, each in steps.items()}
        assert statuses == {"broken": "Failed", "slow": "Succeeded"}

    def test_a_job_that_amazon_refuses_fails_its_step(self, create, start, ended, role):
        resources = {
            "InstanceType": "ml.p4d.24xlarge",
            "InstanceCount": 1,
            "VolumeSizeInGB": 5,
        }
        create(training("train", role, "", arguments={"ResourceConfig": resources}))

        reason = ended(start())["FailureReason"]

        assert "Failed to invoke sagemaker:CreateTrainingJob. Error Details: The account" in reason

    def test_faults_strike_what_a_pipeline_asks_for(
        self, create, start, ended, role, sagemaker_emulator
    ):
        create(training("train", role, ""))
        fault = Fault("sagemaker", "CreateTrainingJob", nth=1, code="AccessDeniedException")
        sagemaker_emulator.faults.add(fault)

        execution = ended(start())

        sagemaker_emulator.faults.clear()
        assert execution["PipelineExecutionStatus"] == "Failed"

    def test_what_is_throttled_is_tried_again(self, create, start, ended, role, sagemaker_emulator):
        create(processing("one", role, ""))
        fault = Fault("sagemaker", "CreateProcessingJob", nth=1, code="ThrottlingException")
        sagemaker_emulator.faults.add(fault)

        execution = ended(start())

        sagemaker_emulator.faults.clear()
        assert execution["PipelineExecutionStatus"] == "Succeeded"

    def test_a_pipeline_acts_in_its_role(self, create, start, ended, role, sagemaker_emulator):
        create(processing("one", role, ""))

        arn = start()
        ended(arn)

        (call,) = [
            call
            for call in sagemaker_emulator.recorder.calls()
            if f"-{arn.rpartition('/')[2]}-" in call["resource"]
        ]
        assert (call["operation"], call["caller"]) == ("CreateProcessingJob", role)

    def test_a_property_that_does_not_exist_fails_the_step_that_reads_it(
        self, create, start, ended, steps_of, role
    ):
        create(processing("one", role, ""), fail("show", {"Get": "Steps.one.Nothing.Here"}))

        arn = start()
        ended(arn)

        assert "there is nothing at 'Nothing.Here'" in steps_of(arn)["show"]["FailureReason"]


class TestExecutions:
    def test_stopping_ends_what_runs_and_starts_nothing_more(
        self, create, start, ended, steps_of, role, sagemaker, until
    ):
        create(
            processing("sleep", role, "import time; time.sleep(60)"),
            processing("after", role, "", DependsOn=["sleep"]),
        )
        arn = start()
        until(lambda: steps_of(arn), len)

        sagemaker.stop_pipeline_execution(PipelineExecutionArn=arn)

        assert ended(arn)["PipelineExecutionStatus"] == "Stopped"
        statuses = {step: each["StepStatus"] for step, each in steps_of(arn).items()}
        assert statuses == {"sleep": "Stopped"}
        with pytest.raises(ClientError, match="is Stopped; only pipeline executions"):
            sagemaker.stop_pipeline_execution(PipelineExecutionArn=arn)

    def test_parameters_are_given_or_have_defaults(self, create, start, ended, steps_of, sagemaker):
        text = {"Name": "Text", "Type": "String"}
        flag = {"Name": "Flag", "Type": "Boolean", "DefaultValue": False}
        values = [{"Get": f"Parameters.{each}"} for each in ("Count", "Text", "Flag")]
        create(fail("show", joined(*values)), parameters=[COUNT, text, flag])

        arn = start(Text="a", Flag="true")
        ended(arn)

        assert steps_of(arn)["show"]["FailureReason"] == "3/a/true"
        listed = sagemaker.list_pipeline_parameters_for_execution(PipelineExecutionArn=arn)
        values = {each["Name"]: each["Value"] for each in listed["PipelineParameters"]}
        assert values == {"Count": "3", "Text": "a", "Flag": "true"}

    @pytest.mark.parametrize(
        ("values", "words"),
        [
            ({"Count": "many", "Size": "s"}, r"Value 'many' of parameter \[Count\]"),
            ({"Size": "xl"}, r"Value 'xl' of parameter \[Size\] is not in"),
            ({}, r"\[Size\] has no default and was not given"),
            ({"Size": "s", "Other": "1"}, "'Other'.* not defined in the pipeline"),
        ],
    )
    def test_parameters_that_do_not_fit_are_refused(self, create, start, values, words):
        size = {"Name": "Size", "Type": "String", "EnumValues": ["s", "m"]}
        create(fail("stop", "x"), parameters=[COUNT, size])

        with pytest.raises(ClientError, match=words) as refusal:
            start(**values)

        assert refusal.value.response["Error"]["Code"] == "ValidationException"

    def test_the_variables_of_an_execution_are_known(self, create, start, ended, steps_of, name):
        variables = ("PipelineName", "PipelineExecutionId", "PipelineArn", "PipelineExecutionArn")
        create(fail("show", joined(*({"Get": f"Execution.{each}"} for each in variables))))

        arn = start()
        ended(arn)

        pipeline, _, execution = arn.partition("/execution/")
        shown = steps_of(arn)["show"]["FailureReason"]
        assert shown == f"{name}/{execution}/{pipeline}/{arn}"

    def test_the_same_token_starts_once(self, create, sagemaker, name):
        create(fail("stop", "x"))
        once = partial(
            sagemaker.start_pipeline_execution, PipelineName=name, ClientRequestToken="t" * 32
        )

        arns = {once()["PipelineExecutionArn"] for _ in range(2)}

        listed = sagemaker.list_pipeline_executions(PipelineName=name)
        assert len(arns) == len(listed["PipelineExecutionSummaries"]) == 1

    def test_executions_and_steps_are_listed_with_the_newest_first(
        self, create, start, ended, sagemaker, name
    ):
        create(condition("one", equal_to(3), then=[fail("two", "x")]), parameters=[COUNT])
        arns = [start(), start()]
        for arn in arns:
            ended(arn)

        executions = sagemaker.list_pipeline_executions(PipelineName=name)
        steps = sagemaker.list_pipeline_execution_steps(PipelineExecutionArn=arns[0])

        listed = executions["PipelineExecutionSummaries"]
        assert [each["PipelineExecutionArn"] for each in listed] == arns[::-1]
        assert "two: x" in listed[0]["PipelineExecutionFailureReason"]
        assert [each["StepName"] for each in steps["PipelineExecutionSteps"]] == ["two", "one"]

    def test_an_execution_keeps_the_definition_it_started_with(
        self, create, start, ended, sagemaker, name
    ):
        create(fail("old", "x"))
        arn = start()
        ended(arn)

        sagemaker.update_pipeline(
            PipelineName=name, PipelineDefinition=definition(fail("new", "x"))
        )

        kept = sagemaker.describe_pipeline_definition_for_execution(PipelineExecutionArn=arn)
        assert kept["PipelineDefinition"] == definition(fail("old", "x"))
        latest = sagemaker.describe_pipeline(PipelineName=name)
        assert latest["PipelineDefinition"] == definition(fail("new", "x"))

    def test_an_error_of_the_emulator_itself_ends_an_execution(
        self, create, start, ended, steps_of, role
    ):
        create(
            processing("sleep", role, "import time; time.sleep(60)"),
            fail("odd", {"Std:JsonGet": {"Path": "of nothing"}}),
        )

        arn = start()

        assert ended(arn)["FailureReason"] == "InternalServerError: KeyError('S3Uri')"
        assert {each["StepStatus"] for each in steps_of(arn).values()} == {"Failed"}

    def test_retrying_is_not_emulated(self, create, start, sagemaker):
        create(fail("stop", "x"))

        with pytest.raises(ClientError, match="RetryPipelineExecution is not emulated"):
            sagemaker.retry_pipeline_execution(PipelineExecutionArn=start())


class TestDefinitions:
    def test_a_pipeline_is_described_listed_and_deleted(self, create, sagemaker, name):
        arn = create(fail("stop", "x"))["PipelineArn"]

        described = sagemaker.describe_pipeline(PipelineName=arn)
        listed = sagemaker.list_pipelines(PipelineNamePrefix=name)["PipelineSummaries"]
        sagemaker.delete_pipeline(PipelineName=name)

        assert described["PipelineStatus"] == "Active"
        assert [each["PipelineName"] for each in listed] == [name]
        with pytest.raises(ClientError, match=f"Pipeline '{arn}' does not exist") as refusal:
            sagemaker.describe_pipeline(PipelineName=name)
        assert refusal.value.response["Error"]["Code"] == "ResourceNotFound"

    def test_a_pipeline_that_runs_cannot_be_deleted(
        self, create, start, ended, role, sagemaker, name
    ):
        create(processing("sleep", role, "import time; time.sleep(60)"))
        arn = start()

        with pytest.raises(ClientError, match="executions that are running") as refusal:
            sagemaker.delete_pipeline(PipelineName=name)

        assert refusal.value.response["Error"]["Code"] == "ConflictException"
        sagemaker.stop_pipeline_execution(PipelineExecutionArn=arn)
        ended(arn)

    def test_a_long_definition_comes_from_s3(self, sagemaker, s3, role, name):
        text = definition(fail("stop", "x"))
        s3.put_object(Bucket=BUCKET, Key=name, Body=text.encode())

        sagemaker.create_pipeline(
            PipelineName=name,
            PipelineDefinitionS3Location={"Bucket": BUCKET, "ObjectKey": name},
            RoleArn=role,
        )

        assert sagemaker.describe_pipeline(PipelineName=name)["PipelineDefinition"] == text

    @pytest.mark.parametrize(
        ("text", "words"),
        [
            ("{", "Unable to parse pipeline definition. It is not JSON"),
            ("[]", "Expecting start of Json Object"),
            (definition(Version="2019"), "Version must be '2020-12-01', got '2019'"),
            (definition(fail("a", "x"), fail("a", "x")), "Step names must be unique"),
            (definition(fail("a b", "x")), "Step name 'a b' must match"),
            (definition({"Name": "a"}), "no or an unusable member 'Type'"),
            (definition(fail("a", "x", DependsOn=["b"])), r"steps that do not exist: \['b'\]"),
            (definition(fail("a", {"Get": "Parameters.B"})), "'Parameters.B', which is not defin"),
            (definition(fail("a", {"Get": "Steps.b.Arn"})), r"steps that do not exist: \['b'\]"),
            (
                definition(fail("a", "x", DependsOn=["b"]), fail("b", "x", DependsOn=["a"])),
                "depend on each other in a cycle: (a -> b -> a|b -> a -> b)",
            ),
            (
                definition({"Name": "a", "Type": "Training", "Arguments": {"Depth": 1}}),
                "Unknown Argument member 'Depth'",
            ),
            (
                definition(condition("a", comparison("About", 1, 2))),
                "Unknown condition type 'About'",
            ),
            (
                definition(condition("a", {"Type": "Not", "Condition": {"Type": "In"}})),
                r"type In has no \['QueryValue', 'Values'\]",
            ),
            (
                definition(processing("a", "r", ""), fail("b", {"Get": "Steps.a.PropertyFiles.c"})),
                "'Steps.a.PropertyFiles.c', which is not defined",
            ),
        ],
    )
    def test_a_definition_that_is_wrong_is_refused(self, sagemaker, role, name, text, words):
        with pytest.raises(ClientError, match=words) as refusal:
            sagemaker.create_pipeline(PipelineName=name, PipelineDefinition=text, RoleArn=role)

        assert refusal.value.response["Error"]["Code"] == "ValidationException"

    def test_a_step_of_another_type_is_not_emulated(self, sagemaker, role, name):
        text = definition({"Name": "call", "Type": "Lambda", "Arguments": {}})

        with pytest.raises(ClientError, match="Lambda of step 'call' is not emulated") as refusal:
            sagemaker.create_pipeline(PipelineName=name, PipelineDefinition=text, RoleArn=role)

        assert refusal.value.response["Error"]["Code"] == "NotEmulated"


class TestSdk:
    @pytest.mark.filterwarnings("ignore:Running within a PipelineSession:UserWarning")
    def test_a_pipeline_of_the_sdk_prepares_tunes_evaluates_and_registers(
        self, sagemaker_session, role, name, tmp_path, ended, steps_of
    ):
        pipeline = sdk_pipeline(sagemaker_session, role, name, tmp_path)

        pipeline.upsert(role_arn=role)
        execution = pipeline.start({"Floor": 0.5})

        described = ended(execution.arn)
        assert described["PipelineExecutionStatus"] == "Succeeded", described
        assert list(steps_of(execution.arn)) == [
            *("prepare", "tune", "evaluate", "check", "register-RegisterModel")
        ]
        assert len(execution.list_steps()) == 5


def sdk_pipeline(session: Any, role: str, name: str, folder: Any) -> Any:
    """Processing, tuning, evaluation of the best model, condition, registration."""
    import sagemaker.processing as p
    from sagemaker.estimator import Estimator
    from sagemaker.inputs import TrainingInput
    from sagemaker.model import Model
    from sagemaker.tuner import ContinuousParameter, HyperparameterTuner
    from sagemaker.workflow.condition_step import ConditionStep
    from sagemaker.workflow.conditions import ConditionGreaterThanOrEqualTo
    from sagemaker.workflow.fail_step import FailStep
    from sagemaker.workflow.functions import Join, JsonGet
    from sagemaker.workflow.model_step import ModelStep
    from sagemaker.workflow.parameters import ParameterFloat
    from sagemaker.workflow.pipeline import Pipeline
    from sagemaker.workflow.pipeline_context import PipelineSession
    from sagemaker.workflow.properties import PropertyFile
    from sagemaker.workflow.steps import ProcessingStep, TuningStep

    (folder / "prepare.py").write_text("open('/opt/ml/processing/train/x', 'w').write('1')")
    (folder / "evaluate.py").write_text(
        "import json, tarfile\n"
        "auc = tarfile.open('/opt/ml/processing/model/model.tar.gz').extractfile('auc').read()\n"
        "json.dump({'auc': float(auc)}, open('/opt/ml/processing/evaluation/e.json', 'w'))\n"
    )
    script = (
        "assert open('/opt/ml/input/data/train/x').read() == '1'; print('auc=' + h['eta']); "
        "open('/opt/ml/model/auc', 'w').write(h['eta'])"
    )
    session = PipelineSession(session.boto_session, default_bucket=BUCKET)
    floor = ParameterFloat("Floor", default_value=0.9)
    machine = {"role": role, "instance_count": 1, "instance_type": "ml.m5.large"}
    processor = p.ScriptProcessor(
        image_uri=IMAGE, command=["python"], sagemaker_session=session, **machine
    )
    prepare = ProcessingStep(
        "prepare",
        step_args=processor.run(
            code=str(folder / "prepare.py"),
            outputs=[p.ProcessingOutput(output_name="train", source="/opt/ml/processing/train")],
        ),
    )
    estimator = Estimator(
        TRAINER_IMAGE,
        output_path=f"s3://{BUCKET}/{name}",
        hyperparameters={"script": script},
        sagemaker_session=session,
        **machine,
    )
    tuner = HyperparameterTuner(
        estimator,
        "auc",
        {"eta": ContinuousParameter(0.6, 0.9)},
        metric_definitions=[{"Name": "auc", "Regex": "auc=([0-9.]+)"}],
        max_jobs=2,
        max_parallel_jobs=2,
    )
    train = prepare.properties.ProcessingOutputConfig.Outputs["train"].S3Output.S3Uri
    tune = TuningStep("tune", step_args=tuner.fit({"train": TrainingInput(train)}))
    best = tune.get_top_model_s3_uri(0, BUCKET, name)
    metrics = PropertyFile("metrics", "evaluation", "e.json")
    evaluate = ProcessingStep(
        "evaluate",
        step_args=processor.run(
            code=str(folder / "evaluate.py"),
            inputs=[p.ProcessingInput(source=best, destination="/opt/ml/processing/model")],
            outputs=[
                p.ProcessingOutput(output_name="evaluation", source="/opt/ml/processing/evaluation")
            ],
        ),
        property_files=[metrics],
    )
    model = Model(IMAGE, best, role=role, sagemaker_session=session)
    register = ModelStep(
        "register",
        step_args=model.register(
            content_types=["text/csv"],
            response_types=["text/csv"],
            inference_instances=["ml.m5.large"],
            transform_instances=["ml.m5.large"],
            model_package_group_name=name,
            approval_status="PendingManualApproval",
        ),
    )
    measured = JsonGet(step_name="evaluate", property_file=metrics, json_path="auc")
    check = ConditionStep(
        "check",
        conditions=[ConditionGreaterThanOrEqualTo(measured, floor)],
        if_steps=[register],
        else_steps=[FailStep("refuse", error_message=Join(" ", ["auc under", floor]))],
    )
    return Pipeline(
        name,
        parameters=[floor],
        steps=[prepare, tune, evaluate, check],
        sagemaker_session=session,
    )
