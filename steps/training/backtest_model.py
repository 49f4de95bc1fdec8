from typing import Annotated

import pandas as pd
from zenml import step

from bank_marketing.backtest import Backtest, backtest
from bank_marketing.config import (
    BacktestSettings,
    EvaluationSettings,
    FeatureSettings,
    SplitSettings,
)
from bank_marketing.tuning import Tuning


@step
def backtest_model(
    data: pd.DataFrame,
    tuning: Tuning,
    features: FeatureSettings,
    settings: BacktestSettings,
    evaluation: EvaluationSettings,
    split: SplitSettings,
) -> Annotated[Backtest, "backtest"]:
    """Replay the campaign's calendar: what would production have seen?"""
    return backtest(data, features, tuning.model, settings, evaluation, split)
