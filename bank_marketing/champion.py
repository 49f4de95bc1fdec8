"""A candidate against the champion: the same customers, as a whole and group by group."""

import pandas as pd

from bank_marketing.bundle import Bundle
from bank_marketing.comparison import Comparison, Scores, compare
from bank_marketing.config import EvaluationSettings, Settings, SliceSettings, ThresholdSettings
from bank_marketing.model import labels
from bank_marketing.slices import SliceDifference, compare_slices


class Champion(Settings):
    """The registered version that a candidate is judged against."""

    name: str
    version: str


class ChampionComparison(Settings):
    """How a candidate differs from the champion on the same test rows."""

    champion: Champion
    overall: Comparison
    slices: tuple[SliceDifference, ...]


def compare_with_champion(
    candidate: Bundle,
    champion: tuple[Champion, Bundle],
    test_set: pd.DataFrame,
    *,
    slices: SliceSettings,
    evaluation: EvaluationSettings,
    costs: ThresholdSettings,
) -> ChampionComparison:
    """Score the test set with both models, each at the threshold of its manifest.

    Raises:
        DataError: The test set lacks a class.
        ModelError: The champion needs a column that the test set lacks.
    """
    identity, bundle = champion
    truth = labels(test_set)
    ours, theirs = (
        Scores(model.probability(test_set), model.manifest.threshold)
        for model in (candidate, bundle)
    )
    return ChampionComparison(
        champion=identity,
        overall=compare(truth, ours, theirs, settings=evaluation, costs=costs),
        slices=compare_slices(
            test_set,
            truth,
            ours.probabilities,
            theirs.probabilities,
            settings=slices,
            confidence=evaluation.confidence,
        ),
    )
