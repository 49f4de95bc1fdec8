"""Tables that tests share, and a ZenML of their own."""

import os
from pathlib import Path

import pandas as pd
import pytest

from bank_marketing.config import TrainingSettings, load_settings
from bank_marketing.dataset import read_table
from bank_marketing.synthetic import make_table
from cli.environment import prepare

ROOT = Path(__file__).parent.parent

prepare()


@pytest.fixture(scope="session")
def settings() -> TrainingSettings:
    """The configuration that users start from."""
    return load_settings(ROOT / "configs" / "training.yaml", TrainingSettings)


@pytest.fixture(scope="session")
def contacts() -> pd.DataFrame:
    """A table small enough for milliseconds and large enough to learn from."""
    return make_table(rows=4_000, seed=1)


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The file of UCI, where `BANK_MARKETING_DATA` says it is."""
    path = os.environ.get("BANK_MARKETING_DATA")
    if path is None:
        pytest.skip("BANK_MARKETING_DATA names no copy of the real table")
    return Path(path)


@pytest.fixture(scope="session")
def real_table(real_data: Path) -> pd.DataFrame:
    """The table of UCI, as it is read."""
    return read_table(real_data).frame
