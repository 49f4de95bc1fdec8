"""The work of `--pipeline training` as a plain script: the same functions and MLflow, no ZenML."""

import sys
from pathlib import Path
from typing import NamedTuple

import mlflow

from bank_marketing.backtest import backtest
from bank_marketing.bundle import Bundle
from bank_marketing.calibration import calibrate
from bank_marketing.config import TrainingSettings
from bank_marketing.dataset import DataOrigin
from bank_marketing.evaluation import evaluate
from bank_marketing.experiment import flat_metrics, flat_settings
from bank_marketing.explanation import explain
from bank_marketing.gate import decide
from bank_marketing.model import labels, train_bundle
from bank_marketing.slices import slice_report
from bank_marketing.split import split
from bank_marketing.threshold import choose_threshold
from bank_marketing.tuning import tune
from bank_marketing.validation import require_passed, validate
from benchmarks.tables import production_settings
from platforms.base import CHALLENGER, RunRecord
from platforms.data_sources import load, locate
from platforms.mlflow_registry import MlflowRegistry
from reports.backtest import backtest_section
from reports.explanation import explanation_section
from reports.gate import gate_section, render_gate
from reports.run_report import render_run_report
from reports.slices import slices_section
from reports.tuning import render_tuning


class Outcome(NamedTuple):
    """What training leaves to be recorded."""

    bundle: Bundle
    passed: bool
    record: RunRecord


def train(choice: str, settings: TrainingSettings, folder: Path) -> Outcome:
    """Read the table that `--data` would name, train on it, and judge the model."""
    source = locate(
        choice,
        synthetic=settings.data.synthetic,
        cache=folder,
        environ={},
        progress=lambda *_: None,
        warn=print,
    )
    table = load(source, folder, progress=lambda *_: None)
    origin = DataOrigin.of(source, table)
    validation = validate(table.frame, settings.validation)
    require_passed(validation.report, page="")
    parts = split(validation.accepted, settings.split)

    tuning = tune(
        parts.train,
        settings.features,
        settings.model,
        settings.tuning,
        study_folder=folder,
        progress=lambda _: None,
    )
    bundle = train_bundle(parts.train, parts.validation, settings.features, tuning.model)
    bundle, _ = calibrate(bundle, parts.validation, settings.calibration)
    threshold = choose_threshold(
        labels(parts.validation), bundle.probability(parts.validation), settings.threshold
    ).probability

    truth, scores = labels(parts.test), bundle.probability(parts.test)
    evaluation = evaluate(
        truth,
        scores,
        threshold=threshold,
        settings=settings.evaluation,
        costs=settings.threshold,
    )
    slices = slice_report(
        parts.test,
        truth,
        scores,
        threshold=threshold,
        settings=settings.slices,
        evaluation=settings.evaluation,
    )
    reasons = explain(
        bundle, parts.test, truth, threshold=threshold, **settings.explanation.model_dump()
    )
    replay = backtest(
        validation.accepted,
        settings.features,
        tuning.model,
        settings.backtest,
        settings.evaluation,
        settings.split,
    )
    decision = decide(evaluation, replay, None, origin, settings.gate, only_here=True)
    report = render_run_report(
        evaluation,
        gate_section(decision),
        backtest_section(replay),
        slices_section(slices),
        explanation_section(reasons),
    )
    return Outcome(
        bundle.with_evidence(
            threshold=threshold,
            metrics={name: interval.value for name, interval in evaluation.metrics.items()},
            data_fingerprint=origin.fingerprint,
        ),
        decision.passed,
        RunRecord(
            parameters=flat_settings(settings),
            metrics=flat_metrics("test", evaluation.metrics)
            | flat_metrics("backtest", replay.metrics),
            tags={"gate_passed": str(decision.passed)},
            data=origin,
            pages={
                "reports/report.html": report,
                "reports/tuning.html": render_tuning(tuning),
                "reports/gate.html": render_gate(decision),
                "reports/validation.html": validation.report.data_docs,
            },
        ),
    )


def record(outcome: Outcome, settings: TrainingSettings, folder: Path) -> None:
    """Record the run in the MLflow that lives in `folder`, and register a model that passed."""
    name = settings.registry.model_name
    uri = f"sqlite:///{folder / 'mlflow.db'}"
    mlflow.set_tracking_uri(uri)
    if mlflow.get_experiment_by_name(name) is None:
        mlflow.create_experiment(name, artifact_location=(folder / "artifacts").as_uri())
    mlflow.set_experiment(name)

    registry = MlflowRegistry(uri)
    with mlflow.start_run():
        run = registry.active_run()
        registry.record(run, outcome.record)
        if outcome.passed:
            tags = {"data_source": outcome.record.data.origin}
            version = registry.register(name, outcome.bundle, run, tags)
            registry.set_alias(name, CHALLENGER, version.version)


def main() -> None:
    """Train on the table of the first argument; keep everything in the folder of the second."""
    choice, folder = sys.argv[1], Path(sys.argv[2]).resolve()
    settings = production_settings()
    record(train(choice, settings, folder), settings, folder)


if __name__ == "__main__":
    main()
