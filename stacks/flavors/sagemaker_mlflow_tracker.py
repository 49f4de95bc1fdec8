"""The tracker behind the flavor `sagemaker_mlflow`."""

import logging
from importlib import import_module

from zenml.integrations.mlflow.experiment_trackers import MLFlowExperimentTracker

from .sagemaker_mlflow import ARN


class SageMakerMlflowTracker(MLFlowExperimentTracker):
    """ZenML's own, but for the addresses that it accepts."""

    def configure_mlflow(self) -> None:
        """Point MLflow to the server, and keep the plugin for ARNs quiet where there is none.

        With every request to another address it warns that it found no ARN
        (github.com/aws/sagemaker-mlflow/issues/15).
        """
        super().configure_mlflow()
        level = logging.NOTSET if self._has_arn else logging.ERROR
        logging.getLogger("mlflow.tracking.request_header.registry").setLevel(level)

    def _ensure_valid_tracking_uri(self) -> None:
        """Fail here, not in the first request, where the plugin is missing that knows ARNs."""
        if self._has_arn:
            import_module("sagemaker_mlflow")

    @property
    def _has_arn(self) -> bool:
        return ARN.fullmatch(self.get_tracking_uri()) is not None
