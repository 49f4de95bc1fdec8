"""The work of `--pipeline training` as a plain script: the same functions and MLflow, no ZenML."""

import sys
from pathlib import Path
from typing import NamedTuple

import mlflow

from bank_marketing.bundle import Bundle
from bank_marketing.config import TrainingSettings
from bank_marketing.dataset import DataOrigin
from bank_marketing.evaluation import Evaluation, evaluate
from bank_marketing.experiment import flat_metrics, flat_settings
from bank_marketing.gate import GateDecision, decide
from bank_marketing.model import labels, train_bundle
from bank_marketing.split import split
from bank_marketing.threshold import choose_threshold
from bank_marketing.validation import ValidationReport, require_passed, validate
from benchmarks.tables import production_settings
from platforms.base import CHALLENGER, RunRecord
from platforms.data_sources import load, locate
from platforms.mlflow_registry import MlflowRegistry
from reports.evaluation import render_evaluation


class Outcome(NamedTuple):
    """What training leaves to be recorded."""

    origin: DataOrigin
    report: ValidationReport
    bundle: Bundle
    evaluation: Evaluation
    decision: GateDecision


def train(choice: str, settings: TrainingSettings, cache: Path) -> Outcome:
    """Read the table that `--data` would name, train on it, and judge the model."""
    source = locate(
        choice,
        synthetic=settings.data.synthetic,
        cache=cache,
        environ={},
        progress=lambda *_: None,
        warn=print,
    )
    table = load(source, cache, progress=lambda *_: None)
    origin = DataOrigin.of(source, table)
    validation = validate(table.frame, settings.validation)
    require_passed(validation.report)
    parts = split(validation.accepted, settings.split)

    bundle = train_bundle(parts.train, parts.validation, settings.features, settings.model)
    threshold = choose_threshold(
        labels(parts.validation), bundle.probability(parts.validation), settings.threshold
    )
    evaluation = evaluate(
        labels(parts.test),
        bundle.probability(parts.test),
        threshold=threshold.probability,
        settings=settings.evaluation,
        costs=settings.threshold,
    )
    bundle = bundle.with_evidence(
        threshold=threshold.probability,
        metrics={name: interval.value for name, interval in evaluation.metrics.items()},
        data_fingerprint=origin.fingerprint,
    )
    decision = decide(evaluation, settings.gate)
    return Outcome(origin, validation.report, bundle, evaluation, decision)


def record(outcome: Outcome, settings: TrainingSettings, folder: Path) -> None:
    """Record the run in the MLflow that lives in `folder`, and register a model that passed."""
    name, evaluation = settings.registry.model_name, outcome.evaluation
    uri = f"sqlite:///{folder / 'mlflow.db'}"
    mlflow.set_tracking_uri(uri)
    if mlflow.get_experiment_by_name(name) is None:
        mlflow.create_experiment(name, artifact_location=(folder / "artifacts").as_uri())
    mlflow.set_experiment(name)

    registry = MlflowRegistry(uri)
    with mlflow.start_run():
        run = registry.active_run()
        registry.record(
            run,
            RunRecord(
                parameters=flat_settings(settings),
                metrics=flat_metrics(evaluation) | {"threshold": evaluation.threshold},
                tags={"gate_passed": str(outcome.decision.passed)},
                data=outcome.origin,
                pages={
                    "reports/evaluation.html": render_evaluation(evaluation),
                    "reports/validation.html": outcome.report.data_docs,
                    "reports/evaluation.json": evaluation.model_dump_json(indent=1),
                },
            ),
        )
        if outcome.decision.passed:
            tags = {"data_source": outcome.origin.origin}
            version = registry.register(name, outcome.bundle, run, tags)
            registry.set_alias(name, CHALLENGER, version.version)


def main() -> None:
    """Train on the table of the first argument; keep everything in the folder of the second."""
    choice, folder = sys.argv[1], Path(sys.argv[2]).resolve()
    settings = production_settings()
    record(train(choice, settings, folder), settings, folder)


if __name__ == "__main__":
    main()
