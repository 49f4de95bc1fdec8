from typing import Any, ClassVar

from zenml.metadata.metadata_types import MetadataType

from bank_marketing.gate import GateDecision
from materializers.page import PageMaterializer
from reports.gate import render_gate


class GateDecisionMaterializer(PageMaterializer):
    """Show a `GateDecision` with its evidence."""

    ASSOCIATED_TYPES: ClassVar[tuple[type[Any], ...]] = (GateDecision,)

    def page(self, data: GateDecision) -> str:
        return render_gate(data)

    def extract_metadata(self, data: Any) -> dict[str, MetadataType]:
        return {"passed": data.passed, "failures": list(data.failures)}
