"""Model versions across MLflow and ZenML: one number, the same in both."""
