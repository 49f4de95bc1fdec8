import json
import re

import numpy as np
import pytest
import xgboost as xgb
from sagemaker_algorithm_toolkit.exceptions import AlgorithmError, UserError
from sagemaker_xgboost_container import algorithm
from sagemaker_xgboost_container.hyperparameters import validate

# What SageMaker's metric definitions of the built-in algorithm search for.
AUC = re.compile(r".*\[[0-9]+\].*#011validation-auc:([-+]?[0-9]*\.?[0-9]+(?:[eE][-+]?[0-9]+)?).*")
PARAMETERS = {
    "objective": "binary:logistic",
    "num_round": "8",
    "eval_metric": "auc",
    "max_depth": "3",
    "subsample": "0.8",
    "nthread": "1",
}


@pytest.fixture
def rows():
    random = np.random.default_rng(7)
    features = random.normal(size=(600, 4))
    label = features[:, 0] + features[:, 1] ** 2 + random.normal(size=600) > 1
    return np.column_stack([label, features]).astype(np.float32)


@pytest.fixture
def base(tmp_path, rows):
    config = tmp_path / "input" / "config"
    config.mkdir(parents=True)
    for name, part in (("train", rows[:400]), ("validation", rows[400:])):
        folder = tmp_path / "input" / "data" / name
        folder.mkdir(parents=True)
        np.savetxt(folder / "part.csv", part, delimiter=",", fmt="%.9g")
    channel = {"ContentType": "text/csv", "TrainingInputMode": "File"}
    (config / "inputdataconfig.json").write_text(
        json.dumps({"train": channel, "validation": channel})
    )
    (config / "resourceconfig.json").write_text(
        json.dumps({"current_host": "algo-1", "hosts": ["algo-1"]})
    )
    write_parameters(tmp_path, PARAMETERS)
    return tmp_path


def write_parameters(base, parameters):
    (base / "input" / "config" / "hyperparameters.json").write_text(json.dumps(parameters))


def trained(base):
    algorithm.run(base)
    booster = xgb.Booster()
    booster.load_model(base / "model" / "xgboost-model")
    return booster


def train_directly(rows, rounds, **more):
    train, validation = (
        xgb.DMatrix(part[:, 1:], label=part[:, 0]) for part in (rows[:400], rows[400:])
    )
    seen = {}
    parameters = {
        "objective": "binary:logistic",
        "eval_metric": "auc",
        "max_depth": 3,
        "subsample": 0.8,
        "nthread": 1,
    }
    booster = xgb.train(
        parameters,
        train,
        rounds,
        evals=[(train, "train"), (validation, "validation")],
        evals_result=seen,
        verbose_eval=False,
        **more,
    )
    return booster, seen["validation"]["auc"]


@pytest.mark.filterwarnings("ignore:.*UBJSON:UserWarning")
class TestTraining:
    def test_the_model_is_that_of_xgboost_called_directly(self, base, rows):
        booster = trained(base)

        direct, _ = train_directly(rows, 8)
        matrix = xgb.DMatrix(rows[:, 1:])
        np.testing.assert_array_equal(booster.predict(matrix), direct.predict(matrix))

    def test_every_round_prints_what_the_metric_definitions_find(self, base, rows, capsys):
        trained(base)

        lines = capsys.readouterr().out.splitlines()
        _, direct = train_directly(rows, 8)
        assert [AUC.match(line)[1] for line in lines] == [f"{auc:.5f}" for auc in direct]
        assert re.fullmatch(r"\[0\]#011train-auc:0\.\d{5}#011validation-auc:0\.\d{5}", lines[0])

    def test_early_stopping_keeps_the_best_round_and_prints_the_last(self, base, rows, capsys):
        write_parameters(base, {**PARAMETERS, "num_round": "200", "early_stopping_rounds": "5"})

        booster = trained(base)

        direct, seen = train_directly(rows, 200, early_stopping_rounds=5)
        assert booster.num_boosted_rounds() == direct.best_iteration + 1
        assert len(capsys.readouterr().out.splitlines()) == len(seen) < 200

    def test_the_metric_of_a_tuning_job_is_printed_too(self, base, capsys):
        write_parameters(
            base,
            {**PARAMETERS, "eval_metric": "logloss", "_tuning_objective_metric": "validation:auc"},
        )

        trained(base)

        assert AUC.match(capsys.readouterr().out)

    def test_what_xgboost_refuses_is_an_algorithm_error(self, base):
        write_parameters(base, {**PARAMETERS, "objective": "multi:softmax", "num_class": "2"})
        part = base / "input" / "data" / "train" / "part.csv"
        part.write_text("5,1,1,1,1\n")

        with pytest.raises(AlgorithmError, match="XGB train call failed with exception"):
            algorithm.run(base)

    @pytest.mark.parametrize(
        ("channels", "complaint"),
        [
            ({"validation": {}}, "Missing required channel: train"),
            ({"train": {}, "test": {}}, "Extraneous channel found: test"),
        ],
    )
    def test_channels_are_train_and_validation(self, base, channels, complaint):
        (base / "input" / "config" / "inputdataconfig.json").write_text(json.dumps(channels))

        with pytest.raises(UserError, match=complaint):
            algorithm.run(base)

    @pytest.mark.parametrize(
        ("name", "kind"), [("train", "training"), ("validation", "validation")]
    )
    def test_a_channel_without_data_is_an_error(self, base, name, kind):
        (base / "input" / "data" / name / "part.csv").unlink()

        with pytest.raises(UserError, match=f"No data in {kind} channel path .*{name}"):
            algorithm.run(base)


def test_hyperparameters_become_numbers_words_and_lists():
    given = {"num_round": "10", "learning_rate": "0.3", "eval_metric": "auc,error@0.7"}
    given |= {"objective": "binary:logistic", "_tuning_objective_metric": "validation:auc"}

    assert validate(given) == {
        "num_round": 10,
        "eta": 0.3,
        "eval_metric": ["auc", "error@0.7"],
        "objective": "binary:logistic",
        "_tuning_objective_metric": ["auc"],
    }


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"num_round": "0"}, "Hyperparameter num_round: 0 is not in [1, +inf)"),
        ({"num_round": "1.5"}, "Hyperparameter num_round: could not parse value"),
        ({"subsample": "0"}, "Hyperparameter subsample: 0.0 is not in (0, 1]"),
        ({"tweedie_variance_power": "2"}, "2.0 is not in (1, 2)"),
        ({"objective": "binary:magic"}, "Hyperparameter objective: binary:magic is not in ["),
        ({"eval_metric": "auc,f2"}, "Hyperparameter eval_metric: value ['auc', 'f2'] not in"),
        ({"eval_metric": "auc@3"}, "Hyperparameter eval_metric: value ['auc@3'] not in"),
        ({"eval_metric": "error@x"}, "could not parse value"),
        ({"objective": "reg:squarederror"}, "Metric 'auc' can only be applied"),
        ({"objective": "multi:softmax"}, "Require input for parameter 'num_class'"),
        ({"save_model_on_termination": "true"}, "true is not in ['false']"),
        ({"depth": "3"}, "Extraneous hyperparameter found: depth"),
    ],
)
def test_a_wrong_hyperparameter_is_refused_with_its_range(change, complaint):
    with pytest.raises(UserError, match=re.escape(complaint)):
        validate({**PARAMETERS, **change})


def test_the_number_of_rounds_is_required():
    with pytest.raises(UserError, match="Missing required hyperparameter: num_round"):
        validate({"objective": "binary:logistic"})
