"""What an account has before anybody works in it."""

import json
import os

from botocore.session import Session

from platforms.sagemaker.session import aws_errors

_TRUST = {
    "Version": "2012-10-17",
    "Statement": [
        {
            "Effect": "Allow",
            "Principal": {"Service": "sagemaker.amazonaws.com"},
            "Action": "sts:AssumeRole",
        }
    ],
}


def furnish(endpoint: str, *, region: str, bucket: str, role: str) -> None:
    """Create a bucket, and a role that SageMaker may take, in the cloud at `endpoint`.

    Raises:
        PlatformError: The server there refuses or does not answer.
    """
    # The user's own files and profile say nothing of this cloud, and may not even be there.
    unset = (None, None, None, None)
    nowhere = (None, None, os.devnull, None)
    session = Session({"profile": unset, "config_file": nowhere, "credentials_file": nowhere})
    session.set_credentials("testing", "testing")
    s3, iam = (
        session.create_client(service, region_name=region, endpoint_url=endpoint)
        for service in ("s3", "iam")
    )
    with aws_errors(f"preparing the account at {endpoint}"):
        s3.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": region})
        iam.create_role(RoleName=role, AssumeRolePolicyDocument=json.dumps(_TRUST))
