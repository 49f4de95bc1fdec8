"""A place for the jobs of tests; each test changes what it is about."""

from platforms.base import JobPlace

PLACE = JobPlace(
    region="eu-west-1",
    role="arn:aws:iam::123456789012:role/jobs",
    output_uri="s3://bucket/run",
    image="image",
    instance_type="ml.m5.large",
    volume_gb=5,
    max_runtime_s=600,
    spot=False,
    subnets=(),
    security_group_ids=(),
    tags={"project": "bank", "user": "ann"},
)
