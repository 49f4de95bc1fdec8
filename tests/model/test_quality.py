"""The configuration that users start from gives a model that is good enough to register."""

import pandas as pd
from sklearn.metrics import roc_auc_score

from bank_marketing.backtest import backtest
from bank_marketing.bundle import Bundle
from bank_marketing.dataset import DataOrigin
from bank_marketing.evaluation import evaluate
from bank_marketing.gate import decide
from bank_marketing.model import labels, train_bundle
from bank_marketing.split import split

ORIGIN = DataOrigin(
    origin="synthetic", uri="", sha256="0" * 64, edition="synthetic", fingerprint="", rows=41_188
)


def test_the_default_model_passes_its_gate(table, trained, settings):
    """Untuned, as `tuning.trials=0` leaves it; tuning has the same starting point."""
    test = trained.parts.test
    evaluation = evaluate(
        labels(test),
        trained.bundle.probability(test),
        threshold=trained.bundle.manifest.threshold,
        settings=settings.evaluation,
        costs=settings.threshold,
    )

    replay = backtest(
        table,
        settings.features,
        settings.model,
        settings.backtest,
        settings.evaluation,
        settings.split,
    )
    decision = decide(evaluation, replay, None, ORIGIN, settings.gate, only_here=True)

    assert decision.failures == ()


def test_the_latest_calls_are_harder_than_a_random_sample(table, trained, settings):
    """The rows are in order of time, and the customers change with it."""
    temporal = settings.split.model_copy(update={"strategy": "temporal"})
    parts = split(table, temporal)

    bundle = train_bundle(parts.train, parts.validation, settings.features, settings.model)

    assert roc_auc(bundle, parts.test) < roc_auc(trained.bundle, trained.parts.test) - 0.1


def roc_auc(bundle: Bundle, frame: pd.DataFrame) -> float:
    return float(roc_auc_score(labels(frame), bundle.probability(frame)))
