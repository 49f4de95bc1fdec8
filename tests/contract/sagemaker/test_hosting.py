"""Models and endpoints, as those see them who deploy and who ask."""

import json
import math
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from sagemaker_emulator.faults import Fault
from tests.contract.sagemaker.conftest import BUCKET
from tests.contract.sagemaker.models import MODEL_IMAGE, put_model_data, variant

SETTLED = ("InService", "Failed")


@pytest.fixture(scope="module")
def runtime(sagemaker_emulator: Any) -> Any:
    """A client that does not try again, so that each call is one request."""
    return sagemaker_emulator.session().client(
        "sagemaker-runtime",
        endpoint_url=sagemaker_emulator.url,
        config=Config(retries={"total_max_attempts": 1}, max_pool_connections=20),
    )


@pytest.fixture
def model(sagemaker: Any, s3: Any, role: str, name: str) -> Callable[..., str]:
    """Create a model that multiplies by `factor`; return its name."""

    def create(factor: float = 1, **variables: str) -> str:
        model_name = f"{name}-times-{factor:g}"
        sagemaker.create_model(
            ModelName=model_name,
            ExecutionRoleArn=role,
            PrimaryContainer={
                "Image": MODEL_IMAGE,
                "ModelDataUrl": put_model_data(s3, model_name, factor),
                "Environment": variables,
            },
        )
        return model_name

    return create


@pytest.fixture
def deploy(sagemaker: Any, name: str, until: Callable[..., Any]) -> Iterator[Callable[..., Any]]:
    """Create an endpoint, or update it; return its description once it has settled."""
    configs: list[str] = []

    def run(*variants: Any, capture: Any = None, **changes: Any) -> Any:
        config = f"{name}-{len(configs)}"
        more = {"DataCaptureConfig": capture} if capture else {}
        sagemaker.create_endpoint_config(
            EndpointConfigName=config, ProductionVariants=list(variants), **more
        )
        change = sagemaker.update_endpoint if configs else sagemaker.create_endpoint
        configs.append(config)
        change(EndpointName=name, EndpointConfigName=config, **changes)
        return settled(sagemaker, name, until)

    yield run
    if configs:
        settled(sagemaker, name, until)
        sagemaker.delete_endpoint(EndpointName=name)


def settled(sagemaker: Any, name: str, until: Callable[..., Any]) -> Any:
    return until(
        lambda: sagemaker.describe_endpoint(EndpointName=name),
        lambda endpoint: endpoint["EndpointStatus"] in SETTLED,
    )


def ask(runtime: Any, name: str, body: str = "1,2", **changes: Any) -> str:
    answer = runtime.invoke_endpoint(
        EndpointName=name, Body=body, **{"ContentType": "text/csv", **changes}
    )
    return str(answer["Body"].read().decode()).strip()


def order(runtime: Any, name: str, words: str, **changes: Any) -> str:
    return ask(runtime, name, words, ContentType="text/x-order", **changes)


def asked(runtime: Any, name: str, times: int) -> Counter[str]:
    """Ask many times at once; return how often each variant answered."""

    def one(_: int) -> str:
        answer = runtime.invoke_endpoint(EndpointName=name, Body="1", ContentType="text/csv")
        answer["Body"].read()
        return str(answer["InvokedProductionVariant"])

    with ThreadPoolExecutor(4) as pool:
        return Counter(pool.map(one, range(times)))


def metric(
    client: Callable[[str], Any], endpoint: str, variant_name: str, metric_name: str
) -> tuple[float, float]:
    """Return the sum and the number of the values of the last hour."""
    points = client("cloudwatch").get_metric_statistics(
        Namespace="AWS/SageMaker",
        MetricName=metric_name,
        Dimensions=[
            {"Name": "EndpointName", "Value": endpoint},
            {"Name": "VariantName", "Value": variant_name},
        ],
        StartTime=datetime.now(UTC) - timedelta(hours=1),
        EndTime=datetime.now(UTC) + timedelta(minutes=1),
        Period=60,
        Statistics=["Sum", "SampleCount"],
    )["Datapoints"]
    return sum(each["Sum"] for each in points), sum(each["SampleCount"] for each in points)


def captured(s3: Any, prefix: str) -> tuple[list[str], list[Any]]:
    """Return the keys of the files under a prefix, and all events in them."""
    listed = s3.list_objects_v2(Bucket=BUCKET, Prefix=prefix).get("Contents", [])
    keys = [each["Key"] for each in listed]
    bodies = [s3.get_object(Bucket=BUCKET, Key=key)["Body"].read().decode() for key in keys]
    return keys, [json.loads(line) for body in bodies for line in body.splitlines()]


def weights(endpoint: Any) -> dict[str, float]:
    return {each["VariantName"]: each["CurrentWeight"] for each in endpoint["ProductionVariants"]}


class TestInvocation:
    def test_the_model_of_the_archive_answers(self, deploy, model, runtime, name):
        endpoint = deploy(variant("only", model(factor=10)))

        (described,) = endpoint["ProductionVariants"]
        assert described["DeployedImages"][0]["SpecifiedImage"] == MODEL_IMAGE
        assert ask(runtime, name, "1,2\n3,4") == "30\n70"

    def test_a_model_need_not_be_an_archive(self, deploy, sagemaker, s3, role, runtime, name):
        s3.put_object(Bucket=BUCKET, Key=f"{name}/factor", Body=b"7")
        source = {
            "S3Uri": f"s3://{BUCKET}/{name}/",
            "S3DataType": "S3Prefix",
            "CompressionType": "None",
        }
        container = {"Image": MODEL_IMAGE, "ModelDataSource": {"S3DataSource": source}}
        sagemaker.create_model(ModelName=name, ExecutionRoleArn=role, Containers=[container])

        deploy(variant("only", name))

        assert ask(runtime, name) == "21"

    def test_a_container_gets_its_variables_and_acts_in_the_role_of_its_model(
        self, deploy, model, runtime, name, sagemaker_emulator
    ):
        deploy(variant("only", model(GIVEN="yes")))

        credentials = [
            order(runtime, name, f"variable {each}")
            for each in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")
        ]

        assert order(runtime, name, "variable GIVEN") == "yes"
        sts = sagemaker_emulator.session().client(
            "sts",
            endpoint_url=sagemaker_emulator.url,
            aws_access_key_id=credentials[0],
            aws_secret_access_key=credentials[1],
            aws_session_token=credentials[2],
        )
        assert "assumed-role/execution" in sts.get_caller_identity()["Arn"]

    def test_headers_go_there_and_back(self, deploy, model, runtime, name):
        deploy(variant("only", model()))
        invoke = partial(
            runtime.invoke_endpoint,
            EndpointName=name,
            ContentType="text/x-order",
            Accept="text/plain",
            CustomAttributes="trace=a",
            InferenceId="row-7",
        )

        answer = invoke(Body="header X-Amzn-SageMaker-Inference-Id")

        assert answer["Body"].read() == b"row-7"
        assert answer["ContentType"] == "text/plain"
        assert answer["CustomAttributes"] == "TRACE=A"
        assert answer["InvokedProductionVariant"] == "only"

    def test_an_error_of_the_model_is_handed_on_with_its_status_and_body(
        self, deploy, model, runtime, name
    ):
        deploy(variant("only", model()))

        with pytest.raises(runtime.exceptions.ModelError) as failure:
            order(runtime, name, "fail 418 no such column")

        answer = failure.value.response
        assert answer["ResponseMetadata"]["HTTPStatusCode"] == 424
        assert (answer["OriginalStatusCode"], answer["OriginalMessage"]) == (418, "no such column")
        assert answer["LogStreamArn"].endswith(f"log-group:/aws/sagemaker/Endpoints/{name}")
        assert answer["Error"]["Message"].startswith(
            'Received client error (418) from primary with message "no such column". '
            "See https://eu-west-1.console.aws.amazon.com/cloudwatch/"
        )

    def test_an_unknown_endpoint_is_not_found(self, runtime):
        with pytest.raises(runtime.exceptions.ValidationError) as refusal:
            ask(runtime, "nobody")

        message = refusal.value.response["Error"]["Message"]
        assert message == "Endpoint nobody of account 123456789012 not found."

    def test_a_body_of_more_than_six_megabytes_is_refused(self, deploy, model, runtime, name):
        deploy(variant("only", model()))

        with pytest.raises(ClientError) as refusal:
            ask(runtime, name, "1" * (6 * 2**20 + 1))

        assert refusal.value.response["ResponseMetadata"]["HTTPStatusCode"] == 413

    @pytest.mark.parametrize(
        ("operation", "request_"),
        [
            ("invoke_endpoint_async", {"InputLocation": "s3://contract/rows"}),
            ("invoke_endpoint_with_response_stream", {"Body": b"1"}),
            ("invoke_endpoint", {"Body": b"1", "TargetModel": "one.tar.gz"}),
        ],
    )
    def test_what_is_not_emulated_says_so(self, runtime, operation, request_):
        with pytest.raises(ClientError, match="is not emulated"):
            getattr(runtime, operation)(EndpointName="any", **request_)

    def test_the_sdk_deploys_predicts_and_cleans_up(
        self, sagemaker_session, sagemaker, s3, role, name, until
    ):
        from sagemaker.deserializers import CSVDeserializer
        from sagemaker.model import Model
        from sagemaker.predictor import Predictor
        from sagemaker.serializers import CSVSerializer

        model = Model(
            MODEL_IMAGE,
            put_model_data(s3, name, 2),
            role,
            predictor_cls=Predictor,
            name=name,
            sagemaker_session=sagemaker_session,
        )

        predictor = model.deploy(1, "ml.m5.large", endpoint_name=name, wait=False)
        settled(sagemaker, name, until)
        predictor.serializer, predictor.deserializer = CSVSerializer(), CSVDeserializer()
        answer = predictor.predict([[1, 2], [3, 4]])
        predictor.delete_endpoint()
        model.delete_model()

        assert answer == [["6"], ["14"]]
        until(lambda: sagemaker.list_endpoints(NameContains=name)["Endpoints"], lambda e: not e)
        assert sagemaker.list_models(NameContains=name)["Models"] == []
        assert sagemaker.list_endpoint_configs(NameContains=name)["EndpointConfigs"] == []


class TestVariants:
    def test_traffic_is_split_by_weight_and_counted_in_cloudwatch(
        self, deploy, model, runtime, client, name, until
    ):
        deploy(
            variant("main", model(1), InitialVariantWeight=9, InitialInstanceCount=2),
            variant("other", model(2), InitialVariantWeight=1),
        )

        answered = asked(runtime, name, 2000)

        # Binomial(2000, 0.1): mean 200, standard deviation sqrt(2000 * 0.1 * 0.9) = 13.4; beyond
        # five of them once in 1.7 million runs.
        assert abs(answered["other"] - 200) < 5 * math.sqrt(2000 * 0.1 * 0.9)
        counted = partial(metric, client, name)
        until(
            lambda: {each: counted(each, "Invocations") for each in answered},
            lambda sums: sums == {each: (count, count) for each, count in answered.items()},
            timeout_s=3,
        )
        assert counted("main", "InvocationsPerInstance")[0] == answered["main"] / 2
        assert counted("main", "Invocation5XXErrors") == (0, answered["main"])
        latency, _ = counted("main", "ModelLatency")
        assert 20 < latency / answered["main"] < 1e6
        assert counted("main", "OverheadLatency")[0] > 0

    def test_errors_are_counted_by_their_class(self, deploy, model, runtime, client, name, until):
        deploy(variant("only", model()))

        for status in (400, 404, 500):
            with pytest.raises(runtime.exceptions.ModelError):
                order(runtime, name, f"fail {status} so")

        until(
            lambda: [
                metric(client, name, "only", each)[0]
                for each in ("Invocations", "Invocation4XXErrors", "Invocation5XXErrors")
            ],
            lambda sums: sums == [3, 2, 1],
            timeout_s=3,
        )

    def test_what_cloudwatch_refuses_is_counted_later_and_once(
        self, deploy, model, runtime, client, sagemaker_emulator, name, until
    ):
        deploy(variant("only", model()))
        fault = Fault("monitoring", "PutMetricData", for_s=1, code="Throttling")
        sagemaker_emulator.faults.add(fault)

        asked(runtime, name, 20)
        time.sleep(1.2)

        assert fault.seen > 0
        counted = partial(metric, client, name, "only", "Invocations")
        until(counted, lambda found: found == (20, 20), timeout_s=5)
        sagemaker_emulator.faults.clear()

    def test_without_any_weight_nobody_answers(self, deploy, model, runtime, name):
        deploy(variant("only", model(), InitialVariantWeight=0))

        with pytest.raises(runtime.exceptions.ValidationError, match="have the weight 0"):
            ask(runtime, name)

    def test_weights_shift_traffic_and_what_is_left_out_stays(
        self, deploy, model, sagemaker, runtime, name
    ):
        deploy(variant("old", model(1), InitialInstanceCount=3), variant("new", model(2)))
        change = partial(sagemaker.update_endpoint_weights_and_capacities, EndpointName=name)

        change(
            DesiredWeightsAndCapacities=[
                {"VariantName": "old", "DesiredWeight": 0},
                {"VariantName": "new", "DesiredWeight": 100},
            ]
        )
        shifted = asked(runtime, name, 50)
        change(DesiredWeightsAndCapacities=[{"VariantName": "new", "DesiredInstanceCount": 2}])

        assert shifted == {"new": 50}
        endpoint = sagemaker.describe_endpoint(EndpointName=name)
        assert weights(endpoint) == {"old": 0, "new": 100}
        machines = [each["CurrentInstanceCount"] for each in endpoint["ProductionVariants"]]
        assert machines == [3, 2]

    def test_a_target_variant_answers_whatever_its_weight(self, deploy, model, runtime, name):
        deploy(variant("main", model(1)), variant("dark", model(5), InitialVariantWeight=0))

        assert ask(runtime, name, TargetVariant="dark") == "15"
        with pytest.raises(runtime.exceptions.ValidationError, match="Variant nobody"):
            ask(runtime, name, TargetVariant="nobody")


class TestUpdate:
    def test_a_replacement_under_load_fails_no_request(self, deploy, model, runtime, name):
        deploy(variant("only", model(1)))
        answers, failures, ended = Counter[str](), list[Exception](), threading.Event()

        def load() -> None:
            while not ended.is_set():
                try:
                    answers[ask(runtime, name, "1")] += 1
                except Exception as error:
                    failures.append(error)

        with ThreadPoolExecutor(4) as pool:
            for _ in range(4):
                pool.submit(load)
            try:
                deploy(variant("only", model(2)))
                last = ask(runtime, name, "1")
            finally:
                ended.set()

        assert failures == []
        assert last == "2"
        assert answers["1"] > 20
        assert set(answers) <= {"1", "2"}

    def test_the_old_container_answers_what_it_was_asked_and_then_ends(
        self, deploy, model, runtime, name
    ):
        deploy(variant("only", model(1)))
        pid = int(order(runtime, name, "pid"))

        with ThreadPoolExecutor(1) as pool:
            slow = pool.submit(order, runtime, name, "sleep 1.5")
            time.sleep(0.2)
            deploy(variant("only", model(2)))

        assert slow.result() == "rested"
        assert int(order(runtime, name, "pid")) != pid

    def test_weights_and_instances_can_be_retained(self, deploy, model, sagemaker, name):
        deploy(variant("a", model(1)), variant("b", model(2)))
        sagemaker.update_endpoint_weights_and_capacities(
            EndpointName=name,
            DesiredWeightsAndCapacities=[
                {"VariantName": "a", "DesiredWeight": 0.25, "DesiredInstanceCount": 4}
            ],
        )

        endpoint = deploy(
            variant("a", model(3)), variant("b", model(4)), RetainAllVariantProperties=True
        )

        assert weights(endpoint) == {"a": 0.25, "b": 1}
        assert endpoint["ProductionVariants"][0]["CurrentInstanceCount"] == 4

    def test_a_replacement_that_does_not_start_leaves_the_old_one_in_service(
        self, deploy, model, runtime, name
    ):
        before = deploy(variant("only", model(1)))

        endpoint = deploy(variant("next", model(2, BROKEN="yes")))

        assert endpoint["EndpointStatus"] == "InService"
        assert "production variant next did not pass the ping" in endpoint["FailureReason"]
        assert endpoint["EndpointConfigName"] == before["EndpointConfigName"]
        assert ask(runtime, name) == "3"


class TestFailure:
    def test_a_container_that_does_not_answer_the_ping_fails_the_endpoint(
        self, deploy, model, client, runtime, name
    ):
        endpoint = deploy(variant("only", model(BROKEN="yes")))

        assert endpoint["EndpointStatus"] == "Failed"
        assert endpoint["FailureReason"] == (
            "The primary container for production variant only did not pass the ping health "
            "check. Please check CloudWatch logs for this endpoint."
        )
        logs = client("logs")
        group = f"/aws/sagemaker/Endpoints/{name}"
        (stream,) = logs.describe_log_streams(logGroupName=group)["logStreams"]
        assert stream["logStreamName"].startswith("only/i-0")
        events = logs.get_log_events(logGroupName=group, logStreamName=stream["logStreamName"])
        assert [each["message"] for each in events["events"]] == ["the model cannot be loaded"]
        with pytest.raises(runtime.exceptions.ValidationError, match="not found"):
            ask(runtime, name)

    def test_a_killed_container_is_started_again(
        self, deploy, model, runtime, sagemaker_emulator, name, until
    ):
        deploy(variant("only", model(1)))
        pid = order(runtime, name, "pid")

        sagemaker_emulator.kill(name)

        codes = set()

        def answer() -> str:
            try:
                return order(runtime, name, "pid")
            except ClientError as error:
                codes.add(error.response["Error"]["Code"])
                return pid

        until(answer, lambda found: found != pid)
        assert codes <= {"InternalFailure", "ServiceUnavailable"}

    def test_a_request_that_kills_its_container_is_an_internal_failure(
        self, deploy, model, runtime, name
    ):
        deploy(variant("only", model(1)))

        with pytest.raises(runtime.exceptions.InternalFailure, match="sending request to model"):
            order(runtime, name, "exit")


class TestCapture:
    def test_requests_and_answers_are_written_as_amazon_does(
        self, deploy, model, runtime, s3, name, until
    ):
        options = [{"CaptureMode": "Input"}, {"CaptureMode": "Output"}]
        endpoint = deploy(
            variant("only", model(2)),
            capture={
                "EnableCapture": True,
                "InitialSamplingPercentage": 100,
                "DestinationS3Uri": f"s3://{BUCKET}/captured",
                "CaptureOptions": options,
                "CaptureContentTypeHeader": {"CsvContentTypes": ["text/csv"]},
            },
        )

        ask(runtime, name, "1,2", InferenceId="row-7", Accept="application/x-other")

        assert endpoint["DataCaptureConfig"]["CaptureStatus"] == "Started"
        keys, (event,) = until(
            lambda: captured(s3, f"captured/{name}"), lambda found: found[1], timeout_s=3
        )
        hour = datetime.now(UTC).strftime("%Y/%m/%d")
        assert keys[0].startswith(f"captured/{name}/only/{hour}/")
        assert keys[0].endswith(".jsonl")
        assert event["captureData"] == {
            "endpointInput": {
                "observedContentType": "text/csv",
                "mode": "INPUT",
                "data": "1,2",
                "encoding": "CSV",
            },
            "endpointOutput": {
                "observedContentType": "application/x-other",
                "mode": "OUTPUT",
                "data": "Ngo=",  # base64 of "6\n"
                "encoding": "BASE64",
            },
        }
        assert event["eventMetadata"]["inferenceId"] == "row-7"
        assert event["eventVersion"] == "0"

    def test_only_the_share_that_was_asked_for_is_captured(self, deploy, model, runtime, s3, name):
        deploy(
            variant("only", model(2)),
            capture={
                "InitialSamplingPercentage": 50,
                "DestinationS3Uri": f"s3://{BUCKET}/half",
                "CaptureOptions": [{"CaptureMode": "Input"}],
            },
        )

        asked(runtime, name, 400)
        deploy(variant("only", model(3)))  # what comes now is not captured
        asked(runtime, name, 10)
        time.sleep(1)

        _, events = captured(s3, f"half/{name}")
        # Binomial(400, 1/2): mean 200, standard deviation 10.
        assert 150 < len(events) < 250
        assert set(events[0]["captureData"]) == {"endpointInput"}


class TestRefusals:
    def test_a_model_needs_its_data(self, sagemaker, role, name):
        with pytest.raises(ClientError, match=r"Could not find model data at s3://contract/none"):
            sagemaker.create_model(
                ModelName=name,
                ExecutionRoleArn=role,
                PrimaryContainer={"Image": MODEL_IMAGE, "ModelDataUrl": f"s3://{BUCKET}/none"},
            )

    def test_a_configuration_needs_its_model(self, sagemaker, name):
        with pytest.raises(ClientError, match='Could not find model "arn:aws:sagemaker:'):
            sagemaker.create_endpoint_config(
                EndpointConfigName=name, ProductionVariants=[variant("only", "nobody")]
            )

    def test_containers_in_a_row_are_not_emulated(self, sagemaker, role, name):
        with pytest.raises(ClientError, match="several containers is not emulated"):
            sagemaker.create_model(
                ModelName=name, ExecutionRoleArn=role, Containers=[{"Image": MODEL_IMAGE}] * 2
            )

    @pytest.mark.parametrize(
        "changes",
        [
            {"ProductionVariants": [{"VariantName": "only", "InstanceType": "ml.m5.large"}]},
            {"AsyncInferenceConfig": {"OutputConfig": {"S3OutputPath": "s3://contract/out"}}},
        ],
    )
    def test_other_kinds_of_endpoints_are_not_emulated(self, sagemaker, model, name, changes):
        request = {
            "EndpointConfigName": name,
            "ProductionVariants": [variant("only", model())],
            **changes,
        }

        with pytest.raises(ClientError, match="is not emulated"):
            sagemaker.create_endpoint_config(**request)

    def test_a_canary_deployment_is_not_emulated(self, deploy, model):
        deploy(variant("only", model(1)))
        routing = {
            "Type": "CANARY",
            "WaitIntervalInSeconds": 0,
            "CanarySize": {"Type": "CAPACITY_PERCENT", "Value": 10},
        }
        policy = {"BlueGreenUpdatePolicy": {"TrafficRoutingConfiguration": routing}}

        with pytest.raises(ClientError, match="not all at once is not emulated"):
            deploy(variant("only", model(2)), DeploymentConfig=policy)

    def test_a_failed_endpoint_can_only_be_deleted(self, deploy, model):
        deploy(variant("only", model(1, BROKEN="yes")))

        with pytest.raises(ClientError, match="Cannot update failed endpoint"):
            deploy(variant("only", model(2)))

    def test_an_unknown_variant_has_no_weight(self, deploy, model, sagemaker, name):
        deploy(variant("only", model(1)))

        with pytest.raises(ClientError, match='Could not find variant "nobody"'):
            sagemaker.update_endpoint_weights_and_capacities(
                EndpointName=name,
                DesiredWeightsAndCapacities=[{"VariantName": "nobody", "DesiredWeight": 1}],
            )

    def test_an_endpoint_needs_its_configuration(self, sagemaker, name):
        with pytest.raises(ClientError, match="Could not find endpoint configuration"):
            sagemaker.create_endpoint(EndpointName=name, EndpointConfigName="nobody")

    def test_an_endpoint_that_is_being_made_is_left_alone(self, sagemaker, deploy, model, name):
        deploy(variant("only", model(1)))
        request = {"EndpointName": name, "EndpointConfigName": f"{name}-0"}
        sagemaker.update_endpoint(**request)

        with pytest.raises(ClientError, match="Cannot update in-progress endpoint"):
            sagemaker.update_endpoint(**request)
        with pytest.raises(ClientError, match="Cannot update in-progress endpoint"):
            sagemaker.delete_endpoint(EndpointName=name)

    def test_a_name_is_used_once(self, sagemaker, deploy, model, name):
        deploy(variant("only", model(1)))

        with pytest.raises(ClientError, match="Cannot create already existing endpoint"):
            sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=f"{name}-0")

    def test_machines_beyond_the_quota_are_refused(self, sagemaker, model, name):
        sagemaker.create_endpoint_config(
            EndpointConfigName=name,
            ProductionVariants=[variant("only", model(1), InstanceType="ml.p4d.24xlarge")],
        )

        with pytest.raises(sagemaker.exceptions.ResourceLimitExceeded, match="for endpoint usage"):
            sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=name)

    def test_a_deleted_endpoint_leaves_its_configuration_and_its_model(
        self, sagemaker, deploy, model, name, until
    ):
        deploy(variant("only", model(1)))

        sagemaker.delete_endpoint(EndpointName=name)

        until(lambda: sagemaker.list_endpoints(NameContains=name)["Endpoints"], lambda e: not e)
        sagemaker.describe_endpoint_config(EndpointConfigName=f"{name}-0")
        sagemaker.describe_model(ModelName=f"{name}-times-1")
        with pytest.raises(ClientError, match="Could not find endpoint"):
            sagemaker.describe_endpoint(EndpointName=name)
        sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=f"{name}-0")
