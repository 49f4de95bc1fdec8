from typing import Annotated

from zenml import get_step_context, step

from bank_marketing.backtest import Backtest
from bank_marketing.bundle import Bundle
from bank_marketing.config import FeatureSettings, RegistrySettings
from bank_marketing.dataset import DataOrigin
from bank_marketing.evaluation import Evaluation
from bank_marketing.experiment import Registration, flat_metrics
from bank_marketing.gate import GateDecision
from bank_marketing.model_card import ModelCard
from bank_marketing.slices import Slices
from bank_marketing.threshold import Threshold
from bank_marketing.validation import ValidationReport
from platforms.base import ModelVersion, TrackedRun
from registry.active import active_publisher, active_registry
from registry.lineage import lineage_tags
from registry.versions import Candidate, Registries, crown_if_vacant, register
from reports.model_card import markdown_model_card, render_model_card


@step(experiment_tracker=True)
def register_model(
    classifier: Bundle,
    threshold: Threshold,
    evaluation: Evaluation,
    backtest: Backtest,
    slices: Slices,
    decision: GateDecision,
    data_origin: DataOrigin,
    validation_report: ValidationReport,
    experiment: TrackedRun,
    features: FeatureSettings,
    settings: RegistrySettings,
) -> Annotated[Registration, "registration"]:
    """Make a model that passed the gate the challenger in every registry, with its card."""
    if not decision.passed:
        return Registration(
            name=settings.model_name, version=None, refused_because=decision.failures
        )

    bundle = classifier.with_evidence(
        threshold=threshold.probability,
        metrics={name: interval.value for name, interval in evaluation.metrics.items()},
        data_fingerprint=data_origin.fingerprint,
    )

    def pages(version: ModelVersion) -> dict[str, str]:
        card = ModelCard(
            name=version.name,
            version=version.version,
            manifest=bundle.manifest,
            features=features,
            origin=data_origin,
            validation=validation_report,
            evaluation=evaluation,
            backtest=backtest,
            slices=slices,
            decision=decision,
            provenance=version.tags,
        )
        return {
            "model_card.md": markdown_model_card(card),
            "model_card.html": render_model_card(card),
        }

    inputs = get_step_context().inputs
    candidate = Candidate(
        bundle,
        experiment,
        tags=lineage_tags(data_origin),
        metrics=flat_metrics("test", {"roc_auc": evaluation.metrics["roc_auc"]})
        | flat_metrics("backtest", {"roc_auc": backtest.metrics["roc_auc"]}),
        artifact_ids=tuple(inputs[name][0].id for name in ("classifier", "evaluation")),
        pages=pages,
    )
    registry = active_registry()
    registries = Registries(registry, active_publisher())
    version = register(registries, settings.model_name, candidate)
    crown_if_vacant(registry, version)
    return Registration(name=version.name, version=version.version, refused_because=())
