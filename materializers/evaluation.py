from typing import Any, ClassVar

from zenml.enums import ArtifactType, VisualizationType
from zenml.materializers.pydantic_materializer import PydanticMaterializer
from zenml.metadata.metadata_types import MetadataType

from bank_marketing.evaluation import Evaluation
from reports.evaluation import render_evaluation


class EvaluationMaterializer(PydanticMaterializer):
    """Store an `Evaluation` as readable JSON; show it as an HTML page in the dashboard."""

    ASSOCIATED_TYPES: ClassVar[tuple[type[Any], ...]] = (Evaluation,)
    ASSOCIATED_ARTIFACT_TYPE: ClassVar[ArtifactType] = ArtifactType.DATA_ANALYSIS

    def extract_metadata(self, data: Any) -> dict[str, MetadataType]:
        return {name: interval.value for name, interval in data.metrics.items()}

    def save_visualizations(self, data: Any) -> dict[str, VisualizationType]:
        path = f"{self.uri}/evaluation.html"
        with self.artifact_store.open(path, "w") as file:
            file.write(render_evaluation(data))
        return {path: VisualizationType.HTML}
