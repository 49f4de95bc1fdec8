from typing import Any, ClassVar

from zenml.metadata.metadata_types import MetadataType

from bank_marketing.tuning import Tuning
from materializers.page import PageMaterializer
from reports.tuning import render_tuning


class TuningMaterializer(PageMaterializer):
    """Show a `Tuning` as history, importances and slices of its trials."""

    ASSOCIATED_TYPES: ClassVar[tuple[type[Any], ...]] = (Tuning,)

    def page(self, data: Tuning) -> str:
        return render_tuning(data)

    def extract_metadata(self, data: Any) -> dict[str, MetadataType]:
        return {"trials": len(data.trials), "resumed": data.resumed, **data.model.model_dump()}
