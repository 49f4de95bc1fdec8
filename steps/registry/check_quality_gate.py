from typing import Annotated

from zenml import step

from bank_marketing.backtest import Backtest
from bank_marketing.champion import ChampionComparison
from bank_marketing.config import GateSettings
from bank_marketing.dataset import DataOrigin
from bank_marketing.evaluation import Evaluation
from bank_marketing.gate import GateDecision, decide
from registry.active import active_registry


@step
def check_quality_gate(
    evaluation: Evaluation,
    backtest: Backtest,
    comparison: ChampionComparison | None,
    data_origin: DataOrigin,
    settings: GateSettings,
) -> Annotated[GateDecision, "gate_decision"]:
    """Decide whether the model may be registered, and say why not."""
    only_here = active_registry().is_local
    return decide(evaluation, backtest, comparison, data_origin, settings, only_here=only_here)
