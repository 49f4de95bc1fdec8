"""How our own types are stored and shown; importing this package registers them with ZenML."""

from materializers.bundle import BundleMaterializer
from materializers.gate_decision import GateDecisionMaterializer
from materializers.table import TableMaterializer
from materializers.tuning import TuningMaterializer
from materializers.validation_report import ValidationReportMaterializer

__all__ = [
    "BundleMaterializer",
    "GateDecisionMaterializer",
    "TableMaterializer",
    "TuningMaterializer",
    "ValidationReportMaterializer",
]
