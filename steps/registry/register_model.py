from typing import Annotated

from zenml import get_step_context, step

from bank_marketing.bundle import Bundle
from bank_marketing.config import RegistrySettings
from bank_marketing.dataset import DataOrigin
from bank_marketing.evaluation import Evaluation
from bank_marketing.experiment import Registration
from bank_marketing.gate import GateDecision
from bank_marketing.threshold import Threshold
from platforms.base import TrackedRun
from registry.active import active_registry
from registry.lineage import lineage_tags
from registry.versions import crown_if_vacant, register


@step(experiment_tracker=True)
def register_model(
    classifier: Bundle,
    threshold: Threshold,
    evaluation: Evaluation,
    decision: GateDecision,
    data_origin: DataOrigin,
    experiment: TrackedRun,
    settings: RegistrySettings,
) -> Annotated[Registration, "registration"]:
    """Make a model that passed the gate the challenger in every registry."""
    if not decision.passed:
        return Registration(
            name=settings.model_name, version=None, refused_because=decision.failures
        )

    bundle = classifier.with_evidence(
        threshold=threshold.probability,
        metrics={name: interval.value for name, interval in evaluation.metrics.items()},
        data_fingerprint=data_origin.fingerprint,
    )
    inputs = get_step_context().inputs
    registry = active_registry()
    version = register(
        registry,
        settings.model_name,
        bundle,
        experiment,
        tags=lineage_tags(data_origin),
        artifact_ids=tuple(inputs[name][0].id for name in ("classifier", "evaluation")),
    )
    crown_if_vacant(registry, version)
    return Registration(name=version.name, version=version.version, refused_because=())
