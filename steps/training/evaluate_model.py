from typing import Annotated

import pandas as pd
from zenml import step

from bank_marketing.bundle import Bundle
from bank_marketing.config import EvaluationSettings, ThresholdSettings
from bank_marketing.evaluation import Evaluation, evaluate
from bank_marketing.model import labels
from bank_marketing.threshold import Threshold


@step
def evaluate_model(
    classifier: Bundle,
    threshold: Threshold,
    test_set: pd.DataFrame,
    settings: EvaluationSettings,
    costs: ThresholdSettings,
) -> Annotated[Evaluation, "evaluation"]:
    """Judge the model once, on rows that no choice has seen."""
    return evaluate(
        labels(test_set),
        classifier.probability(test_set),
        threshold=threshold.probability,
        settings=settings,
        costs=costs,
    )
