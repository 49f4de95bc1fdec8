from typing import Any, ClassVar

from zenml.enums import ArtifactType, VisualizationType
from zenml.materializers.pydantic_materializer import PydanticMaterializer
from zenml.metadata.metadata_types import MetadataType

from bank_marketing.validation import ValidationReport


class ValidationReportMaterializer(PydanticMaterializer):
    """Store a `ValidationReport` as JSON; show its Data Docs page in the dashboard."""

    ASSOCIATED_TYPES: ClassVar[tuple[type[Any], ...]] = (ValidationReport,)
    ASSOCIATED_ARTIFACT_TYPE: ClassVar[ArtifactType] = ArtifactType.DATA_ANALYSIS

    def extract_metadata(self, data: Any) -> dict[str, MetadataType]:
        return {
            "passed": data.passed,
            "rows": data.rows,
            "accepted_rows": data.accepted_rows,
            "rejected_rows": data.rejected_rows,
        }

    def save_visualizations(self, data: Any) -> dict[str, VisualizationType]:
        path = f"{self.uri}/data_docs.html"
        with self.artifact_store.open(path, "w") as file:
            file.write(data.data_docs)
        return {path: VisualizationType.HTML}
