from pathlib import Path

import pytest

from bank_marketing.config import SplitSettings, TrainingSettings, load_settings
from bank_marketing.errors import SettingsError
from bank_marketing.experiment import flat_settings

CONFIG = Path(__file__).parent.parent.parent / "configs" / "training.yaml"


def load(*overrides: str) -> TrainingSettings:
    return load_settings(CONFIG, TrainingSettings, overrides)


def test_an_override_changes_one_value_and_nothing_else():
    changed = flat_settings(load("model.max_depth=3"))
    plain = flat_settings(load())

    assert changed.pop("model.max_depth") == "3"
    assert plain.pop("model.max_depth") != "3"
    assert changed == plain


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("model.max_depht=4", "model.max_depht: Extra inputs are not permitted"),
        ("model.max_depth=deep", "model.max_depth: Input should be a valid integer"),
        ("model.max_depth=0", "model.max_depth: Input should be greater than or equal to 1"),
        ("modle.max_depth=4", "there is no section 'modle'"),
        ("max_depth=4", "no section 'max_depth'; did you mean model.max_depth"),
        ("seed=1", "did you mean split.seed or model.seed or tuning.seed or "),
        ("weather=true", "there is no section 'weather'$"),
        ("max_depth", "--set takes section.key=value, got 'max_depth'"),
        ("=4", "--set takes section.key=value"),
        ("split.test=[", "is not a YAML value"),
        ("gate={max_brier: 1, max_brier: 0}", "is not a YAML value"),
        ("features.duration=true", "'duration' can never be a feature: .* only after the call"),
        ("features.weather=true", "features.weather: Extra inputs are not permitted"),
        ("tuning.storage=mysql://me:x@db/s", "hold no password"),  # pragma: allowlist secret
        ("tuning.backend=vizier", "tuning.backend: Input should be 'optuna' or 'sagemaker'"),
        ("training.backend=local", "training.backend: Input should be 'step', 'sagemaker'"),
        ("tuning.starting_points=[{max_depth: 99}]", "starting point max_depth=99 is outside"),
        ("slices.age_bands=[40, 30]", "age_bands must ascend"),
        ("slices.columns=[duration]", "'duration' has no levels; choose from age, job, "),
        ("slices.sensitive=[y]", "slices.sensitive: .* 'y' has no levels"),
        ("slices.columns=[job, income]", "slices.columns: .* 'income' has no levels"),
        ("features=5", "features: Input should be a valid dictionary"),
        ("model.max_depth=true", "model.max_depth: .* should be a number, got true"),
        ("slices.age_bands=[no, 30]", "age_bands.0: .* should be a number, got false"),
        ("threshold.value_per_deposit=.inf", "value_per_deposit: Input should be a finite number"),
        ("model.gamma=.nan", "model.gamma: Input should be a finite number"),
        ("model.seed=2020-99-99", "'2020-99-99' is not a YAML value"),
    ],
)
def test_a_wrong_override_is_an_error_that_names_it(override, message):
    with pytest.raises(SettingsError, match=message.replace("[", r"\[")):
        load(override)


def test_a_database_of_trials_is_refused_where_it_would_not_be_used():
    with pytest.raises(SettingsError, match="storage is for backend optuna"):
        load("tuning.backend=sagemaker", "tuning.storage=sqlite:///trials.db")


def test_a_starting_point_is_all_of_a_model_of_its_own_or_the_model_section():
    tuning = load().tuning
    searched = {each.name for each in tuning.search_space}

    of_the_model, *known = tuning.starting_points

    assert of_the_model == {}
    assert [point.keys() for point in known] == [searched] * 3


def test_every_mistake_is_named_at_once(tmp_path):
    text = CONFIG.read_text().replace("max_depth:", "max_depht:")
    (tmp_path / "typo.yaml").write_text(text)

    with pytest.raises(SettingsError, match=r"max_depth: Field required; .*max_depht: Extra"):
        load_settings(tmp_path / "typo.yaml", TrainingSettings)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"a: [", "is not YAML"),
        (b"{[a]: 1}", "is not YAML: .* unhashable key"),
        (b"a: 2020-99-99", "is not YAML: month must be in 1..12"),
        (b"\xff\xfe\x00", "is not YAML: 'utf-8' codec can't decode"),
        (b"", "must hold sections"),
        (b"gate: {}\nmodel: {}\ngate: {}", "the key 'gate' stands twice in .* line 3"),
        (b"gate: {min_roc_auc: 1, min_roc_auc: 2}", "the key 'min_roc_auc' stands twice"),
        (b"- 1", "must hold sections"),
    ],
)
def test_a_file_that_holds_no_sections_is_refused(tmp_path, content, message):
    (tmp_path / "broken.yaml").write_bytes(content)

    with pytest.raises(SettingsError, match=message):
        load_settings(tmp_path / "broken.yaml", TrainingSettings)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(SettingsError, match=r"nowhere\.yaml cannot be read: No such file"):
        load_settings(tmp_path / "nowhere.yaml", TrainingSettings)


def test_held_out_sets_leave_rows_to_train_on():
    with pytest.raises(ValueError, match=r"validation \+ test must stay below 0\.8, got 0\.90"):
        SplitSettings(strategy="random", validation=0.5, test=0.4, seed=1)
