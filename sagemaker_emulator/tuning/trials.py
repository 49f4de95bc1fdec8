"""The training jobs of a tuning job, and how well each did."""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sagemaker_emulator.api.cloud import Fields, is_active
from sagemaker_emulator.api.records import Record
from sagemaker_emulator.tuning.search import Hyperparameters


@dataclass(frozen=True)
class Trial:
    """A training job of a tuning job, and what was chosen for it."""

    job: Record
    tuned: Hyperparameters
    goal: Fields

    @property
    def objective(self) -> float | None:
        """The last value of the objective metric, once the job has ended without failing."""
        if is_active(self.job) or self.job.status == "Failed":
            return None
        metrics = self.job.fields.get("FinalMetricDataList") or []
        values = [
            each["Value"] for each in metrics if each["MetricName"] == self.goal["MetricName"]
        ]
        return values[0] if values and math.isfinite(values[0]) else None

    @property
    def objective_status(self) -> str:
        if is_active(self.job):
            return "Pending"
        return "Failed" if self.objective is None else "Succeeded"

    def summary(self, tuning_job: str) -> dict[str, Any]:
        """Return the members of a HyperParameterTrainingJobSummary."""
        value = self.objective
        metric = {} if value is None else {**self.goal, "Value": value}
        return {
            **self.job.fields,
            "TuningJobName": tuning_job,
            "TunedHyperParameters": self.tuned,
            "FinalHyperParameterTuningJobObjectiveMetric": metric or None,
            "ObjectiveStatus": self.objective_status,
        }


def best_trial(trials: Sequence[Trial]) -> Trial | None:
    """Return the trial whose objective is best; none if no trial has one."""
    rated = [(trial.objective, trial) for trial in trials if trial.objective is not None]
    if not rated:
        return None
    choose = max if rated[0][1].goal["Type"] == "Maximize" else min
    return choose(rated, key=lambda each: each[0])[1]


def counted(trials: Sequence[Trial], tuning_job: str) -> dict[str, Any]:
    """Return what the description of a tuning job says of its training jobs."""
    statuses = Counter(trial.job.status for trial in trials)
    objectives = Counter(trial.objective_status for trial in trials)
    best = best_trial(trials)
    return {
        "TrainingJobStatusCounters": {
            "Completed": statuses["Completed"],
            "InProgress": statuses["InProgress"] + statuses["Stopping"],
            "RetryableError": 0,
            "NonRetryableError": statuses["Failed"],
            "Stopped": statuses["Stopped"],
        },
        "ObjectiveStatusCounters": {
            status: objectives[status] for status in ("Succeeded", "Pending", "Failed")
        },
        "BestTrainingJob": best and best.summary(tuning_job),
    }
