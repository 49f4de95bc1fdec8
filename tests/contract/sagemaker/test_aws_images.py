"""Amazon's own images, as its SDK uses them, on rows of the real kind."""

import json
import os
import tarfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pytest
import xgboost
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import train_test_split

from tests.contract.sagemaker.conftest import BUCKET

pytestmark = pytest.mark.slow

CATEGORIES = (
    *("job", "marital", "education", "default", "housing", "loan", "contact", "month"),
    *("day_of_week", "poutcome"),
)

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

LOOK = """
import importlib.util, json, os, pandas, sys
found = {
    "rows": len(pandas.read_csv("/opt/ml/processing/input/test.csv", header=None)),
    "arguments": sys.argv[1:],
    "stage": os.environ["STAGE"],
    "tabulate": None,
}
if importlib.util.find_spec("tabulate"):
    import tabulate
    found["tabulate"] = tabulate.__version__
json.dump(found, open("/opt/ml/processing/output/found.json", "w"))
"""


SCIKIT_LEARN_SCRIPT = """
import os
import joblib, pandas
from sklearn.linear_model import LogisticRegression
def model_fn(folder):
    return joblib.load(os.path.join(folder, "model.joblib"))
def predict_fn(rows, model):
    return model.predict_proba(rows)[:, 1]
if __name__ == "__main__":
    rows = pandas.read_csv(os.path.join(os.environ["SM_CHANNEL_TRAIN"], "train.csv"), header=None)
    model = LogisticRegression(max_iter=1000).fit(rows[[1, 2]].to_numpy(), rows[0])
    joblib.dump(model, os.path.join(os.environ["SM_MODEL_DIR"], "model.joblib"))
"""

XGBOOST_SCRIPT = """
import os
import xgboost
def model_fn(folder):
    return xgboost.Booster(model_file=os.path.join(folder, "xgboost-model"))
def input_fn(body, content_type):
    rows = [line.split(",") for line in body.splitlines()]
    return xgboost.DMatrix([[float(value) for value in row] for row in rows])
"""


class Parts(NamedTuple):
    """Rows of numbers, the label first."""

    train: pd.DataFrame
    validation: pd.DataFrame
    test: pd.DataFrame


@pytest.fixture(scope="module")
def parts(contacts: pd.DataFrame) -> Parts:
    """Rows of the file that `BANK_MARKETING_DATA` names, else of a synthetic table."""
    path = os.environ.get("BANK_MARKETING_DATA")
    table = pd.read_csv(path, sep=";") if path else contacts
    features = pd.get_dummies(
        table.drop(columns=["y", "duration"]),  # how long a call takes is known after it
        columns=list(CATEGORIES),
        dtype=int,
    )
    rows = pd.concat([table["y"].eq("yes").astype(int), features], axis="columns")
    kept, test = train_test_split(rows, test_size=0.1, random_state=1)
    return Parts(*train_test_split(kept, test_size=0.2, random_state=1), test)


@pytest.fixture(scope="module")
def channels(parts: Parts, s3: Any) -> dict[str, str]:
    """Where the parts lie, by channel; the training rows in two files as well."""
    half = len(parts.train) // 2
    files = {f"{name}/{name}.csv": rows for name, rows in parts._asdict().items()}
    files |= {"halves/0.csv": parts.train[:half], "halves/1.csv": parts.train[half:]}
    for name, rows in files.items():
        text = rows.to_csv(index=False, header=False)
        s3.put_object(Bucket=BUCKET, Key=f"bank/{name}", Body=text.encode())
    return {name: f"s3://{BUCKET}/bank/{name}/" for name in (*Parts._fields, "halves")}


def matrix(rows: pd.DataFrame) -> xgboost.DMatrix:
    return xgboost.DMatrix(rows.drop(columns="y").to_numpy(), label=rows["y"])


def trained(rows: pd.DataFrame, **changes: Any) -> xgboost.Booster:
    """Train with the library what the built-in algorithm should train."""
    parameters = HYPERPARAMETERS | changes
    rounds = int(parameters.pop("num_round"))
    return xgboost.train(parameters, matrix(rows), rounds)


def area_under_curve(booster: xgboost.Booster, rows: pd.DataFrame) -> float:
    return float(roc_auc_score(rows["y"], booster.predict(matrix(rows))))


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


@pytest.fixture(scope="module")
def built_in(sagemaker_session, role, channels) -> Any:
    """The built-in algorithm, which has trained."""
    job = estimator(sagemaker_session, role, "3.0-5")
    job.fit(inputs(channels, "train", "validation"), logs=False)
    return job


def test_the_built_in_algorithm_trains_what_xgboost_trains(sagemaker, built_in, parts):
    expected = area_under_curve(trained(parts.train), parts.validation)
    job = built_in.latest_training_job.name
    described = sagemaker.describe_training_job(TrainingJobName=job)
    metrics = {each["MetricName"]: each["Value"] for each in described["FinalMetricDataList"]}
    assert metrics["validation:auc"] == pytest.approx(expected, abs=1e-5)  # five decimals


def test_its_model_scores_every_row_of_the_table_in_a_transform_job(built_in, parts, s3):
    rows = pd.concat(parts)
    text = rows.drop(columns="y").to_csv(index=False, header=False)
    s3.put_object(Bucket=BUCKET, Key="bank/all/rows.csv", Body=text.encode())
    transformer = built_in.transformer(
        1,
        "ml.m5.large",
        strategy="MultiRecord",
        assemble_with="Line",
        output_path=f"s3://{BUCKET}/scores",
    )

    transformer.transform(
        f"s3://{BUCKET}/bank/all/", content_type="text/csv", split_type="Line", logs=False
    )

    answered = s3.get_object(Bucket=BUCKET, Key="scores/rows.csv.out")["Body"].read()
    scores = np.array(answered.split(), dtype=float)
    np.testing.assert_allclose(scores, trained(parts.train).predict(matrix(rows)), atol=1e-6)


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
    single = trained(parts.train).predict(matrix(parts.test))
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


def test_the_tuner_of_the_sdk_finds_the_best_of_what_xgboost_trains(
    sagemaker_session, role, channels, parts
):
    from sagemaker.tuner import ContinuousParameter, HyperparameterTuner, IntegerParameter

    tuner = HyperparameterTuner(
        estimator(sagemaker_session, role, "3.0-5"),
        "validation:auc",
        {"max_depth": IntegerParameter(1, 6), "eta": ContinuousParameter(0.01, 0.5)},
        strategy="Random",
        max_jobs=3,
        max_parallel_jobs=3,
        random_seed=1,
    )

    tuner.fit(inputs(channels, "train", "validation"))

    frame = tuner.analytics().dataframe().set_index("TrainingJobName")
    tried = zip(frame["max_depth"], frame["eta"], strict=True)
    expected = [
        area_under_curve(trained(parts.train, max_depth=int(depth), eta=eta), parts.validation)
        for depth, eta in tried
    ]
    assert list(frame["FinalObjectiveValue"]) == pytest.approx(expected, abs=1e-5)
    assert tuner.best_training_job() == frame.index[np.argmax(expected)]


@pytest.fixture
def deployed(
    name: str, sagemaker: Any, until: Callable[..., Any]
) -> Iterator[Callable[[Any], Any]]:
    """Serve a model, or what an estimator trained, until the test ends."""
    from sagemaker.deserializers import JSONDeserializer
    from sagemaker.serializers import CSVSerializer

    def deploy(model: Any) -> Any:
        predictor = model.deploy(
            initial_instance_count=1,
            instance_type="ml.m5.large",
            endpoint_name=name,
            serializer=CSVSerializer(),
            deserializer=JSONDeserializer(),
            wait=False,  # the SDK looks every 30 seconds
        )
        describe = partial(sagemaker.describe_endpoint, EndpointName=name)
        ended = until(describe, lambda endpoint: endpoint["EndpointStatus"] != "Creating")
        assert ended["EndpointStatus"] == "InService"
        return predictor

    yield deploy
    sagemaker.delete_endpoint(EndpointName=name)


def test_a_script_of_xgboost_serves_what_the_built_in_algorithm_trained(
    sagemaker_session, role, built_in, parts, deployed, tmp_path
):
    from sagemaker.xgboost import XGBoostModel

    (tmp_path / "serve.py").write_text(XGBOOST_SCRIPT)
    model = XGBoostModel(
        built_in.model_data,
        role,
        "serve.py",
        "3.0-5",
        source_dir=str(tmp_path),
        code_location=f"s3://{BUCKET}/code",
        sagemaker_session=sagemaker_session,
    )

    answer = deployed(model).predict(parts.test[:3].drop(columns="y").to_numpy())

    expected = trained(parts.train).predict(matrix(parts.test[:3]))
    assert answer == pytest.approx(list(expected), abs=1e-6)


def test_a_script_of_scikit_learn_trains_and_serves(
    sagemaker_session, role, channels, parts, deployed, tmp_path
):
    from sagemaker.sklearn.estimator import SKLearn

    (tmp_path / "train.py").write_text(SCIKIT_LEARN_SCRIPT)
    job = SKLearn(
        "train.py",
        "1.2-1",
        source_dir=str(tmp_path),
        role=role,
        instance_type="ml.m5.large",
        output_path=f"s3://{BUCKET}/models",
        code_location=f"s3://{BUCKET}/code",
        sagemaker_session=sagemaker_session,
    )
    job.fit(inputs(channels, "train"), logs=False)

    answer = deployed(job).predict(parts.test.iloc[:3, [1, 2]].to_numpy())

    rows = parts.train.to_numpy(dtype=float)
    local = LogisticRegression(max_iter=1000).fit(rows[:, [1, 2]], rows[:, 0])
    expected = local.predict_proba(parts.test.iloc[:3, [1, 2]].to_numpy(dtype=float))[:, 1]
    assert answer == pytest.approx(list(expected), abs=1e-3)


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


@pytest.fixture
def found_by_framework_processor(
    sagemaker_session: Any, role: str, channels: dict[str, str], tmp_path: Path, s3: Any, name: str
) -> Any:
    """Run a folder with the script `LOOK` and these requirements; return what it found."""
    from sagemaker.processing import FrameworkProcessor, ProcessingInput, ProcessingOutput
    from sagemaker.sklearn.estimator import SKLearn

    def run(*requirements: str) -> Any:
        (tmp_path / "look.py").write_text(LOOK)
        (tmp_path / "requirements.txt").write_text("\n".join(requirements))
        processor = FrameworkProcessor(
            estimator_cls=SKLearn,
            framework_version="1.2-1",
            role=role,
            instance_type="ml.m5.large",
            instance_count=1,
            base_job_name=name,
            env={"STAGE": "preprocessing"},
            sagemaker_session=sagemaker_session,
        )
        processor.run(
            code="look.py",
            source_dir=str(tmp_path),
            inputs=[
                ProcessingInput(
                    source=channels["test"],
                    destination="/opt/ml/processing/input",
                    s3_data_distribution_type="ShardedByS3Key",
                )
            ],
            outputs=[
                ProcessingOutput(
                    output_name="found",
                    source="/opt/ml/processing/output",
                    destination=f"s3://{BUCKET}/{name}",
                )
            ],
            arguments=["--table", "plain"],
            logs=False,
        )
        return json.loads(s3.get_object(Bucket=BUCKET, Key=f"{name}/found.json")["Body"].read())

    return run


def test_a_framework_processor_installs_what_its_folder_requires(
    found_by_framework_processor, parts
):
    found = found_by_framework_processor("tabulate==0.9.0")

    assert found == {
        "rows": len(parts.test),
        "arguments": ["--table", "plain"],
        "stage": "preprocessing",
        "tabulate": "0.9.0",
    }


def test_what_a_job_installs_is_gone_with_its_container(found_by_framework_processor):
    found_by_framework_processor("tabulate==0.9.0")

    assert found_by_framework_processor()["tabulate"] is None


def downloaded(uri: str, s3: Any, folder: Path) -> xgboost.Booster:
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    s3.download_file(bucket, key, str(folder / "model.tar.gz"))
    with tarfile.open(folder / "model.tar.gz") as tar:
        tar.extractall(folder / "model", filter="data")
    return xgboost.Booster(model_file=folder / "model" / "xgboost-model")
