from typing import Annotated

import pandas as pd
from zenml import step

from bank_marketing import threshold
from bank_marketing.bundle import Bundle
from bank_marketing.config import ThresholdSettings
from bank_marketing.model import labels
from bank_marketing.threshold import Threshold


@step
def choose_threshold(
    classifier: Bundle, validation_set: pd.DataFrame, costs: ThresholdSettings
) -> Annotated[Threshold, "threshold"]:
    """Find the probability above which a call is expected to pay."""
    probabilities = classifier.probability(validation_set)
    return threshold.choose_threshold(labels(validation_set), probabilities, costs)
