import pytest

from bank_marketing.errors import SettingsError
from stacks import files
from stacks.files import load_stack, stack_names


def test_every_stack_file_is_legal():
    for name in stack_names():
        assert load_stack(name).components


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
