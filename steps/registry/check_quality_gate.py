from typing import Annotated

from zenml import step

from bank_marketing.config import GateSettings
from bank_marketing.evaluation import Evaluation
from bank_marketing.gate import GateDecision, decide


@step
def check_quality_gate(
    evaluation: Evaluation, settings: GateSettings
) -> Annotated[GateDecision, "gate_decision"]:
    """Decide whether the model may be registered, and say why not."""
    return decide(evaluation, settings)
