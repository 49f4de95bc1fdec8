"""A stack file in the words of ZenML's SageMaker orchestrator."""

import pytest

from stacks.files import SageMakerFile, load_stack
from stacks.sagemaker_settings import job_place, sagemaker_options
from tests.unit.test_stack_files import VARIABLES

STACK = load_stack("sagemaker", VARIABLES)


@pytest.fixture
def sagemaker() -> SageMakerFile:
    assert STACK.sagemaker is not None
    return STACK.sagemaker


def with_job(sagemaker: SageMakerFile, **changes: object) -> SageMakerFile:
    job = sagemaker.step_jobs["train_model"].model_copy(update=changes)
    return sagemaker.model_copy(update={"step_jobs": sagemaker.step_jobs | {"train_model": job}})


def orchestrator(options: dict, step: str) -> dict:
    return options["steps"][step]["settings"]["orchestrator"]


def test_most_steps_are_processing_jobs_and_training_is_a_training_job(sagemaker):
    options = sagemaker_options(sagemaker, single_job=False)

    assert options["settings"]["orchestrator"]["use_training_step"] is False
    assert orchestrator(options, "train_model")["use_training_step"] is True


def test_nothing_is_kept_warm_that_nobody_asked_for(sagemaker):
    options = sagemaker_options(sagemaker, single_job=False)
    warm = sagemaker_options(with_job(sagemaker, keep_alive_s=600), single_job=False)

    assert orchestrator(options, "train_model")["keep_alive_period_in_seconds"] is None
    assert orchestrator(warm, "train_model")["keep_alive_period_in_seconds"] == 600


def test_spot_instances_are_waited_for_twice_as_long_as_they_may_run(sagemaker):
    options = sagemaker_options(with_job(sagemaker, spot=True, max_runtime_s=600), single_job=False)

    arguments = orchestrator(options, "train_model")["estimator_args"]
    assert arguments == {"use_spot_instances": True, "max_wait": 1200}


def test_a_network_reaches_both_kinds_of_jobs(sagemaker):
    private = sagemaker.model_copy(
        update={"subnets": ("subnet-1",), "security_group_ids": ("sg-1",)}
    )

    options = sagemaker_options(private, single_job=False)

    network = {"subnets": ["subnet-1"], "security_group_ids": ["sg-1"]}
    processing = options["settings"]["orchestrator"]["processor_args"]
    assert processing == {"network_config": network}
    assert orchestrator(options, "train_model")["estimator_args"] == network


def test_what_is_uploaded_carries_the_project_and_two_users_share_the_cache(sagemaker):
    ann, bob = (
        sagemaker_options(
            sagemaker.model_copy(update={"tags": sagemaker.tags | {"user": user}}), single_job=False
        )
        for user in ("ann", "bob")
    )

    assert ann["environment"] == bob["environment"]
    assert "project=bank-marketing" in ann["environment"]["MLFLOW_S3_UPLOAD_EXTRA_ARGS"]


def test_a_single_job_has_no_jobs_of_steps(sagemaker):
    assert "steps" not in sagemaker_options(sagemaker, single_job=True)


def test_submitted_jobs_run_in_amazons_container_of_the_region(sagemaker):
    place = job_place(STACK, sagemaker)

    assert place.image.endswith(".dkr.ecr.eu-west-1.amazonaws.com/sagemaker-xgboost:3.0-5")
    assert place.output_uri == "s3://bucket/bank-marketing/jobs"
    assert place.role == VARIABLES["SAGEMAKER_ROLE_ARN"]
