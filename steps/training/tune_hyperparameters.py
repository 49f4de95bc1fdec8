from typing import Annotated

import pandas as pd
from zenml import step

from bank_marketing.config import FeatureSettings, ModelSettings, TuningSettings
from bank_marketing.tuning import Tuning, tune
from platforms.terminal import tuning_progress
from registry.active import study_folder, training_jobs


@step
def tune_hyperparameters(
    train_set: pd.DataFrame,
    features: FeatureSettings,
    model: ModelSettings,
    settings: TuningSettings,
) -> Annotated[Tuning, "tuning"]:
    """Search hyperparameters by cross-validation on the training set."""
    if settings.backend == "sagemaker" and settings.trials > 0:
        with tuning_progress() as progress:
            return training_jobs().tune(train_set, features, model, settings, progress)
    with study_folder() as folder, tuning_progress() as progress:
        return tune(train_set, features, model, settings, study_folder=folder, progress=progress)
