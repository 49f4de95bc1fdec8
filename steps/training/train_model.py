from typing import Annotated

import pandas as pd
from zenml import step

from bank_marketing.bundle import Bundle
from bank_marketing.calibration import CalibrationChoice, calibrate
from bank_marketing.config import CalibrationSettings, FeatureSettings, TrainerSettings
from bank_marketing.model import train_bundle
from bank_marketing.tuning import Tuning
from registry.active import training_jobs


@step
def train_model(
    train_set: pd.DataFrame,
    validation_set: pd.DataFrame,
    tuning: Tuning,
    features: FeatureSettings,
    trainer: TrainerSettings,
    settings: CalibrationSettings,
) -> tuple[Annotated[Bundle, "classifier"], Annotated[CalibrationChoice, "calibration"]]:
    """Grow trees until the validation set says stop, and calibrate their probabilities on it."""
    match trainer.backend:
        case "step":
            trained = train_bundle(train_set, validation_set, features, tuning.model)
        case "sagemaker":
            trained = training_jobs().train(
                train_set, validation_set, features, tuning.model, "script"
            )
        case "sagemaker-builtin":
            trained = training_jobs().train(
                train_set, validation_set, features, tuning.model, "built-in"
            )
    classifier, calibration = calibrate(trained, validation_set, settings)
    return classifier, calibration
