"""Hyperparameter tuning jobs as the API knows them."""

from sagemaker_emulator.api.cloud import Call, Cloud, Fields, Handler
from sagemaker_emulator.api.errors import NotEmulated, ValidationException
from sagemaker_emulator.api.kinds import TUNING_JOB
from sagemaker_emulator.api.records import cut
from sagemaker_emulator.jobs.algorithms import with_metrics
from sagemaker_emulator.jobs.job import stop_job
from sagemaker_emulator.tuning.job import TuningJob
from sagemaker_emulator.tuning.search import chosen

_OWN = ("TrainingJobDefinitions", "WarmStartConfig", "Autotune")


def _create(cloud: Cloud, call: Call) -> Fields:
    request = call.request
    _require_emulated(request)
    config, definition = request["HyperParameterTuningJobConfig"], request["TrainingJobDefinition"]
    specification = with_metrics(definition["AlgorithmSpecification"])
    goal = config["HyperParameterTuningJobObjective"]
    if goal["MetricName"] not in [
        each["Name"] for each in specification.get("MetricDefinitions") or []
    ]:
        raise ValidationException(
            "A metric is required for this hyperparameter tuning job objective. Provide a metric "
            "in the metric definitions."
        )
    cloud.require_role(definition["RoleArn"], call.region)
    strategy, most = chosen(config)
    record = cloud.records.create(
        TUNING_JOB,
        call.region,
        request[TUNING_JOB.name],
        {
            "HyperParameterTuningJobConfig": config,
            "TrainingJobDefinition": {**definition, "AlgorithmSpecification": specification},
            "Strategy": config["Strategy"],
            "ResourceLimits": config["ResourceLimits"],
            "Trials": [],
        },
        tags=request.get("Tags"),
    )
    record.set_status("InProgress")
    cloud.run(TuningJob(cloud, record, strategy, most, by_job=call.by_job).run)
    return record.fields


def _require_emulated(request: Fields) -> None:
    config = request["HyperParameterTuningJobConfig"]
    for member in _OWN:
        if request.get(member):
            raise NotEmulated(f"tuning with {member}")
    if config["Strategy"] == "Hyperband":
        raise NotEmulated("the tuning strategy Hyperband")
    if config.get("TuningJobCompletionCriteria"):
        raise NotEmulated("tuning with TuningJobCompletionCriteria")
    definition = request.get("TrainingJobDefinition")
    if not definition or "HyperParameterTuningJobObjective" not in config:
        raise ValidationException(
            "A TrainingJobDefinition and a HyperParameterTuningJobObjective are required."
        )
    resources = definition.get("HyperParameterTuningResourceConfig") or {}
    if "InstanceConfigs" in resources:
        raise NotEmulated("tuning on several instance types")
    if not resources and "ResourceConfig" not in definition:
        raise ValidationException("A ResourceConfig is required.")


def _stop(cloud: Cloud, call: Call) -> Fields:
    stop_job(cloud.records.get(TUNING_JOB, call.region, call.request[TUNING_JOB.name]))
    return {}


def _list_training_jobs(cloud: Cloud, call: Call) -> Fields:
    request = call.request
    record = cloud.records.get(TUNING_JOB, call.region, request[TUNING_JOB.name])
    wanted, by = request.get("StatusEquals"), request.get("SortBy", "Name")
    trials = [
        trial
        for trial in record.fields["Trials"]
        if wanted in (None, trial.job.status)
        and (by != "FinalObjectiveMetricValue" or trial.objective is not None)
    ]
    keys = {
        "Name": lambda trial: trial.job.name,
        "CreationTime": lambda trial: trial.job.fields["CreationTime"],
        "Status": lambda trial: trial.job.status,
        "FinalObjectiveMetricValue": lambda trial: trial.objective,
    }
    trials.sort(key=keys[by], reverse=request.get("SortOrder") == "Descending")
    found, token = cut(trials, request)
    summaries = [trial.summary(record.name) for trial in found]
    return {"TrainingJobSummaries": summaries, "NextToken": token}


OPERATIONS: dict[str, Handler] = {
    "CreateHyperParameterTuningJob": _create,
    "StopHyperParameterTuningJob": _stop,
    "ListTrainingJobsForHyperParameterTuningJob": _list_training_jobs,
}
