"""Amazon's own images, as its SDK uses them, on rows of the real kind."""

import json
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xgboost
from sklearn.metrics import roc_auc_score

from bank_marketing.config import TrainingSettings
from bank_marketing.encoder import Encoder
from bank_marketing.model import labels
from bank_marketing.split import split
from tests.contract.sagemaker.conftest import BUCKET

HYPERPARAMETERS = {
    "objective": "binary:logistic",
    "eval_metric": "auc",
    "num_round": "30",
    "max_depth": "4",
    "eta": "0.2",
    "nthread": "1",
    "seed": "1",
}

SCRIPT = """
import argparse, os
import xgboost as xgb
parser = argparse.ArgumentParser()
parser.add_argument("--num_round", type=int)
parser.add_argument("--model-dir", default=os.environ["SM_MODEL_DIR"])
parser.add_argument("--train", default=os.environ["SM_CHANNEL_TRAIN"])
options, _ = parser.parse_known_args()
data = xgb.DMatrix(os.path.join(options.train, "train.csv") + "?format=csv&label_column=0")
booster = xgb.train({"objective": "binary:logistic"}, data, options.num_round)
booster.save_model(os.path.join(options.model_dir, "xgboost-model"))
print(f"trees={booster.num_boosted_rounds()};")
"""


@pytest.fixture(scope="module")
def parts(contacts: pd.DataFrame, settings: TrainingSettings) -> Any:
    return split(contacts, settings.split)


@pytest.fixture(scope="module")
def channels(parts: Any, settings: TrainingSettings, s3: Any) -> dict[str, str]:
    """Encoded rows with the label first, by channel; the training rows in two files as well."""
    encoder = Encoder.from_schema(economic_indicators=False)
    tables = {"train": parts.train, "validation": parts.validation, "test": parts.test}
    for name, rows in tables.items():
        text = as_csv(encoder, rows)
        s3.put_object(Bucket=BUCKET, Key=f"bank/{name}/{name}.csv", Body=text)
    first, second = np.array_split(np.arange(len(parts.train)), 2)
    for number, half in enumerate((first, second)):
        text = as_csv(encoder, parts.train.iloc[half])
        s3.put_object(Bucket=BUCKET, Key=f"bank/halves/{number}.csv", Body=text)
    return {name: f"s3://{BUCKET}/bank/{name}/" for name in (*tables, "halves")}


def as_csv(encoder: Encoder, rows: pd.DataFrame) -> bytes:
    table = np.column_stack([labels(rows), encoder.encode(rows)])
    return pd.DataFrame(table).to_csv(index=False, header=False).encode()


def matrix(rows: pd.DataFrame) -> xgboost.DMatrix:
    encoder = Encoder.from_schema(economic_indicators=False)
    return xgboost.DMatrix(encoder.encode(rows), label=labels(rows))


def inputs(channels: dict[str, str], *names: str, **kind: Any) -> dict[str, Any]:
    from sagemaker.inputs import TrainingInput

    return {
        name.replace("halves", "train"): TrainingInput(
            channels[name], content_type="text/csv", **kind
        )
        for name in names
    }


def estimator(session: Any, role: str, version: str, **options: Any) -> Any:
    from sagemaker import image_uris
    from sagemaker.estimator import Estimator

    return Estimator(
        image_uris.retrieve("xgboost", "eu-west-1", version),
        role,
        **{"instance_count": 1, "instance_type": "ml.m5.large", **options},
        output_path=f"s3://{BUCKET}/models",
        sagemaker_session=session,
        hyperparameters=HYPERPARAMETERS,
    )


def test_the_built_in_algorithm_trains_what_xgboost_trains(
    sagemaker, sagemaker_session, role, channels, parts
):
    job = estimator(sagemaker_session, role, "3.0-5")

    job.fit(inputs(channels, "train", "validation"), logs=False)

    parameters = {name: value for name, value in HYPERPARAMETERS.items() if name != "num_round"}
    direct = xgboost.train(parameters, matrix(parts.train), 30)
    expected = roc_auc_score(labels(parts.validation), direct.predict(matrix(parts.validation)))
    described = sagemaker.describe_training_job(TrainingJobName=job.latest_training_job.name)
    metrics = {each["MetricName"]: each["Value"] for each in described["FinalMetricDataList"]}
    assert metrics["validation:auc"] == pytest.approx(expected, abs=1e-5)  # five decimals


def test_an_older_version_runs_in_an_environment_of_its_own(
    sagemaker_session, role, channels, client
):
    job = estimator(sagemaker_session, role, "1.7-1")

    job.fit(inputs(channels, "train", "validation"), logs=False)

    frame = job.training_job_analytics.dataframe()
    assert set(frame["metric_name"]) == {"train:auc", "validation:auc"}
    assert frame.set_index("metric_name")["value"]["validation:auc"].min() > 0.6


def test_two_hosts_train_one_model(sagemaker_session, role, channels, parts, s3, tmp_path):
    job = estimator(sagemaker_session, role, "3.0-5", instance_count=2)

    job.fit(inputs(channels, "halves", distribution="ShardedByS3Key"), logs=False)

    booster = downloaded(job.model_data, s3, tmp_path)
    scores = booster.predict(matrix(parts.test))
    single = xgboost.train(
        {name: value for name, value in HYPERPARAMETERS.items() if name != "num_round"},
        matrix(parts.train),
        30,
    ).predict(matrix(parts.test))
    assert booster.num_boosted_rounds() == 30
    assert np.corrcoef(scores, single)[0, 1] > 0.95  # all rows, with other quantiles


def test_a_script_runs_as_an_entry_point(sagemaker_session, role, channels, tmp_path, s3):
    from sagemaker.xgboost import XGBoost

    (tmp_path / "train.py").write_text(SCRIPT)
    job = XGBoost(
        "train.py",
        "3.0-5",
        source_dir=str(tmp_path),
        role=role,
        instance_count=1,
        instance_type="ml.m5.large",
        hyperparameters={"num_round": 7},
        metric_definitions=[{"Name": "trees", "Regex": "trees=([0-9]+);"}],
        output_path=f"s3://{BUCKET}/models",
        code_location=f"s3://{BUCKET}/code",
        sagemaker_session=sagemaker_session,
    )

    job.fit(inputs(channels, "train"), logs=False)

    assert downloaded(job.model_data, s3, tmp_path).num_boosted_rounds() == 7


def test_a_wrong_hyperparameter_fails_in_the_words_of_the_container(
    sagemaker, sagemaker_session, role, channels
):
    from sagemaker.exceptions import UnexpectedStatusException

    job = estimator(sagemaker_session, role, "3.0-5")
    job.set_hyperparameters(max_depth="deep", num_round=5)

    with pytest.raises(UnexpectedStatusException, match="max_depth"):
        job.fit(inputs(channels, "train"), logs=False)


def test_scikit_learn_processes_files(sagemaker_session, role, channels, parts, tmp_path, s3):
    from sagemaker.processing import ProcessingInput, ProcessingOutput
    from sagemaker.sklearn.processing import SKLearnProcessor

    script = tmp_path / "count.py"
    script.write_text(
        "import json, sys, sklearn, pandas\n"
        "rows = len(pandas.read_csv('/opt/ml/processing/input/test.csv', header=None))\n"
        "found = {'rows': rows, 'version': sklearn.__version__, 'arguments': sys.argv[1:]}\n"
        "json.dump(found, open('/opt/ml/processing/output/found.json', 'w'))\n"
    )
    processor = SKLearnProcessor(
        "1.2-1",
        role,
        instance_type="ml.m5.large",
        instance_count=1,
        sagemaker_session=sagemaker_session,
    )

    processor.run(
        code=str(script),
        inputs=[ProcessingInput(channels["test"], "/opt/ml/processing/input")],
        outputs=[
            ProcessingOutput(
                source="/opt/ml/processing/output", destination=f"s3://{BUCKET}/processed"
            )
        ],
        arguments=["--fast"],
        logs=False,
    )

    found = s3.get_object(Bucket=BUCKET, Key="processed/found.json")["Body"].read()
    assert json.loads(found)["rows"] == len(parts.test)
    assert json.loads(found)["arguments"] == ["--fast"]


def downloaded(uri: str, s3: Any, folder: Path) -> xgboost.Booster:
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    s3.download_file(bucket, key, str(folder / "model.tar.gz"))
    with tarfile.open(folder / "model.tar.gz") as tar:
        tar.extractall(folder / "model", filter="data")
    return xgboost.Booster(model_file=folder / "model" / "xgboost-model")
