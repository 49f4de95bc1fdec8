"""Versions of a model, registered as a run does."""

from typing import Any

import mlflow

from bank_marketing.bundle import Bundle
from bank_marketing.dataset import DataOrigin
from bank_marketing.evaluation import Interval
from bank_marketing.experiment import flat_metrics
from platforms.base import ModelRegistry, ModelVersion, PackagePublisher, RunRecord
from registry.versions import Candidate, Registries, register


def publish(
    registry: ModelRegistry,
    bundle: Bundle,
    name: str,
    *,
    publisher: PackagePublisher | None = None,
    judged_against: str = "",
    **changes: Any,
) -> ModelVersion:
    """Register a version as a run does whose test had the metrics and data of `changes`."""
    values = {"data": "uci", "auc": 0.77, "depth": 5, "fingerprint": "b" * 64, **changes}
    data = DataOrigin(
        origin=values["data"],
        uri="https://example.org/table.csv",
        sha256="a" * 64,
        edition="semicolon",
        fingerprint=values["fingerprint"],
        rows=4000,
    )
    test, backtest = (
        Interval(value=auc, low=auc - 0.02, high=auc + 0.02)
        for auc in (values["auc"], values["auc"] - 0.1)
    )
    metrics = {
        **flat_metrics("test", {"roc_auc": test}),
        **flat_metrics("backtest", {"roc_auc": backtest}),
    }
    tags = {
        "zenml_run_id": "12345678-0000-0000-0000-000000000000",
        "zenml_run_name": "training-1",
        "zenml_stack": "bank-marketing-local",
        "data_source": data.origin,
        "data_edition": data.edition,
        "data_sha256": data.sha256,
        "data_fingerprint": data.fingerprint,
        "git_commit": "c" * 40,
        "judged_against": judged_against,
    }
    with mlflow.start_run():
        run = registry.active_run()
        registry.record(
            run,
            RunRecord(
                parameters={"model.max_depth": str(values["depth"]), "split.seed": "42"},
                metrics=metrics,
                tags={},
                data=data,
                pages={},
            ),
        )
        candidate = Candidate(
            bundle,
            run,
            tags=tags,
            metrics=metrics,
            artifact_ids=(),
            pages=lambda version: {"model_card.md": f"# version {version.version}"},
        )
        return register(Registries(registry, publisher), name, candidate)
