from typing import Any, ClassVar

import pandas as pd
from zenml.enums import ArtifactType, VisualizationType
from zenml.materializers.base_materializer import BaseMaterializer
from zenml.materializers.materializer_registry import materializer_registry
from zenml.metadata.metadata_types import MetadataType

from bank_marketing import schema
from bank_marketing.dataset import fingerprint

PREVIEW_ROWS = 100


class TableMaterializer(BaseMaterializer):
    """Store a frame as parquet, equal frames under equal cache keys; show its first rows.

    ZenML's own materializer compresses with gzip, which takes ten times as long, and knows no
    content hash, so that the same rows from another file would train another model.
    """

    ASSOCIATED_TYPES: ClassVar[tuple[type[Any], ...]] = (pd.DataFrame,)
    ASSOCIATED_ARTIFACT_TYPE: ClassVar[ArtifactType] = ArtifactType.DATA

    def save(self, data: pd.DataFrame) -> None:
        with self.artifact_store.open(f"{self.uri}/table.parquet", "wb") as file:
            data.to_parquet(file, compression="snappy", index=False)

    def load(self, data_type: type[Any]) -> pd.DataFrame:
        with self.artifact_store.open(f"{self.uri}/table.parquet", "rb") as file:
            return pd.read_parquet(file)

    def compute_content_hash(self, data: pd.DataFrame) -> str:
        return fingerprint(data)

    def extract_metadata(self, data: pd.DataFrame) -> dict[str, MetadataType]:
        metadata: dict[str, MetadataType] = {"rows": len(data), "columns": len(data.columns)}
        if schema.TARGET in data and len(data):
            metadata["positive_share"] = float((data[schema.TARGET] == schema.POSITIVE).mean())
        return metadata

    def save_visualizations(self, data: pd.DataFrame) -> dict[str, VisualizationType]:
        path = f"{self.uri}/first_rows.csv"
        with self.artifact_store.open(path, "w") as file:
            data.head(PREVIEW_ROWS).to_csv(file, index=False)
        return {path: VisualizationType.CSV}


# Any pipeline that was compiled before in this process has ZenML's own registered for frames.
materializer_registry.register_and_overwrite_type(pd.DataFrame, TableMaterializer)
