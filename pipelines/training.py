from zenml import pipeline
from zenml.config.cache_policy import CachePolicy

import materializers  # noqa: F401  # registers them
from bank_marketing.champion import Champion
from bank_marketing.config import TrainingSettings
from bank_marketing.dataset import DataSource
from bank_marketing.experiment import parameters_of
from pipelines.code_version import code_version
from steps.data.ingest_data import ingest_data
from steps.data.split_data import split_data
from steps.data.validate_data import validate_data
from steps.registry.check_quality_gate import check_quality_gate
from steps.registry.register_model import register_model
from steps.registry.track_experiment import track_experiment
from steps.reporting.write_report import write_report
from steps.training.backtest_model import backtest_model
from steps.training.choose_threshold import choose_threshold
from steps.training.evaluate_model import evaluate_model
from steps.training.train_model import train_model
from steps.training.tune_hyperparameters import tune_hyperparameters


@pipeline(cache_policy=CachePolicy(cache_func=code_version))
def training(source: DataSource, champion: Champion | None, settings: TrainingSettings) -> None:
    """Turn raw contacts into a registered candidate, or into reasons why not."""
    raw_data, unreadable_rows, data_origin = ingest_data(source)
    validation_report, data, _ = validate_data(raw_data, unreadable_rows, settings.validation)
    train_set, validation_set, test_set = split_data(data, settings.split)

    tuning = tune_hyperparameters(train_set, settings.features, settings.model, settings.tuning)
    classifier, _ = train_model(
        train_set,
        validation_set,
        tuning,
        settings.features,
        settings.training,
        settings.calibration,
    )
    threshold = choose_threshold(classifier, validation_set, settings.threshold)

    evaluation, slices, explanation, comparison = evaluate_model(
        classifier,
        threshold,
        test_set,
        champion,
        settings.evaluation,
        settings.threshold,
        settings.slices,
        settings.explanation,
    )
    backtest = backtest_model(
        data,
        tuning,
        settings.features,
        settings.backtest,
        settings.evaluation,
        settings.split,
    )
    decision = check_quality_gate(evaluation, backtest, comparison, data_origin, settings.gate)
    report = write_report(evaluation, backtest, slices, explanation, decision)

    experiment = track_experiment(
        data_origin,
        validation_report,
        tuning,
        threshold,
        evaluation,
        backtest,
        decision,
        report,
        parameters_of(settings),
    )
    register_model(
        classifier,
        threshold,
        evaluation,
        backtest,
        slices,
        decision,
        data_origin,
        validation_report,
        experiment,
        settings.features,
        settings.registry,
    )
