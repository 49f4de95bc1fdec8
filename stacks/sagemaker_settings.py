"""How the steps of a pipeline become SageMaker jobs, in ZenML's words."""

import json
from pathlib import Path
from typing import Any

from zenml.config import DockerSettings

from platforms.base import JobPlace
from platforms.sagemaker.images import xgboost_image
from stacks.files import DEFAULT, JobFile, SageMakerFile, StackFile

XGBOOST = "3.0-5"  # the container whose XGBoost is the one of requirements.txt
_ROOT = Path(__file__).parent.parent
_UPLOADS_OF_MLFLOW = "MLFLOW_S3_UPLOAD_EXTRA_ARGS"


def sagemaker_options(sagemaker: SageMakerFile, *, single_job: bool) -> dict[str, Any]:
    """Return the options of a pipeline: its image, the jobs that run its steps, their variables.

    A single job for all steps is the default one.
    """
    jobs = {name: _job(sagemaker, job) for name, job in sagemaker.step_jobs.items()}
    project = sagemaker.tags["project"]
    options = {
        "settings": {"docker": _image(sagemaker), "orchestrator": jobs.pop(DEFAULT)},
        # Not the user: what is in it decides whether a step is taken from the cache.
        "environment": {_UPLOADS_OF_MLFLOW: json.dumps({"Tagging": f"project={project}"})},
    }
    if single_job:
        return options
    return {
        **options,
        "steps": {name: {"settings": {"orchestrator": job}} for name, job in jobs.items()},
    }


def job_place(stack: StackFile, sagemaker: SageMakerFile) -> JobPlace:
    """Return where the tuning and training jobs run that a step of `stack` submits."""
    orchestrator = stack.components["orchestrator"].config
    job = sagemaker.submitted_job
    return JobPlace(
        region=orchestrator["region"],
        role=orchestrator["execution_role"],
        output_uri=f"{stack.shared_folder}/jobs",
        image=xgboost_image(orchestrator["region"], XGBOOST),
        instance_type=job.instance_type,
        volume_gb=job.volume_gb,
        max_runtime_s=job.max_runtime_s,
        spot=job.spot,
        subnets=sagemaker.subnets,
        security_group_ids=sagemaker.security_group_ids,
        tags=sagemaker.tags,
    )


def _image(sagemaker: SageMakerFile) -> DockerSettings:
    docker = sagemaker.docker
    if docker.dockerfile is None:
        return DockerSettings(parent_image=docker.parent_image, skip_build=True)
    return DockerSettings(
        dockerfile=str(_ROOT / docker.dockerfile),
        build_context_root=str(_ROOT),
        install_stack_requirements=False,
    )


def _job(sagemaker: SageMakerFile, job: JobFile) -> dict[str, Any]:
    return {
        # ZenML's own wait gives up after 50 minutes, and never says why a job failed.
        "synchronous": False,
        "use_training_step": job.type == "training",
        "instance_type": job.instance_type,
        "volume_size_in_gb": job.volume_gb,
        "max_runtime_in_seconds": job.max_runtime_s,
        # None and not 0: zero seconds are refused.
        "keep_alive_period_in_seconds": job.keep_alive_s or None,
        "tags": sagemaker.tags,
        "pipeline_tags": sagemaker.tags,
        **_network_and_spot(sagemaker, job),
    }


def _network_and_spot(sagemaker: SageMakerFile, job: JobFile) -> dict[str, Any]:
    subnets, groups = list(sagemaker.subnets), list(sagemaker.security_group_ids)
    if job.type == "processing":
        network = {"subnets": subnets, "security_group_ids": groups}
        return {"processor_args": {"network_config": network} if subnets else {}}
    arguments: dict[str, Any] = {}
    if subnets:
        arguments |= {"subnets": subnets, "security_group_ids": groups}
    if job.spot:
        arguments |= {"use_spot_instances": True, "max_wait": 2 * job.max_runtime_s}
    return {"estimator_args": arguments}
