"""What a tuning job says of its training jobs, as trials."""

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from bank_marketing.config import TuningSettings
from bank_marketing.tuning import Trial
from platforms.sagemaker.job_requests import TREES_METRIC, fold_metric

Summary = Mapping[str, Any]

_SAID = re.compile(r'ErrorMessage "(?:ValueError: )?(.+?)"\s*Command', re.DOTALL)


def trial_of(
    number: int, summary: Summary, described: Mapping[str, Any], settings: TuningSettings
) -> Trial:
    """Return a training job of a tuning job as the trial that it is.

    Args:
        number: Of the trial, from 0.
        summary: Its HyperParameterTrainingJobSummary.
        described: What DescribeTrainingJob says of it, for what it measured by the way.
        settings: The search that it is part of.
    """
    value = summary.get("FinalHyperParameterTuningJobObjectiveMetric", {}).get("Value")
    complete = summary["TrainingJobStatus"] == "Completed" and value is not None
    measured = {
        each["MetricName"]: each["Value"] for each in described.get("FinalMetricDataList", [])
    }
    folds = [measured.get(fold_metric(fold)) for fold in range(settings.folds)]
    trees = measured.get(TREES_METRIC)
    return Trial(
        number=number,
        state="complete" if complete else "failed",
        hyperparameters=_hyperparameters(summary["TunedHyperParameters"], settings),
        value=value if complete else None,
        fold_values=tuple(folds) if complete and None not in folds else (),
        trees=round(trees) if complete and trees is not None else None,
        seconds=_seconds(summary),
        error=None if complete else _error(summary),
    )


def _hyperparameters(texts: Mapping[str, str], settings: TuningSettings) -> dict[str, int | float]:
    return {
        each.name: int(texts[each.name]) if each.type == "int" else float(texts[each.name])
        for each in settings.search_space
    }


def _seconds(summary: Summary) -> float:
    """Return how long the job trained; one that never began, not at all."""
    start: datetime | None = summary.get("TrainingStartTime")
    end: datetime | None = summary.get("TrainingEndTime")
    return (end - start).total_seconds() if start and end else 0.0


def _error(summary: Summary) -> str:
    status = summary["TrainingJobStatus"]
    if status == "Completed":
        return f"training job {summary['TrainingJobName']} printed no value of the metric"
    reason = summary.get("FailureReason")
    return in_short(reason) if reason else f"training job {summary['TrainingJobName']} {status}"


def in_short(reason: str) -> str:
    """Return what a script said last, of a FailureReason that also repeats its command."""
    said = _SAID.search(reason)
    return said[1] if said else reason
