"""MLflow by the ARN of SageMaker, or by the address of any server, as an experiment tracker."""

import re
from typing import TYPE_CHECKING, Self
from urllib.parse import urlsplit

from pydantic import Field, field_validator, model_validator
from zenml.integrations.mlflow.flavors import (
    MLFlowExperimentTrackerConfig,
    MLFlowExperimentTrackerFlavor,
)

if TYPE_CHECKING:
    from .sagemaker_mlflow_tracker import SageMakerMlflowTracker

ARN = re.compile(
    r"arn:aws[a-z-]*:sagemaker:[a-z0-9-]+:\d{12}:(mlflow-tracking-server|mlflow-app)/[\w-]+"
)
URL = re.compile(r"https?://[^\s/]+\S*")


class SageMakerMlflowConfig(MLFlowExperimentTrackerConfig):
    """Where MLflow is; requests to an ARN are signed with the credentials of AWS."""

    tracking_uri: str = Field(
        description="ARN of an MLflow tracking server or MLflow app of SageMaker, or the http(s) "
        "address of any MLflow server."
    )

    @field_validator("tracking_uri")
    @classmethod
    def _be_an_address(cls, uri: str) -> str:
        if not ARN.fullmatch(uri) and not URL.fullmatch(uri):
            raise ValueError(
                "must be an ARN like arn:aws:sagemaker:REGION:ACCOUNT:mlflow-tracking-server/NAME "
                "or arn:aws:sagemaker:REGION:ACCOUNT:mlflow-app/ID, or an address like "
                f"https://HOST; got {uri!r}"
            )
        if urlsplit(uri).password:
            raise ValueError(
                "must hold no password, because it is recorded; "
                "set tracking_username and tracking_password, or tracking_token"
            )
        return uri

    @model_validator(mode="after")
    def _ensure_exactly_one_authentication_method_if_necessary(self) -> Self:
        """Take the place of ZenML's rule, which demands credentials for every server."""
        methods = self._configured_authentication_methods()
        if methods and ARN.fullmatch(self.tracking_uri):
            raise ValueError(
                f"requests to an ARN are signed with AWS credentials; leave out {methods[0]}"
            )
        if len(methods) > 1:
            raise ValueError(f"one way to authenticate is enough, got {' and '.join(methods)}")
        return self

    @property
    def is_local(self) -> bool:
        """Say that jobs elsewhere can reach it; SageMaker's orchestrator demands that."""
        return False


class SageMakerMlflowFlavor(MLFlowExperimentTrackerFlavor):
    """What ZenML registers under the name `sagemaker_mlflow`."""

    @property
    def name(self) -> str:
        return "sagemaker_mlflow"

    @property
    def display_name(self) -> str:
        return "MLflow on SageMaker"

    @property
    def docs_url(self) -> None:
        """ZenML's pages do not know this flavor."""

    @property
    def sdk_docs_url(self) -> None:
        """ZenML's pages do not know this flavor."""

    @property
    def config_class(self) -> type[SageMakerMlflowConfig]:
        return SageMakerMlflowConfig

    @property
    def implementation_class(self) -> "type[SageMakerMlflowTracker]":
        from .sagemaker_mlflow_tracker import SageMakerMlflowTracker  # it imports MLflow

        return SageMakerMlflowTracker
