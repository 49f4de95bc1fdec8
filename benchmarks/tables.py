"""The table that a benchmark runs on."""

import os
from argparse import ArgumentParser
from pathlib import Path

import pandas as pd

from bank_marketing.config import TrainingSettings, load_settings
from bank_marketing.dataset import read_table
from bank_marketing.synthetic import make_table
from platforms.data_sources import DATA_VARIABLE

ROOT = Path(__file__).parent.parent
SYNTHETIC = "synthetic"


def chosen_table(description: str | None) -> str:
    """Return what `--data` says: a path, or "synthetic"; without one, leave with code 2."""
    parser = ArgumentParser(description=description)
    parser.add_argument(
        "--data",
        default=os.environ.get(DATA_VARIABLE),
        metavar=f"PATH|{SYNTHETIC}",
        help=f"the table; by default the file that {DATA_VARIABLE} names",
    )
    choice: str | None = parser.parse_args().data
    if not choice:
        parser.error(f"name the table with --data PATH, --data {SYNTHETIC} or {DATA_VARIABLE}=PATH")
    return choice


def read(choice: str, settings: TrainingSettings) -> pd.DataFrame:
    """Read or make the table; the synthetic one is the configuration's."""
    if choice == SYNTHETIC:
        synthetic = settings.data.synthetic
        return make_table(rows=synthetic.rows, seed=synthetic.seed)
    return read_table(Path(choice)).frame


def production_settings() -> TrainingSettings:
    """Return the configuration that users start from."""
    return load_settings(ROOT / "configs" / "training.yaml", TrainingSettings)
