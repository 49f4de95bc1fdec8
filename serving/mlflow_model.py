"""The bundle as an MLflow model: `mlflow.pyfunc` runs this file, nothing is unpickled."""

from pathlib import Path
from typing import Any

import mlflow
import pandas as pd
from mlflow.pyfunc.model import PythonModel, PythonModelContext

from bank_marketing.bundle import Bundle


class TermDepositModel(PythonModel):
    """Raw customer rows in; probability of a deposit and whether to call out."""

    def load_context(self, context: PythonModelContext) -> None:
        """Read the bundle that was logged with the model."""
        self._bundle = Bundle.load(Path(context.artifacts["bundle"]))

    def predict(
        self,
        context: PythonModelContext,  # noqa: ARG002  # the signature is MLflow's
        model_input: pd.DataFrame,
        params: dict[str, Any] | None = None,  # noqa: ARG002
    ) -> pd.DataFrame:
        """Score raw rows; the index is kept.

        Raises:
            ModelError: A required column is missing; the message names it.
        """
        probability = self._bundle.probability(model_input)
        return pd.DataFrame(
            {
                "probability": probability,
                "call": probability >= self._bundle.manifest.threshold,
            },
            index=model_input.index,
        )


mlflow.models.set_model(TermDepositModel())
