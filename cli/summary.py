"""What a training run amounts to, as tables for people and as JSON for programs."""

from typing import Any
from urllib.parse import quote

from rich.markup import escape
from rich.table import Table
from zenml.client import Client
from zenml.enums import ExecutionStatus
from zenml.models import PipelineRunResponse

from bank_marketing.config import Settings
from bank_marketing.errors import PlatformError
from bank_marketing.evaluation import Evaluation, Interval
from bank_marketing.experiment import Registration
from cli.environment import DASHBOARD_STATE
from cli.terminal import console
from platforms.base import ModelNotFoundError
from registry.active import active_registry, tracking_uri
from registry.history import approval
from registry.packages import PACKAGE
from stacks import dashboard
from stacks.billing import BilledJob, billed_jobs, in_usd, total_usd

# The metrics that a person sees at the end of a run; the report and the JSON hold all of them.
SHOWN_METRICS = (
    "roc_auc",
    "pr_auc",
    "log_loss",
    "brier",
    "alift",
    "top_tenth",
    "precision",
    "recall",
    "profit",
)


class DataSummary(Settings):
    """The table of the run; `sha256` is of its bytes, `fingerprint` of its typed content."""

    source: str
    uri: str
    edition: str
    sha256: str
    fingerprint: str
    rows: int
    rejected_rows: int


class DecisionSummary(Settings):
    """What the quality gate said."""

    passed: bool
    failures: tuple[str, ...]


class ModelSummary(Settings):
    """The registered version as it is now; all but the name is empty where the gate said no.

    `package_arn` is that of its model package in SageMaker, on a stack that has one.
    """

    name: str
    version: str = ""
    aliases: tuple[str, ...] = ()
    uri: str = ""
    bundle_uri: str = ""
    bundle_sha256: str = ""
    package_arn: str = ""
    approved: bool = False


class TrainingSummary(Settings):
    """The outcome of one training run; URLs are empty while no dashboard runs."""

    run_id: str
    run_name: str
    run_url: str
    mlflow_run_id: str
    mlflow_run_url: str
    mlflow_uri: str
    report_uri: str
    stack: str
    data: DataSummary
    metrics: dict[str, dict[str, Interval]]
    roc_auc_within_months: float | None
    retrain: str
    threshold: float
    decision: DecisionSummary
    model: ModelSummary
    durations: dict[str, float]
    cached: tuple[str, ...]
    jobs: dict[str, BilledJob]


def summarize(run: PipelineRunResponse, stack: str) -> TrainingSummary:
    """Gather the outcome of a finished run from its artifacts; durations are in seconds."""
    origin = _output(run, "ingest_data", "data_origin")
    report = _output(run, "validate_data", "validation_report")
    evaluation: Evaluation = _output(run, "evaluate_model", "evaluation")
    decision = _output(run, "check_quality_gate", "gate_decision")
    experiment = _output(run, "track_experiment", "experiment")
    registration = _output(run, "register_model", "registration")
    servers = dashboard.running(
        state=DASHBOARD_STATE, zenml_store=Client().zen_store.url, mlflow_uri=tracking_uri()
    )
    backtest = _output(run, "backtest_model", "backtest")
    pages = run.steps["write_report"].outputs["report"][0].visualizations or []

    return TrainingSummary(
        run_id=str(run.id),
        run_name=run.name,
        run_url=dashboard.run_url(servers.zenml_url, run.id, project=run.project.name)
        if servers
        else "",
        mlflow_run_id=experiment.run_id,
        mlflow_run_url=dashboard.mlflow_run_url(
            servers.mlflow_url, experiment_id=experiment.experiment_id, run_id=experiment.run_id
        )
        if servers
        else "",
        mlflow_uri=experiment.tracking_uri,
        report_uri=next((page.uri for page in pages), ""),
        stack=stack,
        data=DataSummary(
            source=origin.origin,
            uri=origin.uri,
            edition=origin.edition,
            sha256=origin.sha256,
            fingerprint=origin.fingerprint,
            rows=origin.rows,
            rejected_rows=report.rejected_rows,
        ),
        metrics={"test": evaluation.metrics, "backtest": backtest.metrics},
        roc_auc_within_months=backtest.roc_auc_within_months,
        retrain=backtest.answer,
        threshold=evaluation.threshold,
        decision=DecisionSummary(passed=decision.passed, failures=decision.failures),
        model=_model(registration),
        durations={
            name: round((step.end_time - step.start_time).total_seconds(), 3)
            for name, step in run.steps.items()
            if step.start_time and step.end_time
        },
        cached=tuple(
            name for name, step in run.steps.items() if step.status == ExecutionStatus.CACHED
        ),
        jobs=billed_jobs(run),
    )


def show_summary(summary: TrainingSummary) -> None:
    """Print metrics, durations, the decision and where to look next."""
    console.print(_metrics_table(summary), _steps_table(summary), sep="\n")
    data = summary.data
    lines = {
        "data": f"{data.source}, {data.rows:,} rows ({data.rejected_rows} rejected), "
        f"sha256 {data.sha256[:12]}",
        "decision": "passed"
        if summary.decision.passed
        else "REJECTED: " + "; ".join(summary.decision.failures),
        "model": _model_line(summary.model),
        **_package_line(summary),
        "retrain": summary.retrain,
        "in a month": _within_months(summary.roc_auc_within_months),
        "report": f"file://{quote(summary.report_uri)}"
        if summary.report_uri.startswith("/")
        else summary.report_uri,
        "ZenML run": summary.run_url
        or f"{summary.run_id} (see it: python run.py dashboard --stack {summary.stack})",
        "MLflow run": summary.mlflow_run_url or summary.mlflow_run_id,
        "MLflow": summary.mlflow_uri,
    }
    for name, text in lines.items():
        console.print(f"[bold]{name:>10}[/bold]  {escape(text)}", soft_wrap=True, highlight=False)


def _metrics_table(summary: TrainingSummary) -> Table:
    table = Table("metric", "test set", "interval", "through time", "interval")
    for name in SHOWN_METRICS:
        row = (summary.metrics[where].get(name) for where in ("test", "backtest"))
        table.add_row(name, *(cell for interval in row for cell in _cells(interval)))
    return table


def _steps_table(summary: TrainingSummary) -> Table:
    columns = ("job", "billed s", "USD") if summary.jobs else ()
    table = Table("step", "seconds", *columns, title=summary.run_name)
    for name, seconds in summary.durations.items():
        table.add_row(
            name,
            "cached" if name in summary.cached else f"{seconds:.1f}",
            *_job_cells(summary.jobs.get(name)),
        )
    for name, job in summary.jobs.items():
        if name not in summary.durations:
            table.add_row(name, "", *_job_cells(job))
    if summary.jobs:
        table.add_section()
        jobs = summary.jobs.values()
        billed_s = sum(job.billed_s for job in jobs)
        table.add_row("total", "", "", f"{billed_s:.0f}", in_usd(total_usd(jobs)))
    return table


def _job_cells(job: BilledJob | None) -> tuple[str, ...]:
    if job is None:
        return ()
    return f"{job.type}, {job.instance_type}", f"{job.billed_s:.0f}", in_usd(job.usd)


def _cells(interval: Interval | None) -> tuple[str, str]:
    if interval is None:
        return "", ""
    return f"{interval.value:.4f}", f"{interval.low:.4f} to {interval.high:.4f}"


def _model_line(model: ModelSummary) -> str:
    if not model.version:
        return f"{model.name}: nothing registered"
    aliases = f" ({', '.join(model.aliases)})" if model.aliases else ""
    return f"{model.name} version {model.version}{aliases}, {model.uri}"


def _package_line(summary: TrainingSummary) -> dict[str, str]:
    model = summary.model
    if not model.package_arn:
        return {}
    options = f"--because TEXT --name {model.name} --stack {summary.stack}"
    approve = f"python run.py model approve {model.version} {options}"
    return {
        "package": model.package_arn + ("" if model.approved else f"; to release it: {approve}")
    }


def _within_months(roc_auc: float | None) -> str:
    if roc_auc is None:
        return "no month has answers of both kinds"
    return (
        f"ROC-AUC is {roc_auc:.3f} between customers of the same month; through time it also "
        "rewards telling good months from bad ones."
    )


def _model(registration: Registration) -> ModelSummary:
    """Look the version up: a cached step tells what it once registered, and aliases move on."""
    if registration.version is None:
        return ModelSummary(name=registration.name)
    registry = active_registry()
    try:
        version = registry.version(registration.name, registration.version)
    except ModelNotFoundError as error:
        raise PlatformError(
            f"version {registration.version} of {registration.name!r}, which this run knows from "
            "the cache, was deleted; run again with `--no-cache`"
        ) from error
    bundle = registry.load(version.name, version.version)
    return ModelSummary(
        name=version.name,
        version=version.version,
        aliases=version.aliases,
        uri=f"models:/{version.name}/{version.version}",
        bundle_uri=version.bundle_uri,
        bundle_sha256=bundle.checksum,
        package_arn=version.tags.get(PACKAGE, ""),
        approved=approval(version) is not None,
    )


def _output(run: PipelineRunResponse, step: str, name: str) -> Any:
    return run.steps[step].outputs[name][0].load()
