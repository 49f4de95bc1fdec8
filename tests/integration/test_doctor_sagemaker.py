"""`stack doctor` finds what would break a run on SageMaker, one thing at a time.

The emulator stands for AWS. What it has no idea of (IAM's simulator, quotas, MLflow servers) is
answered by a server before it, as AWS would.
"""

import json
from collections.abc import Iterator
from datetime import timedelta
from importlib.metadata import version
from pathlib import Path
from typing import Any

import boto3
import botocore.session
import pytest

from platforms.sagemaker.roles import trust_policy
from sagemaker_emulator.faults import Fault
from sagemaker_emulator.server import REGION, Emulator
from stacks.doctor import sagemaker
from stacks.doctor.check import Check, look_at
from stacks.doctor.resources import lock_tag
from stacks.files import ComponentFile, DockerFile, JobFile, SageMakerFile, StackFile
from tests.aws_answers import Answers, answers
from tests.mlflow_server import free_port, serve

pytestmark = pytest.mark.slow

ACCOUNT = "123456789012"
CALLER = f"arn:aws:sts::{ACCOUNT}:user/moto"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/jobs"
MLFLOW = f"arn:aws:sagemaker:{REGION}:{ACCOUNT}:mlflow-tracking-server/team"
IMAGE = f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com/steps"
BUCKET = "artifacts"
JOB = JobFile(
    type="training",
    instance_type="ml.m5.large",
    volume_gb=30,
    max_runtime_s=3600,
    spot=False,
    keep_alive_s=0,
)
QUOTA = "ml.m5.large for training job usage"


def stack(**changes: Any) -> StackFile:
    """Describe a stack of which everything exists, but for `changes`."""
    values = {
        "region": REGION,
        "role": ROLE,
        "bucket": BUCKET,
        "image": f"{IMAGE}:1",
        "mlflow": MLFLOW,
        "tracker": "mlflow",
        "emulated": False,
    } | changes
    return StackFile(
        option="team",
        name="team",
        emulated=values["emulated"],
        components={
            "orchestrator": ComponentFile(
                flavor="sagemaker",
                config={
                    "region": values["region"],
                    "execution_role": values["role"],
                    "bucket": values["bucket"],
                },
            ),
            "artifact_store": ComponentFile(
                flavor="s3", config={"path": f"s3://{values['bucket']}/bank-marketing"}
            ),
            "experiment_tracker": ComponentFile(
                flavor=values["tracker"], config={"tracking_uri": values["mlflow"]}
            ),
        },
        sagemaker=SageMakerFile(
            docker=DockerFile(
                parent_image=values["image"],
                dockerfile=None if values["image"] else "docker/Dockerfile",
            ),
            step_jobs={"default": JOB},
            submitted_job=JOB,
            subnets=(),
            security_group_ids=(),
            tags={"project": "bank", "user": "ann"},
        ),
    )


def quotas(value: int) -> list[dict[str, Any]]:
    return [{"QuotaName": QUOTA, "QuotaCode": "L-8541302D", "Value": value}]


def simulated(decision: str) -> str:
    return (
        "<EvaluationResults><member><EvalActionName>iam:PassRole</EvalActionName>"
        f"<EvalDecision>{decision}</EvalDecision></member></EvaluationResults>"
    )


@pytest.fixture(scope="module")
def emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulator]:
    with Emulator(tmp_path_factory.mktemp("sagemaker")) as emulator:
        create_account(emulator)
        yield emulator


def create_account(emulator: Emulator) -> None:
    """Create what the stack names, and things that are wrong in one way."""

    def client(service: str, region: str = REGION) -> Any:
        return emulator.session(region).client(service, endpoint_url=emulator.url)

    client("iam").create_role(RoleName="jobs", AssumeRolePolicyDocument=trust_policy())
    client("iam").create_role(
        RoleName="servers", AssumeRolePolicyDocument=trust_policy("ec2.amazonaws.com")
    )
    for name, region in (
        (BUCKET, REGION),
        ("plain", REGION),
        ("open", REGION),
        ("far", "eu-west-3"),
    ):
        client("s3", region).create_bucket(
            Bucket=name, CreateBucketConfiguration={"LocationConstraint": region}
        )
        if name != "plain":
            client("s3", region).put_bucket_encryption(
                Bucket=name,
                ServerSideEncryptionConfiguration={
                    "Rules": [{"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}]
                },
            )
        if name != "open":
            client("s3", region).put_public_access_block(
                Bucket=name,
                PublicAccessBlockConfiguration={
                    "BlockPublicAcls": True,
                    "IgnorePublicAcls": True,
                    "BlockPublicPolicy": True,
                    "RestrictPublicBuckets": True,
                },
            )
    client("ecr").create_repository(repositoryName="steps")
    for version_, tags in enumerate(((lock_tag(), "1"), ("lock-0123456789ab", "old"), ("bare",))):
        manifest = json.dumps(
            {
                "schemaVersion": 2,
                "mediaType": "application/vnd.docker.distribution.manifest.v2+json",
                "config": {"digest": f"sha256:{version_:064}", "size": 1},
                "layers": [],
            }
        )
        for tag in tags:
            client("ecr").put_image(repositoryName="steps", imageManifest=manifest, imageTag=tag)


@pytest.fixture(scope="module")
def mlflow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("mlflow")
    with serve(f"sqlite:///{folder / 'mlflow.db'}", folder) as server:
        yield server.url


@pytest.fixture(scope="module")
def service_models() -> Any:
    """What reads the descriptions of AWS's services, and keeps them: each takes a moment."""
    return botocore.session.get_session().get_component("data_loader")


@pytest.fixture(autouse=True)
def aws(
    emulator: Emulator,
    mlflow: str,
    service_models: Any,
    monkeypatch: pytest.MonkeyPatch,
    zenml_home: Path,
) -> Iterator[Answers]:
    """An account in which all is well, and credentials for it in the environment."""
    for name, value in emulator.environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("AWS_PROFILE", raising=False)
    monkeypatch.setenv("SAGEMAKER_MLFLOW_CUSTOM_ENDPOINT", mlflow)
    session = botocore.session.get_session()
    session.register_component("data_loader", service_models)
    # Another one would keep the credentials of the test before.
    boto3.setup_default_session(botocore_session=session)
    with answers(emulator.url) as before:
        for service in ("STS", "IAM", "SAGEMAKER", "SERVICE_QUOTAS"):
            monkeypatch.setenv(f"AWS_ENDPOINT_URL_{service}", before.url)
        before.xml("SimulatePrincipalPolicy", simulated("allowed"))
        before.json("ListServiceQuotas", Quotas=quotas(4))
        before.json(
            "DescribeMlflowTrackingServer",
            IsActive="Active",
            TrackingServerStatus="Started",
            MlflowVersion=version("mlflow"),
            TrackingServerArn=MLFLOW,
        )
        yield before
    emulator.faults.clear()


def examine(wanted: StackFile) -> dict[str, Check]:
    assert wanted.sagemaker is not None
    return {check.name: check for check in look_at(sagemaker.looks(wanted, wanted.sagemaker))}


def the_problem(wanted: StackFile) -> Check:
    """Return the only problem of a stack."""
    (problem,) = [check for check in examine(wanted).values() if check.state == "problem"]
    return problem


def test_a_good_stack_is_all_ok():
    checks = examine(stack())

    assert {name: check.found for name, check in checks.items() if check.state != "ok"} == {}
    assert list(checks) == [
        "region",
        "clock",
        "credentials",
        "SageMaker",
        "bucket artifacts",
        "MLflow address",
        "MLflow server",
        "MLflow",
        "role",
        "PassRole",
        "PassRole of the role",
        "image",
        "libraries in the image",
        "encryption of bucket artifacts",
        "public access of bucket artifacts",
        f"quota of {QUOTA}",
    ]


class TestCredentials:
    def test_none(self, monkeypatch):
        monkeypatch.delenv("AWS_ACCESS_KEY_ID")
        monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")

        problem = the_problem(stack())

        assert problem.name == "credentials"
        assert "Unable to locate credentials" in problem.found
        assert problem.remedy == "aws configure sso, then export AWS_PROFILE=NAME"

    def test_expired(self, emulator):
        emulator.faults.add(
            Fault("sts", code="ExpiredToken", message="The token is expired", status=403)
        )

        problem = the_problem(stack())

        assert problem.name == "credentials"
        assert "ExpiredToken: The token is expired" in problem.found
        assert problem.remedy == "aws sso login"

    def test_what_needs_them_is_skipped_with_the_reason(self, emulator):
        emulator.faults.add(Fault("sts", code="InvalidClientTokenId", status=403))

        checks = examine(stack())

        assert checks["credentials"].remedy == "aws configure"
        assert checks["role"].state == "unknown"
        assert checks["role"].found == "not looked at: 'credentials' has to be ok first"
        assert checks["PassRole"].found == "not looked at: 'role' has to be ok first"

    def test_nobody_answers(self, monkeypatch):
        monkeypatch.setenv("AWS_ENDPOINT_URL_STS", f"http://127.0.0.1:{free_port()}")

        problem = the_problem(stack())

        assert problem.name == "credentials"
        assert "Could not connect to the endpoint URL" in problem.found
        assert problem.remedy.startswith("check the network")

    def test_an_emulator_that_is_not_up(self, monkeypatch):
        monkeypatch.setenv("AWS_ENDPOINT_URL_STS", f"http://127.0.0.1:{free_port()}")

        assert the_problem(stack(emulated=True)).remedy == "python run.py emulator up"


class TestRegionAndClock:
    def test_a_region_without_sagemaker(self):
        problem = the_problem(stack(region="eu-west-9"))

        assert problem.name == "region"
        assert "no SageMaker in 'eu-west-9', but in eu-central-1, " in problem.found
        assert problem.remedy == "export AWS_REGION=eu-central-1"

    @pytest.mark.parametrize(
        ("ahead", "told"), [(600, "behind AWS, which refuses"), (-600, "ahead of AWS")]
    )
    def test_a_clock_that_is_ten_minutes_off(self, aws, ahead, told):
        aws.ahead = timedelta(seconds=ahead)

        problem = the_problem(stack())

        assert problem.name == "clock"
        assert told in problem.found
        assert problem.remedy == "sudo timedatectl set-ntp true"

    def test_sagemaker_refuses(self, emulator):
        emulator.faults.add(
            Fault("sagemaker", "ListProcessingJobs", code="AccessDeniedException", message="No.")
        )

        problem = the_problem(stack())

        assert problem.name == "SageMaker"
        assert problem.remedy.startswith("let arn:aws:sts::123456789012:user/moto use sagemaker:*")


class TestRole:
    def test_missing(self):
        problem = the_problem(stack(role=f"arn:aws:iam::{ACCOUNT}:role/nobody"))

        assert problem.name == "role"
        assert problem.found == "there is no role nobody"

    def test_for_another_service(self):
        problem = the_problem(stack(role=f"arn:aws:iam::{ACCOUNT}:role/servers"))

        assert problem.found.endswith(
            "lets ec2.amazonaws.com take it on, not sagemaker.amazonaws.com"
        )
        assert problem.remedy.startswith(
            "aws iam update-assume-role-policy --role-name servers --policy-document '"
        )
        document = json.loads(problem.remedy.split("'")[1])
        assert document == json.loads(trust_policy())

    def test_of_another_account(self):
        problem = the_problem(stack(role="arn:aws:iam::210987654321:role/jobs"))

        assert "is not of account 123456789012" in problem.found

    def test_that_we_may_not_hand_over(self, aws):
        aws.xml("SimulatePrincipalPolicy", simulated("implicitDeny"), to=f"Arn={CALLER}")

        problem = the_problem(stack())

        assert problem.name == "PassRole"
        assert problem.found == f"{CALLER} may not hand {ROLE} to SageMaker: implicitDeny"
        assert problem.remedy == f"allow {CALLER} iam:PassRole on {ROLE}"

    def test_that_may_not_hand_itself_to_its_jobs(self, aws):
        aws.xml("SimulatePrincipalPolicy", simulated("explicitDeny"), to=f"SourceArn={ROLE}")

        problem = the_problem(stack())

        assert problem.name == "PassRole of the role"
        assert problem.found == f"{ROLE} may not hand {ROLE} to SageMaker: explicitDeny"

    def test_that_is_on_another_path(self):
        elsewhere = f"arn:aws:iam::{ACCOUNT}:role/team/jobs"

        problem = the_problem(stack(role=elsewhere))

        assert problem.found == f"there is no {elsewhere}, but {ROLE}"
        assert problem.remedy == f"export SAGEMAKER_ROLE_ARN={ROLE}"

    def test_nobody_may_ask_whether_we_may_hand_it_over(self, emulator, aws):
        del aws.bodies["SimulatePrincipalPolicy"]
        emulator.faults.add(
            Fault("iam", "SimulatePrincipalPolicy", code="AccessDenied", message="No.", status=403)
        )

        check = examine(stack())["PassRole"]

        assert check.state == "unknown"
        assert check.found.startswith("could not be checked: simulate iam:PassRole for arn:aws:")
        assert check.found.endswith("AccessDenied: No.")


class TestBucket:
    def test_missing(self):
        problem = the_problem(stack(bucket="nowhere"))

        assert problem.name == "bucket nowhere"
        assert problem.remedy == f"aws s3 mb s3://nowhere --region {REGION}"

    def test_in_another_region(self):
        problem = the_problem(stack(bucket="far"))

        assert problem.found == "far is in eu-west-3, the jobs are in eu-west-1"
        assert "AWS_REGION to eu-west-3" in problem.remedy

    def test_without_encryption(self):
        problem = the_problem(stack(bucket="plain"))

        assert problem.name == "encryption of bucket plain"
        assert problem.remedy.startswith("aws s3api put-bucket-encryption --bucket plain ")

    def test_that_may_become_public(self):
        problem = the_problem(stack(bucket="open"))

        assert problem.name == "public access of bucket open"
        assert problem.remedy.startswith("aws s3api put-public-access-block --bucket open ")

    def test_of_somebody_else(self, emulator):
        emulator.faults.add(Fault("s3", "HeadBucket", code="403", status=403))

        problem = the_problem(stack())

        assert problem.name == "bucket artifacts"
        assert "artifacts is not of account 123456789012" in problem.found


class TestImage:
    @pytest.mark.parametrize("name", [f"{IMAGE}:2", f"{IMAGE}-of-yore:1"])
    def test_missing(self, name):
        problem = the_problem(stack(image=name))

        assert problem.name == "image"
        assert problem.remedy == f"docker push {name}"

    def test_outside_ecr(self):
        assert "is not in ECR" in the_problem(stack(image="python:3.12")).found

    def test_of_another_account_is_left_open(self):
        image = f"210987654321.dkr.ecr.{REGION}.amazonaws.com/steps:1"

        assert examine(stack(image=image))["image"].state == "unknown"

    def test_with_other_libraries(self):
        problem = the_problem(stack(image=f"{IMAGE}:old"))

        assert problem.name == "libraries in the image"
        assert problem.found.startswith("the image was built from lock-0123456789ab")

    def test_that_does_not_tell_its_libraries(self):
        check = examine(stack(image=f"{IMAGE}:bare"))["libraries in the image"]

        assert check.state == "unknown"
        assert check.remedy == f"tag the image {lock_tag()} when you build it"


class TestQuota:
    @pytest.mark.parametrize("value", [0, 2])
    def test_too_small(self, aws, value):
        aws.json("ListServiceQuotas", Quotas=quotas(value))

        problem = the_problem(stack())

        assert problem.name == f"quota of {QUOTA}"
        assert problem.found == (
            f"{value}, and at least 3 run at a time, tuning.workers of them in a tuning job"
        )
        assert problem.remedy == (
            "aws service-quotas request-service-quota-increase --service-code sagemaker "
            f"--quota-code L-8541302D --desired-value 3 --region {REGION}"
        )

    def test_not_listed(self, aws):
        aws.json("ListServiceQuotas", Quotas=[])

        assert examine(stack())[f"quota of {QUOTA}"].state == "unknown"


class TestMlflow:
    def test_away(self, monkeypatch):
        monkeypatch.setenv("SAGEMAKER_MLFLOW_CUSTOM_ENDPOINT", f"http://127.0.0.1:{free_port()}")

        problem = the_problem(stack())

        assert problem.name == "MLflow"
        assert problem.remedy == "start the server, or set SAGEMAKER_MLFLOW to another"

    def test_stopped(self, aws):
        aws.json(
            "DescribeMlflowTrackingServer", IsActive="Inactive", TrackingServerStatus="Stopped"
        )

        problem = the_problem(stack())

        assert problem.found == "team is Stopped"
        assert problem.remedy == (
            "aws sagemaker start-mlflow-tracking-server --tracking-server-name team"
        )

    def test_by_its_name(self):
        checks = examine(stack(mlflow="team", tracker="sagemaker_mlflow"))

        assert checks["MLflow address"].found == MLFLOW
        assert {check.state for check in checks.values()} == {"ok"}

    def test_by_the_name_of_one_that_is_stopped(self, aws):
        aws.json(
            "DescribeMlflowTrackingServer", IsActive="Inactive", TrackingServerStatus="Stopped"
        )

        problem = the_problem(stack(mlflow="team", tracker="sagemaker_mlflow"))

        assert problem.name == "MLflow address"
        assert problem.found.startswith("MLflow tracking server 'team' is Stopped, not active; run")

    def test_by_a_name_that_nobody_may_look_up(self, emulator, aws):
        del aws.bodies["DescribeMlflowTrackingServer"]
        emulator.faults.add(
            Fault("sagemaker", "DescribeMlflowTrackingServer", code="AccessDenied", status=403)
        )

        check = examine(stack(mlflow="team", tracker="sagemaker_mlflow"))["MLflow address"]

        assert check.state == "unknown"

    def test_of_another_generation(self, aws):
        aws.json(
            "DescribeMlflowTrackingServer",
            IsActive="Active",
            TrackingServerStatus="Started",
            MlflowVersion="2.16.2",
        )

        problem = the_problem(stack())

        assert problem.name == "MLflow"
        assert problem.found == f"server 2.16.2, client {version('mlflow')}"

    def test_on_this_machine(self, mlflow):
        problem = the_problem(stack(mlflow=mlflow))

        assert problem.name == "MLflow address"
        assert problem.found == f"no job in AWS can reach {mlflow}"

    def test_on_the_machine_that_is_the_cloud(self, mlflow):
        check = examine(stack(mlflow=mlflow, emulated=True))["MLflow"]

        assert check.state == "ok"
        assert check.found == f"server {version('mlflow')}, client {version('mlflow')}"
