"""The orchestrator behind the flavor `sagemaker_named`."""

from typing import Any, cast

from zenml.integrations.aws.flavors.sagemaker_orchestrator_flavor import (
    SagemakerOrchestratorSettings,
)
from zenml.integrations.aws.orchestrators import SagemakerOrchestrator
from zenml.models import PipelineSnapshotResponse
from zenml.orchestrators import SubmissionResult

from platforms.sagemaker.names import owner

_LONGEST_OWNER = 39  # what the SageMaker SDK leaves of a job's name before its timestamp


class NamedSageMakerOrchestrator(SagemakerOrchestrator):
    """ZenML's own, which names what it creates after the pipeline alone."""

    def submit_pipeline(
        self, snapshot: PipelineSnapshotResponse, *arguments: Any, **options: Any
    ) -> SubmissionResult | None:
        return super().submit_pipeline(self._named(snapshot), *arguments, **options)

    def submit_dynamic_pipeline(
        self, snapshot: PipelineSnapshotResponse, *arguments: Any, **options: Any
    ) -> SubmissionResult | None:
        return super().submit_dynamic_pipeline(self._named(snapshot), *arguments, **options)

    def _named(self, snapshot: PipelineSnapshotResponse) -> PipelineSnapshotResponse:
        """Return `snapshot` with the owner of the run before the name of the pipeline."""
        settings = cast(SagemakerOrchestratorSettings, self.get_settings(snapshot))
        configuration = snapshot.pipeline_configuration
        name = f"{owner(settings.tags, longest=_LONGEST_OWNER)}-{configuration.name}"
        named = configuration.model_copy(update={"name": name})
        metadata = snapshot.get_metadata().model_copy(update={"pipeline_configuration": named})
        return snapshot.model_copy(update={"metadata": metadata})
