from abc import abstractmethod
from typing import Any, ClassVar

from zenml.enums import ArtifactType, VisualizationType
from zenml.materializers.pydantic_materializer import PydanticMaterializer


class PageMaterializer(PydanticMaterializer):
    """Store a result as readable JSON; show it as an HTML page in the dashboard."""

    ASSOCIATED_ARTIFACT_TYPE: ClassVar[ArtifactType] = ArtifactType.DATA_ANALYSIS
    SKIP_REGISTRATION: ClassVar[bool] = True

    @abstractmethod
    def page(self, data: Any) -> str:
        """Return the HTML document that shows `data`."""

    def save_visualizations(self, data: Any) -> dict[str, VisualizationType]:
        path = f"{self.uri}/page.html"
        with self.artifact_store.open(path, "w") as file:
            file.write(self.page(data))
        return {path: VisualizationType.HTML}
