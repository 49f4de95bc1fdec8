"""ZenML's SageMaker orchestrator, with the project and the user in the names of what it creates."""

from typing import TYPE_CHECKING

from zenml.integrations.aws.flavors import SagemakerOrchestratorFlavor

if TYPE_CHECKING:
    from .sagemaker_named_orchestrator import NamedSageMakerOrchestrator


class NamedSageMakerFlavor(SagemakerOrchestratorFlavor):
    """What ZenML registers under the name `sagemaker_named`."""

    @property
    def name(self) -> str:
        return "sagemaker_named"

    @property
    def display_name(self) -> str:
        return "SageMaker with names"

    @property
    def docs_url(self) -> None:
        """ZenML's pages do not know this flavor."""

    @property
    def sdk_docs_url(self) -> None:
        """ZenML's pages do not know this flavor."""

    @property
    def implementation_class(self) -> "type[NamedSageMakerOrchestrator]":
        from .sagemaker_named_orchestrator import NamedSageMakerOrchestrator  # it takes seconds

        return NamedSageMakerOrchestrator
