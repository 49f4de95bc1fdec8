from dataclasses import asdict
from typing import Any, ClassVar

from zenml.enums import ArtifactType
from zenml.materializers.base_materializer import BaseMaterializer
from zenml.metadata.metadata_types import MetadataType

from bank_marketing.bundle import FILES, Bundle


class BundleMaterializer(BaseMaterializer):
    """Store a model as the three files of its bundle."""

    ASSOCIATED_TYPES: ClassVar[tuple[type[Any], ...]] = (Bundle,)
    ASSOCIATED_ARTIFACT_TYPE: ClassVar[ArtifactType] = ArtifactType.MODEL

    def save(self, data: Bundle) -> None:
        for name, content in data.files().items():
            with self.artifact_store.open(f"{self.uri}/{name}", "wb") as file:
                file.write(content)

    def load(self, data_type: type[Any]) -> Bundle:
        files = {}
        for name in FILES:
            with self.artifact_store.open(f"{self.uri}/{name}", "rb") as file:
                files[name] = file.read()
        return Bundle.from_files(files)

    def compute_content_hash(self, data: Bundle) -> str:
        return data.checksum

    def extract_metadata(self, data: Bundle) -> dict[str, MetadataType]:
        calibration = data.manifest.calibration
        return {
            **asdict(data.manifest),
            "features": len(data.encoder.feature_names),
            "calibration": calibration.method if calibration else "none",
        }
