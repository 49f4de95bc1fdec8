"""A model scores alike wherever it runs."""

from collections.abc import Iterator
from pathlib import Path

import mlflow
import numpy as np
import pytest

from bank_marketing.bundle import Bundle
from platforms.base import ModelVersion
from platforms.mlflow_registry import MlflowRegistry


@pytest.fixture(scope="module")
def registered(trained, tmp_path_factory) -> Iterator[ModelVersion]:
    """The model as a version in an MLflow of its own."""
    folder = tmp_path_factory.mktemp("mlflow")
    before, uri = mlflow.get_tracking_uri(), f"sqlite:///{folder}/mlflow.db"
    mlflow.set_tracking_uri(uri)
    mlflow.create_experiment("models", artifact_location=folder.as_uri())
    mlflow.set_experiment("models")
    registry = MlflowRegistry(uri)
    with mlflow.start_run():
        version = registry.register("model", trained.bundle, registry.active_run(), tags={})
    yield version
    mlflow.set_tracking_uri(before)


def test_every_row_scores_the_same_in_training_from_the_registry_and_in_mlflow(
    trained, table, registered
):
    stored = Bundle.load(Path(mlflow.artifacts.download_artifacts(registered.bundle_uri)))
    pyfunc = mlflow.pyfunc.load_model(f"models:/{registered.name}/{registered.version}")

    expected = trained.bundle.probability(table)

    np.testing.assert_allclose(stored.probability(table), expected, atol=1e-7, rtol=0)
    in_mlflow = pyfunc.predict(table)
    np.testing.assert_allclose(in_mlflow["probability"], expected, atol=1e-7, rtol=0)
    called = expected >= trained.bundle.manifest.threshold
    np.testing.assert_array_equal(in_mlflow["call"], called)
    assert 0 < called.mean() < 1
