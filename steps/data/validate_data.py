from typing import Annotated

import pandas as pd
from zenml import save_artifact, step

from bank_marketing.config import ValidationSettings
from bank_marketing.validation import ValidationReport, require_passed, validate


@step
def validate_data(
    data: pd.DataFrame, unreadable: pd.DataFrame, settings: ValidationSettings
) -> tuple[
    Annotated[ValidationReport, "validation_report"],
    Annotated[pd.DataFrame, "accepted_rows"],
    Annotated[pd.DataFrame, "rejected_rows"],
]:
    """Hold every row against the schema; set bad ones aside, stop if there are too many."""
    result = validate(data, settings, unreadable=unreadable)
    report, accepted, rejected = result.report, result.accepted, result.rejected
    if not report.passed:
        stored = save_artifact(report, "validation_report")  # a step that raises stores no outputs
        save_artifact(rejected, "rejected_rows")
        require_passed(report, page=", ".join(page.uri for page in stored.visualizations or ()))
    return report, accepted, rejected
