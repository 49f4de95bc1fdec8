from typing import Annotated

from zenml import step
from zenml.types import HTMLString

from bank_marketing.backtest import Backtest
from bank_marketing.evaluation import Evaluation
from bank_marketing.explanation import Explanation
from bank_marketing.gate import GateDecision
from bank_marketing.slices import Slices
from reports.backtest import backtest_section
from reports.explanation import explanation_section
from reports.gate import gate_section
from reports.run_report import render_run_report
from reports.slices import slices_section


@step
def write_report(
    evaluation: Evaluation,
    backtest: Backtest,
    slices: Slices,
    explanation: Explanation,
    decision: GateDecision,
) -> Annotated[HTMLString, "report"]:
    """Put everything that was measured on one page."""
    return HTMLString(
        render_run_report(
            evaluation,
            gate_section(decision),
            backtest_section(backtest),
            slices_section(slices),
            explanation_section(explanation),
        )
    )
