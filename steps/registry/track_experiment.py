from typing import Annotated

from zenml import step

from bank_marketing.config import TrainingSettings
from bank_marketing.dataset import DataOrigin
from bank_marketing.evaluation import Evaluation
from bank_marketing.experiment import flat_metrics, flat_settings
from bank_marketing.gate import GateDecision
from bank_marketing.threshold import Threshold
from bank_marketing.validation import ValidationReport
from platforms.base import RunRecord, TrackedRun
from registry.active import active_registry
from registry.lineage import lineage_tags
from reports.evaluation import render_evaluation


@step(experiment_tracker=True)
def track_experiment(
    data_origin: DataOrigin,
    validation_report: ValidationReport,
    threshold: Threshold,
    evaluation: Evaluation,
    decision: GateDecision,
    settings: TrainingSettings,
) -> Annotated[TrackedRun, "experiment"]:
    """Keep parameters, metrics, data and pages of the whole run in one MLflow run."""
    registry = active_registry()
    run = registry.active_run()
    record = RunRecord(
        parameters=flat_settings(settings),
        metrics=flat_metrics(evaluation) | {"threshold": threshold.probability},
        tags=lineage_tags(data_origin)
        | {"gate_passed": str(decision.passed), "gate_failures": "; ".join(decision.failures)},
        data=data_origin,
        pages={
            "reports/evaluation.html": render_evaluation(evaluation),
            "reports/validation.html": validation_report.data_docs,
            "reports/evaluation.json": evaluation.model_dump_json(indent=1),
        },
    )
    registry.record(run, record)
    return run
