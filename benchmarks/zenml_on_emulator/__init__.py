"""ZenML's own SageMaker orchestrator against the emulator, a ZenML server and an MLflow server."""
