"""Training and tuning in SageMaker jobs: rows go out, a model or trials come back."""

import hashlib
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, TypeVar

import pandas as pd
from numpy.typing import NDArray

from bank_marketing.bundle import Bundle
from bank_marketing.config import FeatureSettings, ModelSettings, TuningSettings
from bank_marketing.errors import PlatformError
from bank_marketing.folds import fold_rows, impatient, with_missing_zeros
from bank_marketing.model import EncodedRows, bundle_of, encode
from bank_marketing.search import TuningProgress
from bank_marketing.tuning import Trial, Tuning, require_legal, tuning_of
from platforms.base import JobPlace, TrainingAlgorithm
from platforms.patience import Patience, patiently
from platforms.sagemaker.job_files import (
    csv_rows,
    download_booster,
    packed_code,
    packed_rows,
    upload,
)
from platforms.sagemaker.job_requests import (
    Channel,
    hyperparameters,
    script_hyperparameters,
    training_request,
    tuning_request,
)
from platforms.sagemaker.jobs import (
    DEFAULT_PATIENCE,
    TRAINING,
    TUNING,
    Described,
    Jobs,
    Kind,
    Request,
)
from platforms.sagemaker.names import name_of
from platforms.sagemaker.trials import Summary, in_short, trial_of

_T = TypeVar("_T")


class SageMakerTrainingJobs:
    """Runs jobs at `place` through clients of SageMaker and S3.

    `began` is called with the ARN of each job that is waited for, before it is.
    """

    def __init__(
        self,
        place: JobPlace,
        sagemaker: Any,
        s3: Any,
        patience: Patience = DEFAULT_PATIENCE,
        began: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._place = place.model_copy(update={"output_uri": place.output_uri.rstrip("/")})
        self._training = Jobs(sagemaker, TRAINING, patience, began)
        self._tuning = Jobs(sagemaker, TUNING, patience, began)
        self._s3_client = s3
        self._patience = patience

    def train(
        self,
        train_set: pd.DataFrame,
        validation_set: pd.DataFrame,
        features: FeatureSettings,
        model: ModelSettings,
        algorithm: TrainingAlgorithm,
    ) -> Bundle:
        """See `TrainingJobs.train`."""
        sets = {
            "train": encode(train_set, features),
            "validation": encode(validation_set, features),
        }
        parameters = hyperparameters(model)
        if algorithm == "script":
            parameters |= script_hyperparameters(self._code())
            channels = [self._rows(name, **rows._asdict()) for name, rows in sets.items()]
        else:
            channels = [self._csv(name, rows) for name, rows in sets.items()]
        request = training_request(self._place, parameters, channels)
        stem = self._stem(TRAINING, request)
        if self._place.spot:
            request |= self._checkpoints(stem)
        ended = self._training.run(stem, request)
        if ended["TrainingJobStatus"] != "Completed":
            raise PlatformError(self._ended_badly(ended))
        booster = self._s3(
            partial(download_booster, uri=ended["ModelArtifacts"]["S3ModelArtifacts"])
        )
        return bundle_of(booster, features, model)

    def tune(
        self,
        train_set: pd.DataFrame,
        features: FeatureSettings,
        model: ModelSettings,
        settings: TuningSettings,
        progress: Callable[[TuningProgress], None],
    ) -> Tuning:
        """See `TrainingJobs.tune`."""
        require_legal(settings.search_space, model)
        rows = fold_rows(train_set, features, folds=settings.folds, seed=settings.seed)
        channel = self._rows(
            "folds",
            features=with_missing_zeros(rows.features),
            labels=rows.labels,
            fold=rows.fold,
        )
        parameters = hyperparameters(impatient(model)) | script_hyperparameters(self._code())
        request = tuning_request(self._place, parameters, channel, settings)
        stem = self._stem(TUNING, request)
        if self._place.spot:
            request["TrainingJobDefinition"] |= self._checkpoints(stem)
        ended = self._tuning.run(stem, request, _Told(settings, progress))
        name = ended["HyperParameterTuningJobName"]
        trials = tuple(self._trials(name, settings))
        if trials and all(trial.state == "failed" for trial in trials):
            raise PlatformError(
                f"tuning job {name!r}: none of its {len(trials)} training jobs succeeded; "
                f"the first: {trials[0].error}"
            )
        if not trials and ended["HyperParameterTuningJobStatus"] == "Failed":
            raise PlatformError(f"tuning job {name!r} failed: {ended.get('FailureReason')}")
        return tuning_of(name, model, settings, trials=trials, resumed=0)

    def _trials(self, name: str, settings: TuningSettings) -> Iterator[Trial]:
        """Return the training jobs of a tuning job, in the order in which they began."""
        for number, summary in enumerate(self._summaries(name)):
            described = self._training.describe(summary["TrainingJobName"])
            yield trial_of(number, summary, described, settings)

    def _summaries(self, name: str) -> Iterator[Summary]:
        more: dict[str, str] = {}
        while True:
            page = self._tuning.call(
                "list_training_jobs_for", name, SortBy="CreationTime", SortOrder="Ascending", **more
            )
            yield from page["TrainingJobSummaries"]
            if not page.get("NextToken"):
                return
            more = {"NextToken": page["NextToken"]}

    def _stem(self, kind: Kind, request: Request) -> str:
        return name_of(self._place.tags, request, longest=kind.longest_stem)

    def _code(self) -> str:
        return self._object("code", "sourcedir.tar.gz", packed_code())

    def _rows(self, name: str, **arrays: NDArray[Any]) -> Channel:
        uri = self._object(f"input/{name}", "rows.npz", packed_rows(**arrays))
        return Channel(name, uri.rpartition("/")[0] + "/")

    def _csv(self, name: str, rows: EncodedRows) -> Channel:
        uri = self._object(f"input/{name}", "rows.csv", csv_rows(rows.features, rows.labels))
        return Channel(name, uri.rpartition("/")[0] + "/", "text/csv")

    def _object(self, folder: str, name: str, content: bytes) -> str:
        """Keep content under an address that is made from it, which is returned."""
        digest = hashlib.sha256(content).hexdigest()[:16]
        uri = f"{self._place.output_uri}/{folder}/{digest}/{name}"
        self._s3(partial(upload, uri=uri, content=content, tags=self._place.tags))
        return uri

    def _s3(self, work: Callable[[Any], _T]) -> _T:
        return patiently(partial(work, self._s3_client), self._patience)

    def _checkpoints(self, stem: str) -> dict[str, Any]:
        """Say where the next spot instance finds what an interrupted one had done."""
        return {"CheckpointConfig": {"S3Uri": f"{self._place.output_uri}/checkpoints/{stem}"}}

    def _ended_badly(self, ended: Described) -> str:
        name, status = ended["TrainingJobName"], ended["TrainingJobStatus"].lower()
        if ended.get("SecondaryStatus") in ("MaxRuntimeExceeded", "MaxWaitTimeExceeded"):
            return (
                f"training job {name!r} was stopped after {self._place.max_runtime_s} s; raise "
                "submitted_job.max_runtime_s of the stack"
            )
        reason = in_short(ended.get("FailureReason", "no reason is given"))
        return f"training job {name!r} {status}: {reason}"


class _Told:
    """Reports the descriptions of a tuning job as progress."""

    def __init__(
        self, settings: TuningSettings, progress: Callable[[TuningProgress], None]
    ) -> None:
        self._settings = settings
        self._progress = progress
        self._start_s = time.monotonic()

    def __call__(self, described: Described) -> None:
        counters = described["TrainingJobStatusCounters"]
        finished = sum(counters[status] for status in ("Completed", "NonRetryableError", "Stopped"))
        best = described.get("BestTrainingJob", {})
        metric = best.get("FinalHyperParameterTuningJobObjectiveMetric", {})
        elapsed = time.monotonic() - self._start_s
        to_do = max(0, self._settings.trials - finished)
        left = self._settings.timeout_s - elapsed
        self._progress(
            TuningProgress(
                finished=finished,
                trials=self._settings.trials,
                best_value=metric.get("Value"),
                seconds_left=max(0.0, min(left, elapsed / finished * to_do)) if finished else None,
            )
        )
