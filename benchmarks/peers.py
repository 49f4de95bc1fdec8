"""What others would use in place of our parts, in scikit-learn's words."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.compose import ColumnTransformer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler

from bank_marketing.encoder import Encoder
from bank_marketing.schema import Indicator


def logistic_regression(encoder: Encoder) -> Pipeline:
    """Return the linear model on the raw columns that `encoder` reads."""
    columns = ColumnTransformer(
        [
            ("numbers", StandardScaler(), list(encoder.numbers)),
            ("categories", OneHotEncoder(handle_unknown="ignore"), _names(encoder)),
        ]
    )
    return make_pipeline(columns, LogisticRegression(max_iter=1_000))


def column_transformer(encoder: Encoder) -> ColumnTransformer:
    """Return scikit-learn's transformer into the same features, in the same order."""
    one_hot = OneHotEncoder(
        categories=[list(part.categories) for part in encoder.categoricals],
        handle_unknown="ignore",
        sparse_output=False,
        dtype=np.float32,
    )
    indicators = FunctionTransformer(_flags, kw_args={"indicators": encoder.indicators})
    return ColumnTransformer(
        [
            ("numbers", "passthrough", list(encoder.numbers)),
            ("indicators", indicators, [indicator.column for indicator in encoder.indicators]),
            ("categories", one_hot, _names(encoder)),
        ]
    )


def _names(encoder: Encoder) -> list[str]:
    return [part.name for part in encoder.categoricals]


def _flags(frame: pd.DataFrame, indicators: Sequence[Indicator]) -> NDArray[np.float32]:
    flags = [frame[indicator.column].isin(list(indicator.values)) for indicator in indicators]
    return np.column_stack(flags).astype(np.float32)
