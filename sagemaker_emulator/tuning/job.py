"""A tuning job: training jobs that are chosen, run side by side, and compared."""

import math
import time
import traceback
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from sagemaker_emulator.api.cloud import Cloud, is_active
from sagemaker_emulator.api.errors import ServiceError, ValidationException
from sagemaker_emulator.api.kinds import TRAINING_JOB
from sagemaker_emulator.api.records import Record, now, random_text
from sagemaker_emulator.jobs.handlers import start_job
from sagemaker_emulator.jobs.job import stop_job
from sagemaker_emulator.tuning.search import Hyperparameters, Strategy
from sagemaker_emulator.tuning.trials import Trial, counted

_POLL_S = 0.05
_LONGEST_REASON = 1024
# Members that mean the same to a tuning job's definition and to a training job.
_COMMON = (
    *("AlgorithmSpecification", "RoleArn", "InputDataConfig", "VpcConfig", "OutputDataConfig"),
    *("StoppingCondition", "EnableNetworkIsolation", "EnableInterContainerTrafficEncryption"),
    *("EnableManagedSpotTraining", "CheckpointConfig", "Environment"),
)


class TuningJob:
    """A tuning job, in a thread of its own."""

    def __init__(
        self, cloud: Cloud, record: Record, strategy: Strategy, most: int, *, by_job: bool
    ) -> None:
        self.cloud = cloud
        self.record = record
        self._by_job = by_job
        self._strategy = strategy
        self._most = most
        config = record.fields["HyperParameterTuningJobConfig"]
        self._goal = config["HyperParameterTuningJobObjective"]
        self._limits = config["ResourceLimits"]
        self._trials: list[Trial] = record.fields["Trials"]
        self._learned: set[int] = set()
        self._begin = time.monotonic()
        self._show()

    def run(self) -> None:
        """Run the job to its end; nothing is raised."""
        try:
            while self._advance():
                time.sleep(_POLL_S)
            self._finish()
        except Exception as error:  # the outermost loop: a job must not stay InProgress
            if not isinstance(error, ServiceError):
                traceback.print_exc()
            self._stop_trials()
            for trial in self._trials:
                trial.job.done.wait()
            self._end("Failed", str(error))

    def _advance(self) -> bool:
        """Learn from what has ended and start what may start; return whether to go on."""
        for number, trial in enumerate(self._trials):
            if number not in self._learned and not is_active(trial.job):
                self._learned.add(number)
                self._strategy.learn(number, trial.objective)
        ending = self.record.stopping.is_set() or self._runtime_s > self._limits.get(
            "MaxRuntimeInSeconds", math.inf
        )
        if ending:
            self._stop_trials()
        else:
            self._start_trials()
        self._show()
        return bool(self._active) or not (ending or len(self._trials) >= self._most)

    def _start_trials(self) -> None:
        while (
            len(self._active) < self._limits["MaxParallelTrainingJobs"]
            and len(self._trials) < self._most
        ):
            tuned = self._strategy.propose()
            request = self._training_request(tuned)
            job = start_job(
                self.cloud,
                self.record.region,
                TRAINING_JOB,
                request,
                extra={"TuningJobArn": self.record.arn},
                by_job=self._by_job,
            )
            self._trials.append(Trial(job, tuned, self._goal))

    def _training_request(self, tuned: Hyperparameters) -> dict[str, Any]:
        definition = self.record.fields["TrainingJobDefinition"]
        number = f"{len(self._trials) + 1:03}"
        ending = random_text(8, "0123456789abcdef")
        tags = [{"Key": key, "Value": value} for key, value in self.record.tags.items()]
        return {
            "TrainingJobName": f"{self.record.name}-{number}-{ending}",
            **{name: definition[name] for name in _COMMON if name in definition},
            "ResourceConfig": definition.get("ResourceConfig")
            or definition["HyperParameterTuningResourceConfig"],
            "HyperParameters": {
                **(definition.get("StaticHyperParameters") or {}),
                **tuned,
                "_tuning_objective_metric": self._goal["MetricName"],
            },
            "Tags": tags,
        }

    def _stop_trials(self) -> None:
        for trial in self._active:
            if not trial.job.stopping.is_set():
                with suppress(ValidationException):  # it ended just now
                    stop_job(trial.job)

    def _finish(self) -> None:
        ended = [trial.job.status for trial in self._trials]
        if self.record.stopping.is_set():
            self._end("Stopped")
        elif any(trial.objective is not None for trial in self._trials):
            self._end("Completed")
        elif "Completed" in ended:
            self._end(
                "Failed",
                f"No objective metrics found after running {len(ended)} training jobs. Please "
                "ensure that the custom algorithm is emitting the objective metric as defined by "
                "the regular expression provided.",
            )
        else:
            self._end(
                "Failed",
                f"No training job succeeded after {len(ended)} attempts. Please take a look at "
                "the training job failures to get more details.",
            )

    def _end(self, status: str, reason: str | None = None) -> None:
        self._show()
        self.record.end(
            status,
            HyperParameterTuningEndTime=now(),
            ConsumedResources={"RuntimeInSeconds": math.ceil(self._runtime_s)},
            **({"FailureReason": reason[:_LONGEST_REASON]} if reason else {}),
        )

    def _show(self) -> None:
        self.record.fields |= counted(self._trials, self.record.name)

    @property
    def _active(self) -> Sequence[Trial]:
        return [trial for trial in self._trials if is_active(trial.job)]

    @property
    def _runtime_s(self) -> float:
        return time.monotonic() - self._begin
