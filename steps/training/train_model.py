from typing import Annotated

import pandas as pd
from zenml import step

from bank_marketing.bundle import Bundle
from bank_marketing.config import FeatureSettings, ModelSettings
from bank_marketing.model import train_bundle


@step
def train_model(
    train_set: pd.DataFrame,
    validation_set: pd.DataFrame,
    features: FeatureSettings,
    model: ModelSettings,
) -> Annotated[Bundle, "classifier"]:
    """Grow trees on the training set until the validation set says stop."""
    return train_bundle(train_set, validation_set, features, model)
