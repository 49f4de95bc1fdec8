"""MLflow as tracking server and model registry; the only file that talks to it.

ZenML's own registry component fails with MLflow 3.17 and knows no challenger.
"""

import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

import mlflow
from mlflow import MlflowClient
from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param, RunInfo, RunTag
from mlflow.entities.model_registry import ModelVersion as MlflowModelVersion
from mlflow.exceptions import MlflowException
from mlflow.models import ModelSignature
from mlflow.protos.databricks_pb2 import RESOURCE_DOES_NOT_EXIST, ErrorCode
from mlflow.types import ColSpec, DataType, Schema, TensorSpec
from mlflow.types.schema import AnyType
from mlflow.utils.rest_utils import http_request
from sqlalchemy.exc import SQLAlchemyError

from bank_marketing import schema
from bank_marketing.bundle import SCORING_MODULES, Bundle
from bank_marketing.dataset import DataOrigin
from bank_marketing.encoder import Encoder
from bank_marketing.errors import PlatformError
from platforms.base import (
    ModelNotFoundError,
    ModelVersion,
    RunFacts,
    RunNotFoundError,
    RunRecord,
    TrackedRun,
    TrialRecord,
)

ROOT = Path(__file__).parent.parent
MODEL_CODE = ROOT / "serving" / "mlflow_model.py"
SCORING_PACKAGE = ROOT / "bank_marketing"

BUNDLE = "bundle"
PARENT_TAG = "mlflow.parentRunId"
# As MLflow's own storage of Optuna's studies ends them, so that its users find them.
_TRIAL_STATUS = {"complete": "FINISHED", "pruned": "KILLED", "failed": "FAILED"}
DIGEST_LENGTH = 36  # MLflow's limit for a data set's digest
_IMPATIENT = {"MLFLOW_HTTP_REQUEST_TIMEOUT": "5", "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1"}


def server_version(tracking_uri: str) -> str:
    """Use an MLflow server, and return its version; empty where it does not tell.

    Raises:
        PlatformError: It refuses, or does not answer within seconds.
    """
    with _impatiently(tracking_uri):
        MlflowRegistry(tracking_uri).versions("any")  # a model that is not there has no versions
        store = MlflowClient(tracking_uri)._tracking_client.store
        answer = http_request(  # type: ignore[no-untyped-call]  # MLflow left it so
            store.get_host_creds(), "/version", "GET", raise_on_status=False
        )
    return answer.text.strip() if answer.ok else ""


@contextmanager
def _impatiently(tracking_uri: str) -> Iterator[None]:
    """Let MLflow give up early in the block, and its plugin sign requests for this server."""
    uri, variables = mlflow.get_tracking_uri(), {name: os.environ.get(name) for name in _IMPATIENT}
    mlflow.set_tracking_uri(tracking_uri)
    os.environ |= _IMPATIENT
    try:
        yield
    finally:
        mlflow.set_tracking_uri(uri)
        for name, value in variables.items():
            os.environ.pop(name)
            if value is not None:
                os.environ[name] = value


class MlflowRegistry:
    """The `ModelRegistry` of every stack."""

    def __init__(self, tracking_uri: str) -> None:
        self._tracking_uri = tracking_uri
        with self._translated_errors("open its database"):
            self._client = MlflowClient(tracking_uri)

    @property
    def is_local(self) -> bool:
        return self._tracking_uri.startswith("sqlite:")

    def active_run(self) -> TrackedRun:
        run = mlflow.active_run()
        if run is None:
            raise PlatformError("no MLflow run is open; the step needs the experiment tracker")
        return TrackedRun(
            experiment_id=run.info.experiment_id,
            run_id=run.info.run_id,
            tracking_uri=self._tracking_uri,
        )

    def record(self, run: TrackedRun, record: RunRecord) -> None:
        with self._translated_errors("record the run"):
            # MLflow keeps a metric of another time as another point of its history.
            time = self._client.get_run(run.run_id).info.start_time
            self._client.log_batch(
                run.run_id,
                metrics=[Metric(name, value, time, 0) for name, value in record.metrics.items()],
                params=[Param(name, value) for name, value in record.parameters.items()],
                tags=[RunTag(name, value) for name, value in record.tags.items()],
            )
            self._client.log_inputs(run.run_id, [_dataset_input(record.data)])
        self.add_pages(run, record.pages)

    def add_pages(self, run: TrackedRun, pages: Mapping[str, str]) -> None:
        with self._translated_errors("keep the pages of the run"), TemporaryDirectory() as parent:
            for name, text in pages.items():
                file = Path(parent) / name
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_text(text, encoding="utf-8")
            self._client.log_artifacts(run.run_id, parent)  # at once: one look-up for all

    def record_trials(self, run: TrackedRun, trials: Sequence[TrialRecord]) -> None:
        with self._translated_errors("record the trials"):
            time = self._client.get_run(run.run_id).info.start_time
            children = self._client.search_runs(
                [run.experiment_id], f"tags.{PARENT_TAG} = '{run.run_id}'", max_results=50_000
            )
            known = {child.info.run_name: child.info for child in children}
            for trial in trials:
                child = known.get(trial.name) or self._begin_trial(run, trial, time)
                if child.status == "RUNNING":
                    self._finish_trial(child.run_id, trial, time)

    def run_facts(self, run_id: str) -> RunFacts:
        if not run_id:
            raise RunNotFoundError(run_id)
        with self._translated_errors(f"read run {run_id}"):
            try:
                run = self._client.get_run(run_id)
            except MlflowException as error:
                if _is_missing(error):
                    raise RunNotFoundError(run_id) from error
                raise
        inputs = run.inputs.dataset_inputs if run.inputs else []
        data = inputs[0].dataset if inputs else None
        return RunFacts(
            name=run.info.run_name,
            parameters=run.data.params,
            metrics=run.data.metrics,
            data_uri=json.loads(data.source).get("uri") if data else None,
            data_rows=json.loads(data.profile).get("num_rows") if data and data.profile else None,
        )

    def register(
        self, name: str, bundle: Bundle, run: TrackedRun, tags: Mapping[str, str]
    ) -> ModelVersion:
        with self._translated_errors(f"register {name!r}"), TemporaryDirectory() as parent:
            folder = Path(parent) / BUNDLE  # its name becomes the artifact's
            bundle.save(folder)
            code = _copy_scoring_code(Path(parent))
            logged = mlflow.pyfunc.log_model(
                name=name,
                python_model=str(MODEL_CODE),
                artifacts={BUNDLE: str(folder)},
                code_paths=[str(code)],
                signature=_signature(bundle.encoder),
                input_example=_example(bundle.encoder),
                pip_requirements=_requirements(),
            )
            if not self._client.search_registered_models(f"name = '{name}'"):
                self._client.create_registered_model(name)
            created = self._client.create_model_version(
                name,
                logged.model_uri,
                run_id=run.run_id,
                tags=dict(tags),
                model_id=logged.model_id,
            )
        return self.version(name, str(created.version))

    def versions(self, name: str) -> tuple[ModelVersion, ...]:
        with self._translated_errors(f"list the versions of {name!r}"):
            found = self._client.search_model_versions(f"name = '{name}'")
            aliases = _aliases(self._client, name) if found else {}
            ordered = sorted(found, key=lambda version: int(version.version), reverse=True)
            return tuple(self._model_version(version, aliases) for version in ordered)

    def version(self, name: str, version_or_alias: str) -> ModelVersion:
        for version in self.versions(name):
            if version_or_alias in (version.version, *version.aliases):
                return version
        raise ModelNotFoundError(name, version_or_alias)

    def load(self, name: str, version_or_alias: str) -> Bundle:
        version = self.version(name, version_or_alias)
        with TemporaryDirectory() as parent:
            with self._translated_errors(f"load version {version.version} of {name!r}"):
                folder = mlflow.artifacts.download_artifacts(
                    version.bundle_uri, dst_path=parent, tracking_uri=self._tracking_uri
                )
            return Bundle.load(Path(folder))

    def set_alias(self, name: str, alias: str, version: str) -> None:
        with self._translated_errors(f"set alias {alias!r} of {name!r}"):
            self._client.set_registered_model_alias(name, alias, version)

    def remove_alias(self, name: str, alias: str) -> None:
        with self._translated_errors(f"remove alias {alias!r} of {name!r}"):
            self._client.delete_registered_model_alias(name, alias)

    def tag(self, name: str, version: str, tags: Mapping[str, str]) -> None:
        with self._translated_errors(f"tag version {version} of {name!r}"):
            for key, value in tags.items():
                self._client.set_model_version_tag(name, version, key, value)

    def remove_tag(self, name: str, version: str, key: str) -> None:
        with self._translated_errors(f"remove tag {key!r} of version {version} of {name!r}"):
            self._client.delete_model_version_tag(name, version, key)

    def delete(self, name: str, version: str) -> None:
        with self._translated_errors(f"delete version {version} of {name!r}"):
            try:
                self._client.delete_model_version(name, version)
            except MlflowException as error:
                if not _is_missing(error):
                    raise

    def _begin_trial(self, run: TrackedRun, trial: TrialRecord, time: int) -> RunInfo:
        return self._client.create_run(
            run.experiment_id,
            start_time=time,
            run_name=trial.name,
            tags={PARENT_TAG: run.run_id, "trial_state": trial.state},
        ).info

    def _finish_trial(self, child: str, trial: TrialRecord, time: int) -> None:
        self._client.log_batch(
            child,
            metrics=[Metric(name, value, time, 0) for name, value in trial.metrics.items()],
            params=[Param(name, str(value)) for name, value in trial.parameters.items()],
        )
        self._client.set_terminated(child, _TRIAL_STATUS[trial.state])

    def _model_version(
        self, version: MlflowModelVersion, aliases: Mapping[str, list[str]]
    ) -> ModelVersion:
        created = datetime.fromtimestamp(version.creation_timestamp / 1000, UTC)
        stored = self._client.get_model_version_download_uri(version.name, version.version)
        return ModelVersion(
            name=version.name,
            version=str(version.version),
            aliases=tuple(sorted(aliases.get(str(version.version), []))),
            run_id=version.run_id or "",
            bundle_uri=f"{stored}/artifacts/{BUNDLE}",
            created=created.isoformat(timespec="seconds"),
            tags=dict(version.tags),
        )

    @contextmanager
    def _translated_errors(self, action: str) -> Iterator[None]:
        try:
            yield
        except MlflowException as error:
            raise PlatformError(
                f"MLflow at {self._tracking_uri} could not {action}: {error.message}"
            ) from error
        except SQLAlchemyError as error:  # where MLflow itself is in this process
            reason, *_ = str(error).splitlines()
            raise PlatformError(
                f"MLflow at {self._tracking_uri} could not {action}: {reason}"
            ) from error


def _is_missing(error: MlflowException) -> bool:
    """Say whether MLflow refused because there is no such thing."""
    return bool(error.error_code == ErrorCode.Name(RESOURCE_DOES_NOT_EXIST))


def _dataset_input(data: DataOrigin) -> DatasetInput:
    scheme = data.uri.partition(":")[0]
    source_type = {"https": "http", "http": "http", "s3": "s3", "synthetic": "code"}
    columns = Schema([ColSpec(_data_type(column), column.name) for column in schema.COLUMNS])
    return DatasetInput(
        Dataset(
            name=data.origin,
            digest=data.fingerprint[:DIGEST_LENGTH],
            source_type=source_type.get(scheme, "local"),
            source=json.dumps({"uri": data.uri}),
            schema=json.dumps({"mlflow_colspec": columns.to_dict()}),
            profile=json.dumps({"num_rows": data.rows}),
        ),
        tags=[InputTag("mlflow.data.context", "training")],
    )


def _copy_scoring_code(parent: Path) -> Path:
    copy = parent / SCORING_PACKAGE.name
    copy.mkdir()
    for module in SCORING_MODULES:
        shutil.copy(SCORING_PACKAGE / f"{module}.py", copy)
    return copy


def _signature(encoder: Encoder) -> ModelSignature:
    columns = {column.name: column for column in schema.COLUMNS}
    inputs: list[ColSpec | TensorSpec] = [
        ColSpec(_input_type(columns[name]), name, required=required)
        for names, required in ((encoder.required_columns, True), (encoder.optional_columns, False))
        for name in names
    ]
    outputs = Schema([ColSpec(DataType.double, "probability"), ColSpec(DataType.boolean, "call")])
    return ModelSignature(inputs=Schema(inputs), outputs=outputs)


def _example(encoder: Encoder) -> dict[str, str | float]:
    """Return one plausible row, made up from the schema: no customer's data is published."""
    wanted = {*encoder.required_columns, *encoder.optional_columns}
    return {
        column.name: column.categories[0]
        if isinstance(column, schema.Categorical)
        else (int(column.low) if column.whole else column.low)
        for column in schema.COLUMNS
        if column.name in wanted
    }


def _input_type(column: schema.Categorical | schema.Numeric) -> DataType | AnyType:
    """Leave numbers to the encoder: MLflow's `long` refuses 40.0 and NaN, its `double` 40."""
    if isinstance(column, schema.Categorical):
        return DataType.string
    return AnyType()  # type: ignore[no-untyped-call]  # MLflow left its constructor so


def _data_type(column: schema.Categorical | schema.Numeric) -> DataType:
    if isinstance(column, schema.Categorical):
        return DataType.string
    return DataType.long if column.whole else DataType.double


def _requirements() -> list[str]:
    """Name what scoring needs, so that MLflow does not spend seconds on finding out."""
    from importlib.metadata import version

    return [f"{name}=={version(name)}" for name in ("mlflow", "numpy", "pandas", "xgboost")]


def _aliases(client: MlflowClient, name: str) -> dict[str, list[str]]:
    """Return each version's aliases; MLflow's search does not tell them."""
    aliases: dict[str, list[str]] = {}
    for alias, version in client.get_registered_model(name).aliases.items():
        aliases.setdefault(str(version), []).append(alias)
    return aliases
