import json
import pickle

import numpy as np
import pytest

from bank_marketing.bundle import FILES, Bundle
from bank_marketing.errors import ModelError
from bank_marketing.model import train_bundle


@pytest.fixture(scope="module")
def bundle(contacts, settings) -> Bundle:
    return train_bundle(contacts[:3000], contacts[3000:], settings.features, settings.model)


def test_a_bundle_that_was_saved_scores_the_same(bundle, contacts, tmp_path):
    bundle.save(tmp_path)

    loaded = Bundle.load(tmp_path)

    np.testing.assert_array_equal(loaded.probability(contacts), bundle.probability(contacts))


def test_the_same_training_gives_the_same_bytes(bundle, contacts, settings):
    again = train_bundle(contacts[:3000], contacts[3000:], settings.features, settings.model)

    assert again.files() == bundle.files()


def test_saving_what_was_loaded_gives_the_same_bytes(bundle):
    assert Bundle.from_files(bundle.files()).files() == bundle.files()


def test_evidence_is_in_the_manifest_and_changes_no_score(bundle, contacts):
    told = bundle.with_evidence(threshold=0.2, metrics={"roc_auc": 0.8}, data_fingerprint="f")

    manifest = json.loads(told.files()["model.json"])

    assert manifest["threshold"] == 0.2
    assert manifest["metrics"] == {"roc_auc": 0.8}
    assert manifest["data_fingerprint"] == "f"
    np.testing.assert_array_equal(told.probability(contacts), bundle.probability(contacts))


def test_no_file_of_a_bundle_is_a_pickle(bundle):
    for content in bundle.files().values():
        with pytest.raises((pickle.UnpicklingError, EOFError, KeyError, ValueError)):
            pickle.loads(content)  # noqa: S301  # it is our own, and must fail


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_named(bundle, name):
    files = {key: content for key, content in bundle.files().items() if key != name}

    with pytest.raises(ModelError, match=f"lacks {name}"):
        Bundle.from_files(files)


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("damaged", [b"", b"{ damaged", b"{}", b"[]", b"\xff\xfe"])
def test_a_damaged_file_is_an_error_of_ours(bundle, name, damaged):
    files = bundle.files() | {name: damaged}

    with pytest.raises(ModelError, match=r"cannot be read|not an encoder"):
        Bundle.from_files(files)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda contact: contact.reverse(),
            "of its 59 features number 40 is 'contact_telephone', "
            "of the 59 that the trees read 'contact_cellular'",
        ),
        (
            lambda contact: contact.pop(),
            "of its 58 features number 41 is 'month_mar', "
            "of the 59 that the trees read 'contact_telephone'",
        ),
    ],
    ids=["swapped", "fewer"],
)
def test_an_encoder_of_other_features_than_the_trees_read_is_refused(bundle, change, message):
    encoder = json.loads(bundle.files()["encoder.json"])
    [contact] = [part for part in encoder["categoricals"] if part["name"] == "contact"]
    change(contact["categories"])
    files = bundle.files() | {"encoder.json": json.dumps(encoder).encode()}

    with pytest.raises(ModelError, match=f"does not belong to xgboost-model: {message}"):
        Bundle.from_files(files)


def test_a_bundle_of_a_newer_format_is_refused(bundle):
    manifest = json.loads(bundle.files()["model.json"]) | {"format": 2, "novelty": 1}
    files = bundle.files() | {"model.json": json.dumps(manifest).encode()}

    with pytest.raises(ModelError, match="has format 2; this version reads up to 1"):
        Bundle.from_files(files)


def test_equal_bundles_have_one_checksum_and_others_another(bundle):
    again = Bundle.from_files(bundle.files())

    assert again.checksum == bundle.checksum
    assert bundle.with_evidence(threshold=0.123).checksum != bundle.checksum
