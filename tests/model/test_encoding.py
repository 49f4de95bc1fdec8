"""The features are those of scikit-learn's encoder, and belong to the schema, not to the data."""

import numpy as np
import pytest

from bank_marketing.encoder import Encoder
from bank_marketing.model import TermDepositClassifier, labels
from benchmarks.peers import column_transformer


@pytest.mark.parametrize("economic_indicators", [False, True])
def test_every_row_is_encoded_as_by_scikit_learn(table, economic_indicators):
    encoder = Encoder.from_schema(economic_indicators=economic_indicators)

    expected = column_transformer(encoder).fit_transform(table)

    np.testing.assert_array_equal(encoder.encode(table), expected.astype(np.float32))


def test_unknown_categories_are_encoded_as_by_scikit_learn(contacts):
    encoder = Encoder.from_schema(economic_indicators=False)
    strange = contacts.assign(job="astronaut", poutcome="never seen")

    expected = column_transformer(encoder).fit(contacts).transform(strange)

    np.testing.assert_array_equal(encoder.encode(strange), expected.astype(np.float32))


def test_a_category_that_training_never_saw_still_has_its_feature(contacts, settings):
    train = contacts[~contacts["job"].isin(["student", "unknown"])]
    model = settings.model.model_copy(update={"n_estimators": 5})

    bundle = TermDepositClassifier(settings.features, model).fit(train, labels(train)).bundle_

    assert bundle.booster.num_features() == 59  # the workshop's number of columns
    assert np.isfinite(bundle.probability(contacts)).all()
