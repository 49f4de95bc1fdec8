from zenml import pipeline
from zenml.config.cache_policy import CachePolicy

import materializers  # noqa: F401  # registers them
from bank_marketing.config import TrainingSettings
from bank_marketing.dataset import DataSource
from pipelines.code_version import code_version
from steps.data.ingest_data import ingest_data
from steps.data.split_data import split_data
from steps.data.validate_data import validate_data
from steps.registry.check_quality_gate import check_quality_gate
from steps.registry.register_model import register_model
from steps.registry.track_experiment import track_experiment
from steps.training.choose_threshold import choose_threshold
from steps.training.evaluate_model import evaluate_model
from steps.training.train_model import train_model


@pipeline(cache_policy=CachePolicy(cache_func=code_version))
def training(source: DataSource, settings: TrainingSettings) -> None:
    """Turn raw contacts into a registered candidate, or into reasons why not."""
    raw_data, data_origin = ingest_data(source)
    report, data, _ = validate_data(raw_data, settings.validation)
    train_set, validation_set, test_set = split_data(data, settings.split)

    classifier = train_model(train_set, validation_set, settings.features, settings.model)
    threshold = choose_threshold(classifier, validation_set, settings.threshold)

    evaluation = evaluate_model(
        classifier, threshold, test_set, settings.evaluation, settings.threshold
    )
    decision = check_quality_gate(evaluation, settings.gate)

    experiment = track_experiment(data_origin, report, threshold, evaluation, decision, settings)
    register_model(
        classifier, threshold, evaluation, decision, data_origin, experiment, settings.registry
    )
