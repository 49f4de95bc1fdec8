from typing import Annotated

import pandas as pd
from zenml import step

from bank_marketing.bundle import Bundle
from bank_marketing.champion import Champion, ChampionComparison, compare_with_champion
from bank_marketing.config import (
    EvaluationSettings,
    ExplanationSettings,
    SliceSettings,
    ThresholdSettings,
)
from bank_marketing.evaluation import Evaluation, evaluate
from bank_marketing.explanation import Explanation, explain
from bank_marketing.model import labels
from bank_marketing.slices import Slices, slice_report
from bank_marketing.threshold import Threshold
from registry.active import active_registry


@step
def evaluate_model(
    classifier: Bundle,
    threshold: Threshold,
    test_set: pd.DataFrame,
    champion: Champion | None,
    settings: EvaluationSettings,
    costs: ThresholdSettings,
    slicing: SliceSettings,
    explaining: ExplanationSettings,
) -> tuple[
    Annotated[Evaluation, "evaluation"],
    Annotated[Slices, "slices"],
    Annotated[Explanation, "explanation"],
    Annotated[ChampionComparison | None, "champion_comparison"],
]:
    """Judge the model once, beside the champion, on rows that no choice has seen."""
    truth, scores = labels(test_set), classifier.probability(test_set)
    cut = threshold.probability

    evaluation = evaluate(truth, scores, threshold=cut, settings=settings, costs=costs)
    slices = slice_report(
        test_set, truth, scores, threshold=cut, settings=slicing, evaluation=settings
    )
    explanation = explain(classifier, test_set, truth, threshold=cut, **explaining.model_dump())
    comparison = None
    if champion is not None:
        comparison = compare_with_champion(
            classifier.with_evidence(threshold=cut),
            (champion, active_registry().load(champion.name, champion.version)),
            test_set,
            slices=slicing,
            evaluation=settings,
            costs=costs,
        )
    return evaluation, slices, explanation, comparison
