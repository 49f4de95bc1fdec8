"""A pipeline of seven steps on ZenML's SageMaker orchestrator; prints what became of it as JSON.

Runs in a folder of its own, which ZenML uploads as the code of the jobs.
"""

import json
import os
import sys
import time
from typing import Annotated, Any

import boto3
import mlflow
import numpy as np
import pandas as pd
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from zenml import pipeline, step
from zenml.client import Client
from zenml.config import DockerSettings
from zenml.enums import StackComponentType
from zenml.integrations.aws.flavors.sagemaker_orchestrator_flavor import (
    SagemakerOrchestratorSettings,
)
from zenml.models import PipelineRunResponse

JOBS = SagemakerOrchestratorSettings(
    instance_type="ml.m5.large", use_training_step=False, synchronous=False
)


@step
def load() -> Annotated[pd.DataFrame, "rows"]:
    """Make a table that a model can learn."""
    generator = np.random.default_rng(0)
    x = generator.normal(size=(2_000, 3))
    y = (x[:, 0] + generator.normal(size=2_000) > 0).astype(int)
    return pd.DataFrame(x, columns=["a", "b", "c"]).assign(y=y)


@step
def validate(rows: pd.DataFrame) -> Annotated[pd.DataFrame, "valid_rows"]:
    """Drop rows with holes."""
    return rows.dropna()


@step
def training_part(rows: pd.DataFrame) -> Annotated[pd.DataFrame, "train_set"]:
    """Keep the first rows for training."""
    return rows.iloc[:1_500]


@step
def test_part(rows: pd.DataFrame) -> Annotated[pd.DataFrame, "test_set"]:
    """Keep the last rows for testing, beside the other branch."""
    return rows.iloc[1_500:]


@step
def train(train_set: pd.DataFrame) -> Annotated[list[float], "weights"]:
    """Fit a line."""
    model = LogisticRegression().fit(train_set[["a", "b", "c"]], train_set["y"])
    return [float(weight) for weight in model.coef_[0]]


@step
def evaluate(weights: list[float], test_set: pd.DataFrame) -> Annotated[float, "roc_auc"]:
    """Score what the line has not seen."""
    scores = test_set[["a", "b", "c"]].to_numpy() @ np.array(weights)
    return float(roc_auc_score(test_set["y"], scores))


@step(experiment_tracker="tracker", enable_cache=False)
def report(roc_auc: float) -> None:
    """Write the figure where people look for it."""
    mlflow.log_metric("roc_auc", roc_auc)
    print(f"roc_auc={roc_auc:.3f}")


@pipeline(enable_cache=False)
def seven_steps() -> None:
    """Two branches that meet."""
    rows = validate(load())
    weights = train(training_part(rows))
    report(evaluate(weights, test_part(rows)))


def register_stack() -> None:
    """Create the stack."""
    bucket = os.environ["SAGEMAKER_BUCKET"]
    orchestrator = {
        "execution_role": os.environ["SAGEMAKER_ROLE_ARN"],
        "region": os.environ["AWS_REGION"],
        "bucket": bucket,
    }
    components = {
        StackComponentType.ARTIFACT_STORE: ("s3", "s3", {"path": f"s3://{bucket}"}),
        StackComponentType.CONTAINER_REGISTRY: (
            "ecr",
            "aws",
            {"uri": os.environ["SAGEMAKER_ECR_REGISTRY"]},
        ),
        StackComponentType.ORCHESTRATOR: ("sagemaker", "sagemaker", orchestrator),
        StackComponentType.EXPERIMENT_TRACKER: (
            "tracker",
            "mlflow",
            {
                "tracking_uri": os.environ["SAGEMAKER_MLFLOW_CUSTOM_ENDPOINT"],
                "tracking_username": "nobody",
                # It is demanded, though the server asks for none.
                "tracking_password": "none",  # pragma: allowlist secret
            },
        ),
        StackComponentType.IMAGE_BUILDER: ("local", "local", {}),
    }
    client = Client()
    made: dict[StackComponentType, Any] = {
        kind: client.create_stack_component(
            name=name, flavor=flavor, component_type=kind, configuration=configuration
        ).id
        for kind, (name, flavor, configuration) in components.items()
    }
    client.create_stack("emulated", components=made)
    client.activate_stack("emulated")


def finished_run() -> tuple[PipelineRunResponse, float, float]:
    """Run the pipeline; return the run, and the seconds of its submission and of the rest."""
    started = time.monotonic()
    image = DockerSettings(parent_image=os.environ["SAGEMAKER_IMAGE"], skip_build=True)
    submitted = seven_steps.with_options(settings={"docker": image, "orchestrator": JOBS})()
    if submitted is None:
        raise RuntimeError("the pipeline did not run")
    submission_s = time.monotonic() - started
    client = Client()
    while not (run := client.get_pipeline_run(submitted.id)).status.is_finished:
        time.sleep(0.25)
    return run, submission_s, time.monotonic() - started


def finished_execution() -> tuple[str, list[dict[str, Any]]]:
    """Return the status of the one execution that SageMaker knows, and its steps."""
    sagemaker = boto3.client("sagemaker")
    (pipeline_,) = sagemaker.list_pipelines()["PipelineSummaries"]
    (execution,) = sagemaker.list_pipeline_executions(PipelineName=pipeline_["PipelineName"])[
        "PipelineExecutionSummaries"
    ]
    arn = execution["PipelineExecutionArn"]
    while (
        status := sagemaker.describe_pipeline_execution(PipelineExecutionArn=arn)[
            "PipelineExecutionStatus"
        ]
    ) == "Executing":
        time.sleep(0.1)  # SageMaker sees the end of the last container a moment after ZenML
    steps = sagemaker.list_pipeline_execution_steps(PipelineExecutionArn=arn)
    return str(status), steps["PipelineExecutionSteps"]


def report_log(steps: list[dict[str, Any]]) -> str:
    """Return what the last step wrote into CloudWatch."""
    (arn,) = [
        each["Metadata"]["ProcessingJob"]["Arn"] for each in steps if each["StepName"] == "report"
    ]
    found = boto3.client("logs").filter_log_events(
        logGroupName="/aws/sagemaker/ProcessingJobs",
        logStreamNamePrefix=arn.rpartition("/")[2],
    )
    return "\n".join(event["message"] for event in found["events"])


def main() -> None:
    register_stack()
    mlflow.set_tracking_uri(os.environ["SAGEMAKER_MLFLOW_CUSTOM_ENDPOINT"])
    run, submission_s, total_s = finished_run()
    execution, steps = finished_execution()
    json.dump(
        {
            "status": run.status.value,
            "steps": {name: each.status.value for name, each in run.steps.items()},
            "roc_auc": run.steps["evaluate"].outputs["roc_auc"][0].load(),
            "execution": execution,
            "execution_steps": {each["StepName"]: each["StepStatus"] for each in steps},
            "log": report_log(steps),
            "mlflow": mlflow.search_runs(search_all_experiments=True)["metrics.roc_auc"][0],
            "submission_s": submission_s,
            "total_s": total_s,
        },
        sys.stdout,
    )


if __name__ == "__main__":
    main()
