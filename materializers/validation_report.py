from typing import Any, ClassVar

from zenml.metadata.metadata_types import MetadataType

from bank_marketing.validation import ValidationReport
from materializers.page import PageMaterializer


class ValidationReportMaterializer(PageMaterializer):
    """Show a `ValidationReport` as its Data Docs page."""

    ASSOCIATED_TYPES: ClassVar[tuple[type[Any], ...]] = (ValidationReport,)

    def page(self, data: ValidationReport) -> str:
        return data.data_docs

    def extract_metadata(self, data: Any) -> dict[str, MetadataType]:
        return {
            "passed": data.passed,
            "rows": data.rows,
            "accepted_rows": data.accepted_rows,
            "rejected_rows": data.rejected_rows,
        }
