"""Model versions across MLflow, ZenML and SageMaker: each knows its like in the others."""
