"""What is printed of a stack holds no secret."""

import pytest
from zenml.integrations.aws.flavors import AWSContainerRegistryFlavor
from zenml.integrations.s3.flavors import S3ArtifactStoreFlavor
from zenml.utils.secret_utils import is_secret_field

from stacks.flavors.sagemaker_mlflow import SageMakerMlflowFlavor
from stacks.flavors.sagemaker_named import NamedSageMakerFlavor
from stacks.masking import masked


@pytest.mark.parametrize(
    "flavor",
    [
        AWSContainerRegistryFlavor,
        NamedSageMakerFlavor,
        S3ArtifactStoreFlavor,
        SageMakerMlflowFlavor,
    ],
)
def test_what_zenml_calls_a_secret_is_one(flavor):
    fields = flavor().config_class.model_fields
    secret = [name for name, field in fields.items() if is_secret_field(field)]

    assert masked(dict.fromkeys(secret, "words")) == dict.fromkeys(secret, "***")


@pytest.mark.parametrize(
    ("configuration", "shown"),
    [
        ({"region": "eu-west-1", "workers": 2}, {"region": "eu-west-1", "workers": 2}),
        ({"tracking_token": None}, {"tracking_token": None}),
        ({"tracking_token": "{{mlflow.token}}"}, {"tracking_token": "{{mlflow.token}}"}),
        (
            {"client_kwargs": {"api_key": "words"}},  # pragma: allowlist secret
            {"client_kwargs": {"api_key": "***"}},
        ),
        ({"credentials": {"ann": "words"}}, {"credentials": "***"}),
        (
            {"hosts": [{"password": "words"}]},  # pragma: allowlist secret
            {"hosts": [{"password": "***"}]},
        ),
        (
            {"uri": "https://ann:words@host/a"},  # pragma: allowlist secret
            {"uri": "https://***@host/a"},
        ),
    ],
)
def test_a_secret_is_masked_wherever_it_is(configuration, shown):
    assert masked(configuration) == shown
