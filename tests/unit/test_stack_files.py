import pytest
from pydantic import ValidationError

from bank_marketing.errors import SettingsError
from stacks import files
from stacks.files import JobFile, SageMakerFile, load_stack, stack_names

VARIABLES = {
    "AWS_REGION": "eu-west-1",
    "SAGEMAKER_ROLE_ARN": "arn:aws:iam::123456789012:role/sagemaker",
    "SAGEMAKER_BUCKET": "bucket",
    "SAGEMAKER_ECR_REGISTRY": "123456789012.dkr.ecr.eu-west-1.amazonaws.com",
    "SAGEMAKER_IMAGE": "123456789012.dkr.ecr.eu-west-1.amazonaws.com/project:1",
    "SAGEMAKER_MLFLOW": "https://mlflow.example.org",
    "USER": "Ann.Smith@example.org",
}


def test_every_stack_file_is_legal():
    for name in stack_names():
        assert load_stack(name, VARIABLES).components


def test_the_local_stack_tracks_and_registers_with_mlflow():
    components = load_stack("local").components

    assert components["experiment_tracker"].flavor == "mlflow"
    assert components["model_registry"].flavor == "mlflow"


def test_an_unknown_stack_is_an_error_that_lists_the_known_ones():
    with pytest.raises(SettingsError, match=r"there is no stack 'nowhere'; there are: .*local"):
        load_stack("nowhere")


def test_an_unknown_component_is_an_error(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "FOLDER", tmp_path)
    (tmp_path / "odd.yaml").write_text("name: odd\ncomponents: {orchestrater: {flavor: local}}\n")

    with pytest.raises(SettingsError, match=r"components\.orchestrater"):
        load_stack("odd")


def test_variables_are_filled_in():
    artifacts = load_stack("sagemaker", VARIABLES).components["artifact_store"]

    assert artifacts.config["path"] == "s3://bucket/bank-marketing"


def test_every_variable_that_is_missing_is_named():
    some = {"AWS_REGION": "eu-west-1", "SAGEMAKER_BUCKET": ""}

    with pytest.raises(SettingsError, match=r"SAGEMAKER_BUCKET, .*SAGEMAKER_ROLE_ARN"):
        load_stack("sagemaker", some)


def test_both_sagemaker_stacks_differ_in_their_name_alone():
    aws, emulated = (load_stack(name, VARIABLES) for name in ("sagemaker", "sagemaker-emulated"))

    assert emulated.emulated
    of_aws = {"option": aws.option, "name": aws.name, "emulated": False}
    assert emulated.model_copy(update=of_aws) == aws


def test_a_name_that_differs_between_environments_is_chosen_by_the_same_option(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(files, "FOLDER", tmp_path)
    (tmp_path / "team.yaml").write_text("name: bank-${USER}\ncomponents: {}\n")

    stack = load_stack("team", {"USER": "staging"})

    assert (stack.name, stack.option) == ("bank-staging", "team")


def test_what_is_created_tells_whose_it_is_in_the_form_of_a_name():
    tags = load_stack("sagemaker", VARIABLES).tags

    assert tags == {"project": "bank-marketing", "user": "ann-smith-example-or"}
    assert load_stack("local").tags == {}


def test_a_user_without_letters_is_an_error():
    with pytest.raises(SettingsError, match=r"tags: .*user begins the names .*got '\?\?'"):
        load_stack("sagemaker", VARIABLES | {"USER": "??"})


def test_a_processing_job_has_no_spot_instances():
    job = load_stack("sagemaker", VARIABLES).sagemaker.step_jobs["default"]

    with pytest.raises(ValidationError, match="no spot instances"):
        JobFile.model_validate(job.model_dump() | {"spot": True})


def test_a_spot_instance_is_not_kept_warm():
    job = load_stack("sagemaker", VARIABLES).sagemaker.step_jobs["train_model"]

    with pytest.raises(ValidationError, match="cannot be kept warm"):
        JobFile.model_validate(job.model_dump() | {"spot": True, "keep_alive_s": 60})


@pytest.mark.parametrize("change", [{"type": "processing"}, {"keep_alive_s": 60}])
def test_what_a_step_submits_is_a_training_job_that_keeps_nothing_warm(change):
    values = load_stack("sagemaker", VARIABLES).sagemaker.model_dump()
    values["submitted_job"] |= change

    with pytest.raises(ValidationError, match="are training jobs"):
        SageMakerFile.model_validate(values)


@pytest.mark.parametrize("uri", ["contacts.csv", "file:///contacts.csv", "s3://"])
def test_the_table_of_a_stack_is_where_others_find_it_too(uri):
    values = load_stack("sagemaker", VARIABLES).sagemaker.model_dump()

    with pytest.raises(ValidationError, match="data"):
        SageMakerFile.model_validate(values | {"data": uri})


@pytest.mark.parametrize(
    "tags",
    [{f"tag-{number}": "" for number in range(9)}, {"aws:owner": "ann"}, {"team": "sales, north"}],
    ids=["too many", "a key of AWS's own", "a comma"],
)
def test_tags_that_aws_would_refuse_are_refused_here(tags):
    values = load_stack("sagemaker", VARIABLES).sagemaker.model_dump()
    values["tags"] |= tags

    with pytest.raises(ValidationError, match=r"10 tags at most|AWS takes letters"):
        SageMakerFile.model_validate(values)
