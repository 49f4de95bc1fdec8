"""Track and register on a stack whose tracker's configuration is the first argument, as JSON."""

import json
import sys
from typing import Any

from zenml import pipeline, step
from zenml.client import Client

from bank_marketing.config import TrainingSettings, load_settings
from bank_marketing.dataset import DataOrigin
from bank_marketing.model import train_bundle
from bank_marketing.synthetic import make_table
from cli.environment import ROOT
from platforms.base import CHALLENGER, RunRecord
from registry.active import active_registry
from stacks import registration
from stacks.files import ComponentFile, StackFile

RECORD = RunRecord(
    parameters={"model.max_depth": "5"},
    metrics={"test_roc_auc": 0.79},
    tags={"data_source": "synthetic"},
    data=DataOrigin(
        origin="synthetic",
        uri="synthetic:rows=1000,seed=1",
        sha256="a" * 64,
        edition="synthetic",
        fingerprint="b" * 64,
        rows=1000,
    ),
    pages={"reports/evaluation.html": "<h1>1000 rows</h1>"},
)


@step(experiment_tracker=True, enable_cache=False)
def track(name: str) -> dict[str, Any]:
    settings = load_settings(ROOT / "configs" / "training.yaml", TrainingSettings)
    contacts = make_table(rows=1_000, seed=1)
    bundle = train_bundle(contacts[:700], contacts[700:], settings.features, settings.model)
    registry = active_registry()
    run = registry.active_run()
    registry.record(run, RECORD)
    version = registry.register(name, bundle, run, {"data_source": "synthetic"})
    registry.set_alias(name, CHALLENGER, version.version)
    return {
        "run_id": run.run_id,
        "tracking_uri": run.tracking_uri,
        "bundle_uri": version.bundle_uri,
        "is_local": registry.is_local,
        "same_bundle": registry.load(name, CHALLENGER).files() == bundle.files(),
    }


@pipeline(name="tracked")
def tracked(name: str) -> None:
    track(name)


def main() -> None:
    name, config = sys.argv[1], json.loads(sys.argv[2])
    Client().create_secret("mlflow", {"token": "of-the-team"})
    stack = StackFile(
        option=name,
        name=name,
        components={
            "orchestrator": ComponentFile(flavor="local"),
            "artifact_store": ComponentFile(flavor="local"),
            "experiment_tracker": ComponentFile(flavor="sagemaker_mlflow", config=config),
        },
    )
    registration.apply(stack)
    with registration.using(stack):
        run = tracked(name)
    print(json.dumps(run.steps["track"].output.load()))  # noqa: T201


if __name__ == "__main__":
    main()
