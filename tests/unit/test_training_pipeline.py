"""What the compiled pipeline says about itself; nothing is run."""

import pytest
from zenml.pipelines.pipeline_definition import Pipeline

from bank_marketing.dataset import synthetic_source
from pipelines.code_version import code_version


@pytest.fixture(scope="module")
def prepared(zenml_home, settings) -> Pipeline:
    from pipelines.training import training  # a pipeline looks for a store when it is defined

    training.prepare(synthetic_source(settings.data.synthetic), None, settings)
    return training


def readers(pipeline: Pipeline, artifact: str) -> set[str]:
    return {
        name
        for name, invocation in pipeline.invocations.items()
        for source in invocation.input_artifacts.values()
        if source.output_name == artifact
    }


def test_the_test_set_is_read_by_one_step_only(prepared):
    assert readers(prepared, "test_set") == {"evaluate_model"}


def test_all_rows_together_are_split_and_replayed_and_read_by_nothing_else(prepared):
    # The test set is among them: a step that chooses anything must not see them.
    assert readers(prepared, "accepted_rows") == {"split_data", "backtest_model"}


def test_the_validation_set_chooses_and_never_judges(prepared):
    assert readers(prepared, "validation_set") == {"train_model", "choose_threshold"}


def test_where_a_model_is_trained_is_part_of_the_cache_key(prepared, settings):
    assert prepared.invocations["train_model"].parameters["trainer"] == settings.training
    assert prepared.invocations["tune_hyperparameters"].parameters["settings"] == settings.tuning


def test_registering_waits_for_the_decision(prepared):
    assert "check_quality_gate" in prepared.invocations["register_model"].upstream_steps


def test_the_code_behind_the_steps_is_part_of_every_cache_key(prepared):
    policy = prepared.configuration.cache_policy

    assert policy is not None
    assert policy.cache_func is not None
    assert policy.cache_func.import_path == "pipelines.code_version.code_version"


def test_an_edit_of_the_domain_changes_the_version_of_the_code(tmp_path, monkeypatch):
    module = tmp_path / "bank_marketing" / "metric.py"
    module.parent.mkdir()
    (tmp_path / "requirements.txt").write_text("xgboost==3.0.5")
    monkeypatch.setattr("pipelines.code_version.ROOT", tmp_path)

    versions = []
    for text in ("x = 1", "x = 2", "x = 1"):
        module.write_text(text)
        code_version.cache_clear()
        versions.append(code_version())
    code_version.cache_clear()

    assert versions[0] == versions[2] != versions[1]


def test_another_library_changes_the_version_of_the_code(tmp_path, monkeypatch):
    monkeypatch.setattr("pipelines.code_version.ROOT", tmp_path)

    versions = []
    for lock in ("xgboost==3.0.5", "xgboost==3.1.0"):
        (tmp_path / "requirements.txt").write_text(lock)
        code_version.cache_clear()
        versions.append(code_version())
    code_version.cache_clear()

    assert versions[0] != versions[1]
