"""Transform jobs: files in, files out."""

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.contract.sagemaker.conftest import BUCKET
from tests.contract.sagemaker.models import MODEL_IMAGE, put_model_data

ENDED = ("Completed", "Failed", "Stopped")
CSV = {"ContentType": "text/csv"}
LINES = {**CSV, "SplitType": "Line"}


@pytest.fixture
def start(sagemaker: Any, s3: Any, role: str, name: str) -> Callable[..., None]:
    """Start a job with a model that doubles, on what lies under the test's own prefix."""

    def create(*, source: Any, target: Any = None, variables: Any = None, **changes: Any) -> None:
        container = {"Image": MODEL_IMAGE, "ModelDataUrl": put_model_data(s3, f"m/{name}", 2)}
        sagemaker.create_model(
            ModelName=name,
            ExecutionRoleArn=role,
            PrimaryContainer={**container, "Environment": variables or {}},
        )
        data = {"S3DataType": "S3Prefix", "S3Uri": f"s3://{BUCKET}/{name}/in/"}
        request = {
            "TransformJobName": name,
            "ModelName": name,
            "TransformInput": {"DataSource": {"S3DataSource": data}, **source},
            "TransformOutput": {"S3OutputPath": f"s3://{BUCKET}/{name}/out", **(target or {})},
            "TransformResources": {"InstanceType": "ml.m5.large", "InstanceCount": 1},
        }
        sagemaker.create_transform_job(**request | changes)

    return create


@pytest.fixture
def transform(
    start: Callable[..., None], sagemaker: Any, name: str, until: Callable[..., Any]
) -> Callable[..., Any]:
    """Run a job; return its description once it has ended."""

    def run(**request: Any) -> Any:
        start(**request)
        return until(
            lambda: sagemaker.describe_transform_job(TransformJobName=name),
            lambda job: job["TransformJobStatus"] in ENDED,
        )

    return run


def put(s3: Any, key: str, body: str) -> None:
    s3.put_object(Bucket=BUCKET, Key=key, Body=body.encode())


def got(s3: Any, key: str) -> str:
    return str(s3.get_object(Bucket=BUCKET, Key=key)["Body"].read().decode())


def log_messages(client: Callable[[str], Any], job: str) -> list[str]:
    logs = client("logs")
    group = "/aws/sagemaker/TransformJobs"
    streams = logs.describe_log_streams(logGroupName=group, logStreamNamePrefix=f"{job}/")
    return [
        event["message"]
        for stream in streams["logStreams"]
        for event in logs.get_log_events(logGroupName=group, logStreamName=stream["logStreamName"])[
            "events"
        ]
    ]


class TestFiles:
    def test_every_file_gets_its_answers_beside_its_name(self, transform, s3, name):
        put(s3, f"{name}/in/a.csv", "1,2\n3,4\n")
        put(s3, f"{name}/in/deep/b.csv", "5\n")

        job = transform(source=CSV)

        assert job["TransformJobStatus"] == "Completed"
        assert job["TransformStartTime"] <= job["TransformEndTime"]
        assert got(s3, f"{name}/out/a.csv.out") == "6\n14\n"
        assert got(s3, f"{name}/out/deep/b.csv.out") == "10\n"

    def test_a_file_of_many_lines_goes_in_batches_and_keeps_its_order(self, transform, s3, name):
        rows = 41_188
        put(s3, f"{name}/in/rows.csv", "".join(f"{n},0.5,{'0' * 50}\n" for n in range(rows)))

        job = transform(
            source=LINES,
            target={"AssembleWith": "Line"},
            BatchStrategy="MultiRecord",
            MaxPayloadInMB=1,
            MaxConcurrentTransforms=4,
        )

        assert job["TransformJobStatus"] == "Completed"
        lines = got(s3, f"{name}/out/rows.csv.out").splitlines()
        assert lines == [f"{2 * n + 1:g}" for n in range(rows)]

    def test_records_can_go_one_by_one(self, transform, s3, name):
        put(s3, f"{name}/in/orders", "variable SAGEMAKER_BATCH\nvariable GIVEN\nvariable OWN")

        transform(
            source={"ContentType": "text/x-order", "SplitType": "Line"},
            target={"AssembleWith": "Line", "Accept": "text/plain"},
            BatchStrategy="SingleRecord",
            Environment={"GIVEN": "by the job"},
            variables={"OWN": "of the model"},
        )

        assert got(s3, f"{name}/out/orders.out") == "true\nby the job\nof the model\n"

    @pytest.mark.parametrize(
        ("processing", "expected"),
        [
            ({"InputFilter": "$[1:]"}, "6\n10\n"),
            ({"InputFilter": "$[2]", "JoinSource": "Input"}, "7,1,2,4\n8,2,3,6\n"),
            (
                {"InputFilter": "$[:-1]", "JoinSource": "Input", "OutputFilter": "$[0,-1]"},
                "7,16\n8,20\n",
            ),
        ],
    )
    def test_columns_are_left_out_and_joined(self, transform, s3, name, processing, expected):
        put(s3, f"{name}/in/a.csv", "7,1,2\n8,2,3\n")

        transform(source=LINES, target={"AssembleWith": "Line"}, DataProcessing=processing)

        assert got(s3, f"{name}/out/a.csv.out") == expected

    def test_the_sdk_transforms_and_waits(self, sagemaker_session, s3, role, name):
        from sagemaker.model import Model

        put(s3, f"{name}/in/a.csv", "1,2\n")
        model = Model(
            MODEL_IMAGE,
            put_model_data(s3, name, 3),
            role,
            name=name,
            sagemaker_session=sagemaker_session,
        )

        transformer = model.transformer(1, "ml.m5.large", output_path=f"s3://{BUCKET}/{name}/out")
        transformer.transform(
            f"s3://{BUCKET}/{name}/in", content_type="text/csv", wait=True, logs=False
        )

        assert got(s3, f"{name}/out/a.csv.out") == "9\n"


class TestEnd:
    @pytest.mark.parametrize(("status", "whose"), [(400, "ClientError"), (500, "AlgorithmError")])
    def test_an_error_of_the_model_fails_the_job_and_is_in_its_data_log(
        self, transform, s3, client, name, status, whose
    ):
        put(s3, f"{name}/in/a", f"fail {status} no such column")

        job = transform(
            source={"ContentType": "text/x-order"}, ModelClientConfig={"InvocationsMaxRetries": 0}
        )

        assert job["TransformJobStatus"] == "Failed"
        assert job["FailureReason"] == f"{whose}: See job logs for more information"
        source = f"[sagemaker logs]: {BUCKET}/{name}/in/a: "
        assert log_messages(client, name) == [
            f"{source}Bad HTTP status received from algorithm: {status}",
            f"{source}no such column",
        ]

    def test_a_container_that_does_not_answer_fails_the_job(self, transform, s3, client, name):
        put(s3, f"{name}/in/a", "1")

        job = transform(source=CSV, variables={"BROKEN": "yes"})

        assert job["FailureReason"].startswith("AlgorithmError: Model container failed to respond")
        assert log_messages(client, name) == ["the model cannot be loaded"]

    def test_a_job_without_input_fails(self, transform):
        job = transform(source=CSV)

        assert job["FailureReason"].startswith("ClientError: No S3 objects found under S3 URL")

    def test_a_record_larger_than_a_request_fails_the_job(self, transform, s3, name):
        put(s3, f"{name}/in/a", "1" * (2**20 + 1))

        job = transform(source=LINES, MaxPayloadInMB=1)

        assert "exceeds MaxPayloadInMB" in job["FailureReason"]

    @pytest.mark.parametrize(
        ("processing", "said"),
        [
            ({"InputFilter": "$[5]"}, "list index out of range"),
            ({"JoinSource": "Input"}, "2 records got 1 answers"),
        ],
    )
    def test_data_that_do_not_fit_their_processing_fail_the_job(
        self, transform, s3, client, name, processing, said
    ):
        put(s3, f"{name}/in/a", "1,2\n1,2\n")

        job = transform(
            source={**LINES, "ContentType": "text/csv; one-answer"},
            target={"AssembleWith": "Line"},
            DataProcessing=processing,
        )

        assert job["FailureReason"] == "ClientError: See job logs for more information"
        assert log_messages(client, name) == [f"[sagemaker logs]: {BUCKET}/{name}/in/a: {said}"]

    def test_a_job_can_be_stopped(self, start, sagemaker, s3, name, until):
        put(s3, f"{name}/in/a", "sleep 0.2\n" * 200)
        start(
            source={"ContentType": "text/x-order", "SplitType": "Line"},
            BatchStrategy="SingleRecord",
        )
        describe = partial(sagemaker.describe_transform_job, TransformJobName=name)
        until(describe, lambda job: "TransformStartTime" in job)

        sagemaker.stop_transform_job(TransformJobName=name)

        until(describe, lambda job: job["TransformJobStatus"] == "Stopped", timeout_s=10)
        assert "Contents" not in s3.list_objects_v2(Bucket=BUCKET, Prefix=f"{name}/out")

    def test_jobs_are_listed(self, transform, sagemaker, s3, name):
        put(s3, f"{name}/in/a", "1")
        transform(source=CSV)

        listed = sagemaker.list_transform_jobs(NameContains=name)["TransformJobSummaries"]

        assert [each["TransformJobStatus"] for each in listed] == ["Completed"]


class TestRefusals:
    def test_a_job_needs_its_model(self, start):
        with pytest.raises(ClientError, match="Could not find model"):
            start(source=CSV, ModelName="nobody")

    def test_machines_beyond_the_quota_are_refused(self, sagemaker, start):
        resources = {"InstanceType": "ml.p3.16xlarge", "InstanceCount": 1}
        with pytest.raises(sagemaker.exceptions.ResourceLimitExceeded, match="transform job usage"):
            start(source=CSV, TransformResources=resources)

    def test_requests_may_not_be_too_large_together(self, start):
        with pytest.raises(ClientError, match="must not exceed 100 MB"):
            start(source=CSV, MaxPayloadInMB=30, MaxConcurrentTransforms=4)

    @pytest.mark.parametrize(
        "changes",
        [
            {"source": {"SplitType": "RecordIO"}},
            {"source": {**CSV, "CompressionType": "Gzip"}},
            {"source": CSV, "DataProcessing": {"JoinSource": "Input"}},
            {"source": LINES, "DataProcessing": {"InputFilter": "$.features"}},
        ],
    )
    def test_what_is_not_emulated_says_so(self, start, changes):
        with pytest.raises(ClientError, match="is not emulated"):
            start(**changes)
