"""The orchestrator behind the flavor `sagemaker_named`."""

from typing import Any, cast

from zenml.integrations.aws.flavors.sagemaker_orchestrator_flavor import (
    SagemakerOrchestratorSettings,
)
from zenml.integrations.aws.orchestrators import SagemakerOrchestrator
from zenml.metadata.metadata_types import MetadataType
from zenml.models import PipelineSnapshotResponse
from zenml.orchestrators import SubmissionResult

from bank_marketing.errors import PlatformError
from platforms.sagemaker.executions import SageMakerExecutions
from platforms.sagemaker.names import owner

_LONGEST_OWNER = 39  # what the SageMaker SDK leaves of a job's name before its timestamp


class NamedSageMakerOrchestrator(SagemakerOrchestrator):
    """ZenML's own, which names what it creates after the pipeline alone, and leaves it running."""

    _begun: str | None = None

    def run(self, *arguments: Any, **options: Any) -> None:
        """Submit a run; what SageMaker has begun of it is stopped if ZenML then does not take it.

        Raises:
            PlatformError: It could not be stopped.
        """
        self._begun = None
        try:
            super().run(*arguments, **options)
        except BaseException:
            if self._begun:
                _stop(self._begun)
            raise

    def compute_metadata(
        self, execution_arn: str, settings: SagemakerOrchestratorSettings
    ) -> dict[str, MetadataType]:
        self._begun = execution_arn
        return super().compute_metadata(execution_arn, settings)

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


def _stop(arn: str) -> None:
    try:
        SageMakerExecutions().stop(arn)
    except PlatformError as error:
        raise PlatformError(
            f"SageMaker runs what ZenML does not know of, and bills it until you stop it: {error}"
        ) from error
