"""Amazon SageMaker, and what it needs around it: the one place that knows boto3's SageMaker."""
