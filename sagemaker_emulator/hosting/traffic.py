"""What is kept of the requests to an endpoint: figures in CloudWatch, and captured data on S3."""

import base64
import json
import random
import threading
import time
import uuid
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Generic, NamedTuple, Self, TypeVar

from botocore.exceptions import BotoCoreError, ClientError

from sagemaker_emulator.api.cloud import Cloud, Fields
from sagemaker_emulator.api.records import now
from sagemaker_emulator.hosting.serving import Answer
from sagemaker_emulator.jobs.storage import split_uri

ATTRIBUTES = "X-Amzn-SageMaker-Custom-Attributes"
INFERENCE_ID = "X-Amzn-SageMaker-Inference-Id"

_FLUSH_S = 0.5
_RANDOM = random.SystemRandom()

T = TypeVar("T")


class Batches(Generic[T]):
    """Collects things and delivers them together, half a second after the first.

    What S3 or CloudWatch refuse is delivered again, until `close` has tried for the last time.
    """

    def __init__(self, deliver: Callable[[list[T]], None]) -> None:
        self._deliver = deliver
        self._things: list[T] = []
        self._given = threading.Event()
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()

    def add(self, thing: T) -> None:
        self._things.append(thing)
        self._given.set()

    def close(self) -> None:
        """Deliver what there is."""
        self._closed.set()
        self._given.set()
        self._thread.join()

    def _work(self) -> None:
        while not self._closed.is_set():
            self._given.wait()
            self._closed.wait(_FLUSH_S)
            self._given.clear()
            self._flush()
        self._flush()

    def _flush(self) -> None:
        count = len(self._things)  # more may be added meanwhile, behind these
        if count:
            try:
                self._deliver(self._things[:count])
            except (BotoCoreError, ClientError):
                self._given.set()
            else:
                del self._things[:count]


class Invocation(NamedTuple):
    """The figures of one request; times are in seconds, `machines` is the size of the variant."""

    variant: str
    at: datetime
    status: int
    model_s: float
    total_s: float
    machines: int


# Names, units and meaning: Amazon SageMaker Developer Guide, "Endpoint invocation metrics".
_METRICS: Mapping[str, tuple[str, Callable[[Invocation], float]]] = {
    "Invocations": ("None", lambda _: 1),
    "InvocationsPerInstance": ("None", lambda each: 1 / max(each.machines, 1)),
    "Invocation4XXErrors": ("None", lambda each: 400 <= each.status < 500),
    "Invocation5XXErrors": ("None", lambda each: each.status >= 500),
    "ModelLatency": ("Microseconds", lambda each: each.model_s * 1e6),
    "OverheadLatency": ("Microseconds", lambda each: (each.total_s - each.model_s) * 1e6),
}


def put_metrics(cloud: Cloud, region: str, endpoint: str, invocations: list[Invocation]) -> None:
    """Add the figures of `invocations` to those of their variants, at the time of the first."""
    by_variant = defaultdict(list)
    for each in invocations:
        by_variant[each.variant].append(each)
    data = [
        {
            "MetricName": name,
            "Dimensions": [
                {"Name": "EndpointName", "Value": endpoint},
                {"Name": "VariantName", "Value": variant},
            ],
            "Timestamp": of_variant[0].at,
            "StatisticValues": _statistics([float(value(each)) for each in of_variant]),
            "Unit": unit,
        }
        for variant, of_variant in by_variant.items()
        for name, (unit, value) in _METRICS.items()
    ]
    cloud.client("cloudwatch", region).put_metric_data(Namespace="AWS/SageMaker", MetricData=data)


def _statistics(values: Sequence[float]) -> Fields:
    return {
        "SampleCount": len(values),
        "Sum": sum(values),
        "Minimum": min(values),
        "Maximum": max(values),
    }


class Captured(NamedTuple):
    """A line for the file of captured data at `folder`, an S3 prefix."""

    folder: str
    line: str


class Capture:
    """Decides what of the requests is captured, and writes it down as Amazon does."""

    def __init__(self, config: Fields, endpoint: str) -> None:
        self.summary = {
            "EnableCapture": True,
            "CaptureStatus": "Started",
            "CurrentSamplingPercentage": config["InitialSamplingPercentage"],
            "DestinationS3Uri": config["DestinationS3Uri"],
        }
        self._share = config["InitialSamplingPercentage"] / 100
        self._folder = f"{config['DestinationS3Uri'].rstrip('/')}/{endpoint}"
        modes = {each["CaptureMode"] for each in config["CaptureOptions"]}
        self._modes = {"Input", "Output"} if "InputAndOutput" in modes else modes
        header = config.get("CaptureContentTypeHeader") or {}
        self._encodings = {
            **dict.fromkeys(header.get("CsvContentTypes") or [], "CSV"),
            **dict.fromkeys(header.get("JsonContentTypes") or [], "JSON"),
        }

    @classmethod
    def of(cls, endpoint_config: Fields, endpoint: str) -> Self | None:
        """Return what an endpoint configuration asks for; none if nothing is to be captured."""
        config = endpoint_config.get("DataCaptureConfig")
        return cls(config, endpoint) if config and config.get("EnableCapture", True) else None

    def drawn(
        self, variant: str, body: bytes, headers: Mapping[str, str], answer: Answer
    ) -> Captured | None:
        """Return what is to be captured of a request; none if it was not drawn."""
        if _RANDOM.random() >= self._share:
            return None
        data = {}
        if "Input" in self._modes:
            data["endpointInput"] = self._data("INPUT", body, headers)
        if "Output" in self._modes:
            data["endpointOutput"] = self._data("OUTPUT", answer.body, answer.headers)
        time_ = now()
        metadata: dict[str, object] = {"eventId": str(uuid.uuid4())}
        if ATTRIBUTES in headers:
            metadata["customAttributes"] = [headers[ATTRIBUTES]]
        if INFERENCE_ID in headers:
            metadata["inferenceId"] = headers[INFERENCE_ID]
        metadata["inferenceTime"] = f"{time_:%Y-%m-%dT%H:%M:%SZ}"
        event = {"captureData": data, "eventMetadata": metadata, "eventVersion": "0"}
        return Captured(f"{self._folder}/{variant}/{time_:%Y/%m/%d/%H}", json.dumps(event))

    def _data(self, mode: str, body: bytes, headers: Mapping[str, str]) -> Fields:
        content_type = headers.get("Content-Type", "")
        encoding = self._encodings.get(content_type.partition(";")[0].strip(), "BASE64")
        text = base64.b64encode(body) if encoding == "BASE64" else body
        return {
            "observedContentType": content_type,
            "mode": mode,
            "data": text.decode(errors="replace"),
            "encoding": encoding,
        }


def put_captured(cloud: Cloud, region: str, captured: list[Captured]) -> None:
    """Write lines into a new file in each of their folders."""
    by_folder = defaultdict(list)
    for each in captured:
        by_folder[each.folder].append(each.line)
    for folder, lines in by_folder.items():
        bucket, prefix = split_uri(folder)
        name = f"{time.strftime('%M-%S', time.gmtime())}-000-{uuid.uuid4()}.jsonl"
        body = "\n".join([*lines, ""]).encode()
        cloud.client("s3", region).put_object(Bucket=bucket, Key=f"{prefix}/{name}", Body=body)
