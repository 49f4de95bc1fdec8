"""How fast raw rows become features and scores, next to scikit-learn and pandas.

That a million rows can be had and encoded on this machine is shown with ours alone.

Before any candidate is timed, all are checked to give the same features or scores. `get_dummies`
knows only the categories that it sees, so it has no part in scoring.
"""

import sys
import time
from collections.abc import Callable, Mapping

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from sklearn.pipeline import Pipeline, make_pipeline
from xgboost import XGBClassifier

from bank_marketing.bundle import BOOSTER_FILE, Bundle
from bank_marketing.encoder import Encoder
from bank_marketing.model import train_bundle
from bank_marketing.schema import TARGET
from bank_marketing.split import split
from bank_marketing.synthetic import make_table
from benchmarks.peers import column_transformer
from benchmarks.tables import chosen_table, production_settings, read
from benchmarks.timing import median_seconds

ROUNDS = 15
CALLS_OF_ONE_ROW = 50
MANY_ROWS = 1_000
A_MILLION = 1_000_000
OURS = "ours"

Work = Callable[[], NDArray[np.floating]]


def encoders(encoder: Encoder, table: pd.DataFrame) -> dict[str, Work]:
    """Return ways to encode the whole table, ready to be called."""
    transformer = column_transformer(encoder).fit(table)
    columns = list(encoder.feature_names)

    def dummies() -> NDArray[np.floating]:
        raw = table[[*encoder.numbers, *(part.name for part in encoder.categoricals)]].assign(
            **{
                indicator.name: table[indicator.column].isin(list(indicator.values))
                for indicator in encoder.indicators
            }
        )
        return pd.get_dummies(raw)[columns].to_numpy(np.float32)

    return {
        OURS: lambda: encoder.encode(table),
        "ColumnTransformer": lambda: transformer.transform(table),
        "get_dummies": dummies,
    }


def scorers(bundle: Bundle, rows: pd.DataFrame) -> dict[str, Work]:
    """Return ways to score `rows` with the same trees, ready to be called."""
    as_lists = {name: rows[name].tolist() for name in rows}
    pipeline = scikit_learn_pipeline(bundle, rows)
    return {
        OURS: lambda: bundle.probability(rows),
        f"{OURS}, from a dictionary": lambda: bundle.probability(as_lists),
        "Pipeline": lambda: pipeline.predict_proba(rows)[:, 1],
    }


def scikit_learn_pipeline(bundle: Bundle, rows: pd.DataFrame) -> Pipeline:
    """Return scikit-learn's encoding in front of the trees of `bundle`."""
    trees = XGBClassifier(n_jobs=1)
    trees.load_model(bytearray(bundle.files()[BOOSTER_FILE]))
    return make_pipeline(column_transformer(bundle.encoder).fit(rows), trees)


def main() -> int:
    """Print the time of each way and its ratio to ours."""
    settings = production_settings()
    table = read(chosen_table(__doc__), settings)
    parts = split(table, settings.split)
    bundle = train_bundle(parts.train, parts.validation, settings.features, settings.model)
    customers = table.drop(columns=TARGET)

    _compare(f"encode {len(table):,} rows", encoders(bundle.encoder, customers), calls=1)
    _compare("score one row", scorers(bundle, customers.head(1)), calls=CALLS_OF_ONE_ROW)
    _compare(f"score {MANY_ROWS:,} rows", scorers(bundle, customers.head(MANY_ROWS)), calls=1)
    _time_a_million(bundle.encoder, seed=settings.data.synthetic.seed)
    return 0


def _time_a_million(encoder: Encoder, *, seed: int) -> None:
    started = time.perf_counter()
    rows = make_table(rows=A_MILLION, seed=seed)
    made = time.perf_counter()
    encoder.encode(rows)
    encoded = time.perf_counter()
    Console().print(
        f"{A_MILLION:,} synthetic rows: made in {made - started:.1f} s, encoded in "
        f"{encoded - made:.1f} s"
    )


def _compare(title: str, candidates: Mapping[str, Work], *, calls: int) -> None:
    expected = candidates[OURS]()
    for name, work in candidates.items():
        np.testing.assert_allclose(work(), expected, rtol=1e-6, err_msg=name)

    seconds = median_seconds(candidates, rounds=ROUNDS, calls=calls)
    table = Table("way", "milliseconds", f"times {OURS}", title=title)
    for name, value in seconds.items():
        table.add_row(name, f"{value * 1_000:.3f}", f"{value / seconds[OURS]:.1f}")
    Console().print(table)


if __name__ == "__main__":
    sys.exit(main())
