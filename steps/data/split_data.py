from typing import Annotated

import pandas as pd
from zenml import step

from bank_marketing.config import SplitSettings
from bank_marketing.split import split


@step
def split_data(
    data: pd.DataFrame, settings: SplitSettings
) -> tuple[
    Annotated[pd.DataFrame, "train_set"],
    Annotated[pd.DataFrame, "validation_set"],
    Annotated[pd.DataFrame, "test_set"],
]:
    """Hold out a validation and a test set."""
    train, validation, test = split(data, settings)
    return train, validation, test  # ZenML needs a literal tuple here
