"""The tracker behind the flavor `sagemaker_mlflow`."""

from importlib import import_module

from zenml.integrations.mlflow.experiment_trackers import MLFlowExperimentTracker

from .sagemaker_mlflow import ARN


class SageMakerMlflowTracker(MLFlowExperimentTracker):
    """ZenML's own, but for the addresses that it accepts."""

    def _ensure_valid_tracking_uri(self) -> None:
        """Fail here, not in the first request, where the plugin is missing that knows ARNs."""
        if ARN.fullmatch(self.get_tracking_uri()):
            import_module("sagemaker_mlflow")
