from typing import Annotated

from zenml import step
from zenml.types import HTMLString

from bank_marketing.backtest import Backtest
from bank_marketing.dataset import DataOrigin
from bank_marketing.evaluation import Evaluation
from bank_marketing.experiment import flat_metrics, tuned_parameters
from bank_marketing.gate import GateDecision
from bank_marketing.threshold import Threshold
from bank_marketing.tuning import Tuning
from bank_marketing.validation import ValidationReport
from platforms.base import RunRecord, TrackedRun, TrialRecord
from registry.active import active_registry
from registry.lineage import lineage_tags
from reports.figures import figures
from reports.gate import render_gate
from reports.tuning import render_tuning


@step(experiment_tracker=True)
def track_experiment(
    data_origin: DataOrigin,
    validation_report: ValidationReport,
    tuning: Tuning,
    threshold: Threshold,
    evaluation: Evaluation,
    backtest: Backtest,
    decision: GateDecision,
    report: HTMLString,
    parameters: dict[str, str],
) -> Annotated[TrackedRun, "experiment"]:
    """Keep parameters, metrics, trials, data and pages of the whole run in one MLflow run."""
    registry = active_registry()
    run = registry.active_run()
    tuning_page = render_tuning(tuning)
    charts = {"report": figures(report), "tuning": figures(tuning_page)}
    record = RunRecord(
        parameters=parameters | tuned_parameters(tuning.model),
        metrics={
            **flat_metrics("test", evaluation.metrics),
            **flat_metrics("backtest", backtest.metrics),
            "threshold": threshold.probability,
        },
        tags=lineage_tags(data_origin)
        | {"gate_passed": str(decision.passed), "gate_failures": "; ".join(decision.failures)},
        data=data_origin,
        pages={
            "reports/report.html": report,
            "reports/tuning.html": tuning_page,
            "reports/gate.html": render_gate(decision),
            "reports/validation.html": validation_report.data_docs,
            "reports/evaluation.json": evaluation.model_dump_json(indent=1),
            **{
                f"figures/{page}/{name}": chart
                for page, found in charts.items()
                for name, chart in found.items()
            },
        },
    )
    registry.record(run, record)
    registry.record_trials(
        run,
        [
            TrialRecord(
                name=f"trial-{trial.number}",
                parameters=trial.hyperparameters,
                metrics={} if trial.value is None else {f"cv_{tuning.metric}": trial.value},
                state=trial.state,
            )
            for trial in tuning.trials
        ],
    )
    return run
