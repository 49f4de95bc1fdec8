"""What the emulated account has before anybody works in it."""

import os

from botocore.session import Session

from platforms.sagemaker.roles import trust_policy
from platforms.sagemaker.session import aws_errors


def furnish(endpoint: str, *, region: str, bucket: str, name: str) -> None:
    """Create a bucket, a role that SageMaker may take, and an MLflow server in a cloud.

    Args:
        endpoint: Where the cloud answers.
        region: Where the bucket and the server are.
        bucket: Its name.
        name: Of the role and of the server.

    Raises:
        PlatformError: The cloud refuses or does not answer.
    """
    # The user's own files and profile say nothing of this cloud, and may not even be there.
    unset = (None, None, None, None)
    nowhere = (None, None, os.devnull, None)
    session = Session({"profile": unset, "config_file": nowhere, "credentials_file": nowhere})
    session.set_credentials("administrator", "testing")  # recorded as somebody else's calls
    s3, iam, sagemaker = (
        session.create_client(service, region_name=region, endpoint_url=endpoint)
        for service in ("s3", "iam", "sagemaker")
    )
    with aws_errors(f"preparing the account at {endpoint}"):
        s3.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": region})
        role = iam.create_role(RoleName=name, AssumeRolePolicyDocument=trust_policy())["Role"]
        sagemaker.create_mlflow_tracking_server(
            TrackingServerName=name, ArtifactStoreUri=f"s3://{bucket}/mlflow", RoleArn=role["Arn"]
        )
