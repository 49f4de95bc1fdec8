"""Models as users get them: the default configuration, on either table."""

from typing import NamedTuple

import pandas as pd
import pytest

from bank_marketing.bundle import Bundle
from bank_marketing.config import TrainingSettings
from bank_marketing.model import train_bundle
from bank_marketing.split import Parts, split
from bank_marketing.synthetic import make_table


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
    """The model of the default configuration."""
    parts = split(table, settings.split)
    return Trained(
        train_bundle(parts.train, parts.validation, settings.features, settings.model), parts
    )
