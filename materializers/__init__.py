"""How our own types are stored and shown; importing this package registers them with ZenML."""

from materializers.bundle import BundleMaterializer
from materializers.evaluation import EvaluationMaterializer
from materializers.table import TableMaterializer
from materializers.validation_report import ValidationReportMaterializer

__all__ = [
    "BundleMaterializer",
    "EvaluationMaterializer",
    "TableMaterializer",
    "ValidationReportMaterializer",
]
