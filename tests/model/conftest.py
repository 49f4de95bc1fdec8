"""Models as users get them: the default configuration, on either table."""

from typing import NamedTuple

import pandas as pd
import pytest

from bank_marketing.bundle import Bundle
from bank_marketing.calibration import calibrate
from bank_marketing.config import TrainingSettings
from bank_marketing.model import labels, train_bundle
from bank_marketing.split import Parts, split
from bank_marketing.synthetic import make_table
from bank_marketing.threshold import choose_threshold


class Trained(NamedTuple):
    """A model and the sets that it was made from."""

    bundle: Bundle
    parts: Parts


@pytest.fixture(scope="session")
def synthetic_table(settings: TrainingSettings) -> pd.DataFrame:
    """The table that stands in for the real one."""
    synthetic = settings.data.synthetic
    return make_table(rows=synthetic.rows, seed=synthetic.seed)


@pytest.fixture(scope="session", params=["synthetic_table", "real_table"])
def table(request: pytest.FixtureRequest) -> pd.DataFrame:
    """Each table in turn."""
    frame: pd.DataFrame = request.getfixturevalue(request.param)
    return frame


@pytest.fixture(scope="session")
def trained(table: pd.DataFrame, settings: TrainingSettings) -> Trained:
    """The model of the default configuration, with its calibration and its threshold."""
    parts = split(table, settings.split)
    bundle = train_bundle(parts.train, parts.validation, settings.features, settings.model)
    bundle, _ = calibrate(bundle, parts.validation, settings.calibration)
    threshold = choose_threshold(
        labels(parts.validation), bundle.probability(parts.validation), settings.threshold
    )
    return Trained(bundle.with_evidence(threshold=threshold.probability), parts)
