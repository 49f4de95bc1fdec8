"""A SageMaker that really runs, on any machine, without an account and without Docker."""
