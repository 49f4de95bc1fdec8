"""Training and processing jobs, as a container and its owner see them."""

import io
import json
import os
import tarfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest

from sagemaker_emulator.faults import Fault
from tests.contract.sagemaker.conftest import BUCKET
from tests.contract.sagemaker.requests import channel, processing_request, training_request

ENDED = ("Completed", "Failed", "Stopped")


@pytest.fixture
def train(
    sagemaker: Any, role: str, name: str, tmp_path: Path, until: Callable[..., Any]
) -> Callable[..., Any]:
    """Run a script as a training job; return its description once it has ended."""

    def run(script: str, **changes: Any) -> Any:
        start_training(sagemaker, role, name, tmp_path, script, **changes)
        return until(
            lambda: sagemaker.describe_training_job(TrainingJobName=name),
            lambda job: job["TrainingJobStatus"] in ENDED,
        )

    return run


@pytest.fixture
def process(
    sagemaker: Any, role: str, name: str, tmp_path: Path, until: Callable[..., Any]
) -> Callable[..., Any]:
    """Run a script as a processing job; return its description once it has ended."""

    def run(script: str, **changes: Any) -> Any:
        file = tmp_path / "script.py"
        file.write_text(script)
        sagemaker.create_processing_job(
            **processing_request(name, role, "python", str(file), **changes)
        )
        return until(
            lambda: sagemaker.describe_processing_job(ProcessingJobName=name),
            lambda job: job["ProcessingJobStatus"] in ENDED,
        )

    return run


def start_training(
    sagemaker: Any, role: str, name: str, folder: Path, script: str, **changes: Any
) -> None:
    file = folder / "script.py"
    file.write_text(script)
    request = training_request(name, role, BUCKET, "python", str(file), **changes)
    if "metrics" in changes:
        request["AlgorithmSpecification"]["MetricDefinitions"] = request.pop("metrics")
    sagemaker.create_training_job(**request)


def instances(count: int) -> Any:
    return {"InstanceType": "ml.m5.large", "InstanceCount": count, "VolumeSizeInGB": 5}


def archived(s3: Any, uri: str) -> dict[str, bytes]:
    """Return the files in an archive on S3."""
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    body = io.BytesIO(s3.get_object(Bucket=bucket, Key=key)["Body"].read())
    with tarfile.open(fileobj=body) as tar:
        return {
            each.name: tar.extractfile(each).read()  # type: ignore[union-attr]
            for each in tar.getmembers()
            if each.isfile()
        }


def log_lines(client: Callable[[str], Any], group: str, job: str) -> dict[str, list[str]]:
    """Return what was logged so far by the host that wrote it."""
    logs = client("logs")
    try:
        streams = logs.describe_log_streams(logGroupName=group, logStreamNamePrefix=f"{job}/")
    except logs.exceptions.ResourceNotFoundException:
        return {}
    return {
        stream["logStreamName"].partition("/")[2].rpartition("-")[0]: [
            event["message"]
            for event in logs.get_log_events(
                logGroupName=group, logStreamName=stream["logStreamName"]
            )["events"]
        ]
        for stream in streams["logStreams"]
    }


class TestTraining:
    def test_the_model_folder_becomes_an_archive(self, train, s3):
        job = train("open('/opt/ml/model/weights', 'w').write('0.5')")

        assert job["TrainingJobStatus"] == "Completed"
        uri = job["ModelArtifacts"]["S3ModelArtifacts"]
        assert uri == f"s3://{BUCKET}/models/{job['TrainingJobName']}/output/model.tar.gz"
        assert archived(s3, uri) == {"weights": b"0.5"}

    def test_what_all_hosts_leave_becomes_one_archive(self, train, s3):
        job = train(
            "import socket; name = socket.gethostname()\n"
            "for folder in ('model', 'output/data'):\n"
            "    open(f'/opt/ml/{folder}/{name}', 'w').write(name)",
            ResourceConfig=instances(2),
        )

        model = job["ModelArtifacts"]["S3ModelArtifacts"]
        found = {"algo-1": b"algo-1", "algo-2": b"algo-2"}
        assert archived(s3, model) == found
        assert archived(s3, model.replace("model.tar.gz", "output.tar.gz")) == found

    @pytest.mark.usefixtures("s3")
    def test_jobs_that_wait_for_jobs_of_their_own_do_not_wait_for_ever(
        self, sagemaker, role, name, tmp_path, until
    ):
        child = training_request("CHILD", role, BUCKET, "true")
        script = (
            "import boto3, time, os\n"
            "sagemaker = boto3.client('sagemaker')\n"
            f"child = {child} | {{'TrainingJobName': os.environ['CHILD']}}\n"
            "sagemaker.create_training_job(**child)\n"
            "ask = lambda: sagemaker.describe_training_job(TrainingJobName=os.environ['CHILD'])\n"
            "while ask()['TrainingJobStatus'] != 'Completed': time.sleep(0.1)\n"
        )
        names = [f"{name}-{number}" for number in range(4)]  # as many as there are slots

        for each in names:
            environment = {"CHILD": f"{each}-child"}
            start_training(sagemaker, role, each, tmp_path, script, Environment=environment)

        for each in names:
            describe = partial(sagemaker.describe_training_job, TrainingJobName=each)
            job = until(describe, lambda job: job["TrainingJobStatus"] in ENDED)
            assert job["TrainingJobStatus"] == "Completed"

    def test_channels_and_hyperparameters_are_where_amazon_puts_them(self, train, s3, name):
        s3.put_object(Bucket=BUCKET, Key=f"{name}/in/deep/rows.csv", Body=b"1,2")
        script = """if True:
            import json, shutil
            config = "/opt/ml/input/config"
            found = {name: json.load(open(f"{config}/{name}.json"))
                     for name in ("hyperparameters", "inputdataconfig", "resourceconfig")}
            found["rows"] = open("/opt/ml/input/data/train/deep/rows.csv").read()
            json.dump(found, open("/opt/ml/model/found", "w"))
            """

        job = train(
            script,
            HyperParameters={"depth": "3"},
            InputDataConfig=[channel(f"s3://{BUCKET}/{name}/in/") | {"ContentType": "text/csv"}],
        )

        found = json.loads(archived(s3, job["ModelArtifacts"]["S3ModelArtifacts"])["found"])
        assert found["hyperparameters"] == {"depth": "3"}
        assert found["inputdataconfig"]["train"]["ContentType"] == "text/csv"
        assert found["resourceconfig"]["current_host"] == "algo-1"
        assert found["rows"] == "1,2"

    def test_the_files_of_a_sharded_channel_are_dealt_to_the_hosts(self, train, s3, name, client):
        for number in range(4):
            s3.put_object(Bucket=BUCKET, Key=f"{name}/{number}.csv", Body=b"")
        uri = f"s3://{BUCKET}/{name}/"

        train(
            "import os; print(*sorted(os.listdir('/opt/ml/input/data/train')))",
            InputDataConfig=[channel(uri, S3DataDistributionType="ShardedByS3Key")],
            ResourceConfig=instances(2),
        )

        lines = log_lines(client, "/aws/sagemaker/TrainingJobs", name)
        assert lines == {"algo-1": ["0.csv 2.csv"], "algo-2": ["1.csv 3.csv"]}

    def test_hosts_reach_each_other_by_name_on_the_same_port(self, train, client, name):
        script = """if True:
            import json, socket, socketserver, threading, time
            config = json.load(open("/opt/ml/input/config/resourceconfig.json"))
            me, hosts = config["current_host"], config["hosts"]
            class Answer(socketserver.BaseRequestHandler):
                def handle(self):
                    self.request.sendall(me.encode())
            class Server(socketserver.ThreadingTCPServer):
                allow_reuse_address = True
            server = Server((socket.gethostbyname(me), 7777), Answer)
            threading.Thread(target=server.serve_forever, daemon=True).start()
            for host in hosts:
                for _ in range(100):
                    try:
                        with socket.create_connection((host, 7777)) as connection:
                            print(host, "is", connection.recv(100).decode())
                        break
                    except OSError:
                        time.sleep(0.1)
            time.sleep(1)
            """

        train(script, ResourceConfig=instances(2))

        said = ["algo-1 is algo-1", "algo-2 is algo-2"]
        lines = log_lines(client, "/aws/sagemaker/TrainingJobs", name)
        assert lines == {"algo-1": said, "algo-2": said}

    def test_metrics_are_read_from_the_log(self, train, sagemaker_session):
        from sagemaker.analytics import TrainingJobAnalytics

        job = train(
            "for auc in (0.5, 0.75): print(f'auc={auc};')",
            metrics=[{"Name": "auc", "Regex": "auc=([0-9.]+);"}],
        )

        (last,) = job["FinalMetricDataList"]
        assert (last["MetricName"], last["Value"]) == ("auc", 0.75)
        analytics = TrainingJobAnalytics(job["TrainingJobName"], ["auc"], sagemaker_session)
        frame = analytics.dataframe()
        assert list(frame["metric_name"]) == ["auc"]

    def test_what_is_no_number_is_no_metric(self, train):
        job = train(
            "print('loss=nan;'); print('loss=0.5;'); print('loss=inf;')",
            metrics=[{"Name": "loss", "Regex": "loss=([^;]+);"}],
        )

        assert job["TrainingJobStatus"] == "Completed"
        assert [each["Value"] for each in job["FinalMetricDataList"]] == [0.5]

    @pytest.mark.parametrize(
        ("service", "operation"), [("logs", "PutLogEvents"), ("monitoring", "PutMetricData")]
    )
    def test_metrics_are_read_also_while_cloudwatch_is_away(
        self, train, sagemaker_emulator, service, operation
    ):
        sagemaker_emulator.faults.add(Fault(service, operation, code="ServiceUnavailable"))

        job = train(
            "import time\nfor n in range(4): print(f'loss={n};', flush=True); time.sleep(0.3)",
            metrics=[{"Name": "loss", "Regex": "loss=([^;]+);"}],
        )

        sagemaker_emulator.faults.clear()
        assert job["TrainingJobStatus"] == "Completed"
        assert [each["Value"] for each in job["FinalMetricDataList"]] == [3]

    def test_the_reason_of_a_failure_is_what_the_container_wrote_down(self, train):
        job = train("open('/opt/ml/output/failure', 'w').write('no rows left'); exit(3)")

        assert job["TrainingJobStatus"] == "Failed"
        assert job["FailureReason"] == "AlgorithmError: no rows left, exit code: 3"

    def test_without_such_a_file_the_reason_is_the_end_of_the_log(self, train):
        job = train("raise ValueError('depth must be positive')")

        assert "ValueError: depth must be positive, exit code: 1" in job["FailureReason"]

    def test_one_failing_host_ends_the_others(self, train):
        script = """if True:
            import json, time
            host = json.load(open("/opt/ml/input/config/resourceconfig.json"))["current_host"]
            if host == "algo-2":
                exit(5)
            time.sleep(60)
            """

        job = train(script, ResourceConfig=instances(2))

        assert job["FailureReason"].endswith("exit code: 5")

    def test_a_job_that_takes_too_long_is_stopped_and_keeps_its_model(self, train, s3):
        job = train(
            "import time; open('/opt/ml/model/half', 'w').write('x'); time.sleep(60)",
            StoppingCondition={"MaxRuntimeInSeconds": 1},
        )

        assert (job["TrainingJobStatus"], job["SecondaryStatus"]) == (
            "Stopped",
            "MaxRuntimeExceeded",
        )
        assert archived(s3, job["ModelArtifacts"]["S3ModelArtifacts"]) == {"half": b"x"}

    def test_a_stopped_job_is_told_and_may_save_what_it_has(
        self, sagemaker, s3, client, role, name, tmp_path, until
    ):
        script = """if True:
            import signal, sys, time
            def save(*_):
                open("/opt/ml/model/saved", "w").write("in time")
                sys.exit(0)
            signal.signal(signal.SIGTERM, save)
            print("ready", flush=True)
            time.sleep(60)
            """
        start_training(sagemaker, role, name, tmp_path, script)
        describe = partial(sagemaker.describe_training_job, TrainingJobName=name)
        until(
            lambda: log_lines(client, "/aws/sagemaker/TrainingJobs", name),
            lambda lines: lines.get("algo-1") == ["ready"],
        )

        sagemaker.stop_training_job(TrainingJobName=name)

        job = until(describe, lambda job: job["TrainingJobStatus"] in ENDED)
        assert job["TrainingJobStatus"] == "Stopped"
        assert archived(s3, job["ModelArtifacts"]["S3ModelArtifacts"]) == {"saved": b"in time"}

    def test_a_container_gets_nothing_of_the_environment_of_the_emulator(self, train, client, name):
        with patch.dict(os.environ, {"SECRET_OF_THE_HOST": "x"}):
            train(
                "import os; print('SECRET_OF_THE_HOST' in os.environ, os.environ['GIVEN'])",
                Environment={"GIVEN": "yes"},
            )

        lines = log_lines(client, "/aws/sagemaker/TrainingJobs", name)
        assert lines["algo-1"] == ["False yes"]

    def test_a_container_acts_in_the_role_of_its_job(self, train, client, name):
        train("import boto3; print(boto3.client('sts').get_caller_identity()['Arn'])")

        (line,) = log_lines(client, "/aws/sagemaker/TrainingJobs", name)["algo-1"]
        assert line == "arn:aws:sts::123456789012:assumed-role/execution/SageMaker"

    def test_checkpoints_come_back_in_the_next_job(self, train, s3, name):
        s3.put_object(Bucket=BUCKET, Key=f"{name}/step", Body=b"1")
        config = {"S3Uri": f"s3://{BUCKET}/{name}"}

        train(
            "p = '/opt/ml/checkpoints/step'; n = int(open(p).read()); open(p, 'w').write(f'{n+1}')",
            CheckpointConfig=config,
        )

        assert s3.get_object(Bucket=BUCKET, Key=f"{name}/step")["Body"].read() == b"2"

    def test_time_is_billed_by_the_second(self, train):
        job = train("import time; time.sleep(1.2)")

        assert 2 <= job["BillableTimeInSeconds"] <= 5
        statuses = [each["Status"] for each in job["SecondaryStatusTransitions"]]
        assert statuses == ["Starting", "Downloading", "Training", "Uploading", "Completed"]

    def test_an_image_that_nothing_stands_for_cannot_be_pulled(self, train):
        job = train(
            "",
            AlgorithmSpecification={
                "TrainingImage": "123456789012.dkr.ecr.eu-west-1.amazonaws.com/other:1",
                "TrainingInputMode": "File",
            },
        )

        assert job["FailureReason"].startswith("CannotPullContainerError: pull image 123456789012")

    def test_a_killed_container_fails_its_job(
        self, sagemaker, sagemaker_emulator, role, name, tmp_path, until
    ):
        start_training(sagemaker, role, name, tmp_path, "import time; time.sleep(60)")
        describe = partial(sagemaker.describe_training_job, TrainingJobName=name)
        until(describe, lambda job: job["SecondaryStatus"] == "Training")

        until(
            lambda: (sagemaker_emulator.kill(name), describe())[1],
            lambda job: job["TrainingJobStatus"] == "Failed",
        )

        reason = describe()["FailureReason"]
        assert reason.startswith("ClientError: Please use an instance type with more memory")
        assert reason.endswith("exit code: 137")


class TestProcessing:
    def test_inputs_come_from_s3_and_outputs_go_there(self, process, s3, name):
        s3.put_object(Bucket=BUCKET, Key=f"{name}/in/rows.csv", Body=b"a,b\n1,2\n")
        script = """if True:
            rows = open("/opt/ml/processing/input/rows.csv").read()
            open("/opt/ml/processing/output/upper.csv", "w").write(rows.upper())
            """

        job = process(
            script,
            ProcessingInputs=[
                {
                    "InputName": "rows",
                    "S3Input": {
                        "S3Uri": f"s3://{BUCKET}/{name}/in",
                        "LocalPath": "/opt/ml/processing/input",
                        "S3DataType": "S3Prefix",
                        "S3InputMode": "File",
                    },
                }
            ],
            ProcessingOutputConfig={
                "Outputs": [
                    {
                        "OutputName": "upper",
                        "S3Output": {
                            "S3Uri": f"s3://{BUCKET}/{name}/out",
                            "LocalPath": "/opt/ml/processing/output",
                            "S3UploadMode": "EndOfJob",
                        },
                    }
                ]
            },
        )

        assert job["ProcessingJobStatus"] == "Completed"
        found = s3.get_object(Bucket=BUCKET, Key=f"{name}/out/upper.csv")["Body"].read()
        assert found == b"A,B\n1,2\n"

    def test_a_missing_input_fails_the_job_before_its_container_starts(self, process, name):
        source = {
            "S3Uri": f"s3://{BUCKET}/{name}/nothing",
            "LocalPath": "/opt/ml/processing/input",
            "S3DataType": "S3Prefix",
            "S3InputMode": "File",
        }

        job = process("", ProcessingInputs=[{"InputName": "rows", "S3Input": source}])

        assert job["ProcessingJobStatus"] == "Failed"
        assert job["FailureReason"].startswith("ClientError: Data download failed")

    def test_an_input_does_not_leave_the_folder_of_its_job(self, process, s3, name):
        s3.put_object(Bucket=BUCKET, Key=f"{name}/rows.csv", Body=b"")
        source = {
            "S3Uri": f"s3://{BUCKET}/{name}",
            "LocalPath": "/opt/ml/../../../../../elsewhere",
            "S3DataType": "S3Prefix",
            "S3InputMode": "File",
        }

        job = process("", ProcessingInputs=[{"InputName": "rows", "S3Input": source}])

        assert "leads out of its folder" in job["FailureReason"]

    def test_jobs_of_one_name_but_two_kinds_have_nothing_in_common(
        self, train, process, client, name
    ):
        train("open('/opt/ml/secret', 'w').write('x')")

        process("import os; print(os.path.exists('/opt/ml/secret'))")

        lines = log_lines(client, "/aws/sagemaker/ProcessingJobs", name)
        assert lines["algo-1"] == ["False"]

    def test_the_reason_of_a_failure_is_the_end_of_the_log(self, process):
        job = process("raise SystemExit('the table is empty')")

        assert job["FailureReason"] == "AlgorithmError: the table is empty, exit code: 1"

    def test_a_job_can_be_stopped(self, sagemaker, role, name, tmp_path, until):
        file = tmp_path / "script.py"
        file.write_text("import time; time.sleep(60)")
        sagemaker.create_processing_job(**processing_request(name, role, "python", str(file)))

        sagemaker.stop_processing_job(ProcessingJobName=name)

        until(
            lambda: sagemaker.describe_processing_job(ProcessingJobName=name),
            lambda job: job["ProcessingJobStatus"] == "Stopped",
        )

    def test_jobs_are_listed_with_the_newest_first(self, process, sagemaker, name):
        process("")

        listed = sagemaker.list_processing_jobs(NameContains=name, StatusEquals="Completed")

        newest = [each["ProcessingJobName"] for each in listed["ProcessingJobSummaries"]]
        assert newest[0] == name


class TestTags:
    def test_tags_are_added_listed_and_removed(self, train, sagemaker):
        job = train("", Tags=[{"Key": "project", "Value": "bank"}])
        arn = job["TrainingJobArn"]

        sagemaker.add_tags(ResourceArn=arn, Tags=[{"Key": "user", "Value": "ada"}])
        sagemaker.delete_tags(ResourceArn=arn, TagKeys=["project"])

        assert sagemaker.list_tags(ResourceArn=arn)["Tags"] == [{"Key": "user", "Value": "ada"}]

    def test_the_tagging_api_finds_what_carries_a_tag(self, train, client, name):
        job = train("", Tags=[{"Key": "project", "Value": name}])

        found = client("resourcegroupstaggingapi").get_resources(
            TagFilters=[{"Key": "project", "Values": [name]}]
        )

        arns = [each["ResourceARN"] for each in found["ResourceTagMappingList"]]
        assert arns == [job["TrainingJobArn"]]
