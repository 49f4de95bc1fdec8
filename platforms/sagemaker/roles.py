"""Roles that SageMaker takes on to run jobs."""

import json

SAGEMAKER = "sagemaker.amazonaws.com"


def trust_policy(service: str = SAGEMAKER) -> str:
    """Return the policy that lets a service of Amazon take a role on, as JSON."""
    statement = {
        "Effect": "Allow",
        "Principal": {"Service": service},
        "Action": "sts:AssumeRole",
    }
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]}, separators=(",", ":"))
