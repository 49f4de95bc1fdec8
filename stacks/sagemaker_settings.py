"""How the steps of a pipeline become SageMaker jobs, in ZenML's words."""

from typing import Any

from zenml.config import DockerSettings

from platforms.base import JobPlace
from platforms.sagemaker.images import xgboost_image
from stacks.files import DEFAULT, JobFile, SageMakerFile, StackFile

XGBOOST = "3.0-5"  # the container whose XGBoost is the one of requirements.txt
_REQUIREMENTS = "requirements.txt"


def sagemaker_options(sagemaker: SageMakerFile, *, single_job: bool) -> dict[str, Any]:
    """Return the options of a pipeline: the image of its steps, and the jobs that run them.

    A single job for all steps is the default one.
    """
    jobs = {name: _job(sagemaker, job) for name, job in sagemaker.step_jobs.items()}
    settings = {"docker": _image(sagemaker), "orchestrator": jobs.pop(DEFAULT)}
    if single_job:
        return {"settings": settings}
    return {
        "settings": settings,
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
    if sagemaker.image is None:
        return DockerSettings(requirements=_REQUIREMENTS, install_stack_requirements=False)
    return DockerSettings(parent_image=sagemaker.image, skip_build=True)


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
