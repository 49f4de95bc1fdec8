"""What runs of an endpoint: a container for each variant, and the requests between them."""

import random
import secrets
import shutil
import signal
import threading
import time
import traceback
import uuid
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

from sagemaker_emulator.cloud import Cloud, Fields
from sagemaker_emulator.containers import Container
from sagemaker_emulator.errors import JobError, ServiceError
from sagemaker_emulator.records import ACCOUNT, Record, now
from sagemaker_emulator.serving import Answer, Model, ModelServer, NoAnswerError, TooSlowError
from sagemaker_emulator.storage import LogStreams
from sagemaker_emulator.traffic import (
    ATTRIBUTES,
    Batches,
    Capture,
    Captured,
    Invocation,
    put_captured,
    put_metrics,
)

_LOG_GROUP = "/aws/sagemaker/Endpoints"
_MODEL_TIMEOUT_S = 60  # API reference of InvokeEndpoint
_STARTUP_TIMEOUT_S = 600
_RESTART_AFTER_S = 0.5
_ANSWERED = ("Content-Type", ATTRIBUTES)
_RANDOM = random.SystemRandom()


class Variant:
    """A production variant: a container, which is started again whenever it ends.

    One container answers for all instances of a variant.
    """

    def __init__(self, cloud: Cloud, endpoint: Record, settings: Fields) -> None:
        self.name: str = settings["VariantName"]
        self.instance_type: str = settings.get("InstanceType", "")
        self.weight: float = settings["InitialVariantWeight"]
        self.machines: int = settings["InitialInstanceCount"]
        self.in_flight = 0
        self._model: Model = settings["Model"]
        self._cloud = cloud
        self._endpoint = endpoint
        self._timeout_s = settings.get(
            "ContainerStartupHealthCheckTimeoutInSeconds", _STARTUP_TIMEOUT_S
        )
        instance = f"i-0{secrets.token_hex(8)}"
        self._folder = cloud.work / "endpoints" / f"{endpoint.name}-{self.name}-{instance}"
        self._logs = LogStreams(
            cloud.client("logs", endpoint.region),
            f"{_LOG_GROUP}/{endpoint.name}",
            {f"{self.name}/{instance}": self._folder / "log"},
        )
        self._server = ModelServer()
        self._container: Container | None = None
        self._since = now()
        self._healthy = threading.Event()
        self._ending = threading.Event()

    @property
    def summary(self) -> dict[str, Any]:
        """What DescribeEndpoint says of it."""
        image = {"SpecifiedImage": self._model.image, "ResolutionTime": self._since}
        return {
            "VariantName": self.name,
            "DeployedImages": [image],
            **{f"{which}Weight": self.weight for which in ("Current", "Desired")},
            **{f"{which}InstanceCount": self.machines for which in ("Current", "Desired")},
        }

    def start(self) -> None:
        """Start the container.

        Raises:
            JobError: Its image is unknown, or the model cannot be read.
        """
        self._model.lay_out(self._cloud, self._endpoint.region, self._folder)
        self._container = self._launched()
        self._logs.__enter__()

    def wait_until_healthy(self) -> None:
        """Wait until the container answers, and from then on see to it that it does.

        Raises:
            JobError: It did not answer, in Amazon's words.
        """
        container = self._container
        if container is None or not self._server.is_healthy_within(self._timeout_s, container):
            raise JobError(
                f"The primary container for production variant {self.name} did not pass the ping "
                "health check. Please check CloudWatch logs for this endpoint."
            )
        self._healthy.set()
        self._cloud.run(self._keep_running, container)

    def invoke(self, body: bytes, headers: Mapping[str, str]) -> Answer:
        """Let the model answer.

        Raises:
            ServiceError: It did not.
        """
        if not self._healthy.is_set():
            raise ServiceError(
                "ServiceUnavailable", "The service is unavailable. Try your call again.", status=503
            )
        try:
            return self._server.invoke(body, headers, _MODEL_TIMEOUT_S)
        except TooSlowError as error:
            raise model_error(
                self._endpoint,
                0,
                "Your invocation timed out while waiting for a response from container primary. "
                "Review the latency metrics for each container in Amazon CloudWatch, resolve the "
                "issue, and try again.",
            ) from error
        except NoAnswerError as error:
            raise ServiceError(
                "InternalFailure",
                "An exception occurred while sending request to model. Please contact customer "
                f"support regarding request {uuid.uuid4()}.",
                status=500,
            ) from error

    def stop(self) -> None:
        """End the container."""
        self._ending.set()
        if self._container is not None:
            self._container.kill(signal.SIGTERM)
            if self._container.wait(self._cloud.stop_grace_s) is None:
                self._container.kill(signal.SIGKILL)
                self._container.wait()
            self._logs.__exit__()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _launched(self) -> Container:
        region = self._endpoint.region
        container = self._model.start(self._cloud, region, self._folder, self._server.port)
        with self._cloud.records.locked():
            running = self._cloud.running.get(self._endpoint.arn, [])
            running = [each for each in running if each.exit_code is None]
            self._cloud.running[self._endpoint.arn] = [*running, container]
        return container

    def _keep_running(self, container: Container) -> None:
        while True:
            container.wait()
            self._healthy.clear()
            if self._ending.wait(_RESTART_AFTER_S):
                return
            try:
                container = self._container = self._launched()
            except JobError:
                return  # the emulator ends
            if self._server.is_healthy_within(self._timeout_s, container):
                self._healthy.set()


class Endpoint:
    """An endpoint from its creation to its end.

    `machines` counts its instances by type, also those that it waits for.
    """

    def __init__(self, cloud: Cloud, record: Record) -> None:
        self.record = record
        self.machines: Counter[str] = Counter()
        self._cloud = cloud
        self._changed = threading.Condition()
        self._variants: dict[str, Variant] = {}
        self._capture: Capture | None = None
        region = record.region
        self._metrics = Batches[Invocation](partial(put_metrics, cloud, region, record.name))
        self._captured = Batches[Captured](partial(put_captured, cloud, region))

    @property
    def variants(self) -> Mapping[str, Variant]:
        return self._variants

    def deploy(self, config: Record, settings: Sequence[Fields]) -> None:
        """Start the variants of `settings`, let them take over, and end what ran.

        If they do not start, what ran goes on. Nothing is raised.
        """
        try:
            fresh = self._started(settings)
        except JobError as error:
            self._stay(str(error))
        except Exception as error:  # the outermost loop of a deployment: it must come to an end
            traceback.print_exc()
            self._stay(f"InternalServerError: {error}")
        else:
            with self._changed:
                old, self._variants = self._variants, fresh
                self._capture = Capture.of(config.fields, self.record.name)
            self._end(old)
            self.show(
                EndpointStatus="InService",
                EndpointConfigName=config.name,
                DataCaptureConfig=self._capture and self._capture.summary,
                FailureReason=None,
                PendingDeploymentSummary=None,
            )

    def invoke(self, body: bytes, headers: Mapping[str, str], target: str | None) -> Answer:
        """Let a variant answer: `target`, or one drawn by weight.

        Raises:
            ServiceError: There is none, or its model failed.
        """
        begun, status = time.perf_counter(), 500
        with self._chosen(target) as variant:
            sent = time.perf_counter()
            try:
                answer = variant.invoke(body, headers)
                status = answer.status
            finally:
                model_s = time.perf_counter() - sent
                if status < 400 and self._capture:
                    captured = self._capture.drawn(variant.name, body, headers, answer)
                    if captured:
                        self._captured.add(captured)
                total_s = time.perf_counter() - begun
                self._metrics.add(
                    Invocation(variant.name, now(), status, model_s, total_s, variant.machines)
                )
        if status >= 400:
            raise model_error(self.record, status, answer.body.decode(errors="replace"))
        passed_on = {name: answer.headers[name] for name in _ANSWERED if name in answer.headers}
        passed_on["x-Amzn-Invoked-Production-Variant"] = variant.name
        return Answer(status, passed_on, answer.body)

    def resize(self, changes: Mapping[str, Fields]) -> None:
        """Change weights and numbers of instances; what is not named stays."""
        with self._changed:
            for name, change in changes.items():
                variant = self._variants[name]
                variant.weight = change.get("DesiredWeight", variant.weight)
                variant.machines = change.get("DesiredInstanceCount", variant.machines)
        self.show()

    def delete(self) -> None:
        """End everything, and forget the endpoint."""
        with self._changed:
            old, self._variants = self._variants, {}
        self._end(old)
        self._metrics.close()
        self._captured.close()
        self._cloud.running.pop(self.record.arn, None)
        self._cloud.endpoints.pop(self.record.arn, None)
        self._cloud.records.delete(self.record)

    def show(self, **fields: Any) -> None:
        """Bring what DescribeEndpoint answers up to date."""
        with self._changed:
            self.machines = Counter()
            for variant in self._variants.values():
                self.machines[variant.instance_type] += variant.machines
            summaries = [variant.summary for variant in self._variants.values()]
        self.record.update(ProductionVariants=summaries or None, **fields)

    def _started(self, settings: Sequence[Fields]) -> dict[str, Variant]:
        variants = [Variant(self._cloud, self.record, each) for each in settings]
        try:
            for variant in variants:
                variant.start()
            for variant in variants:
                variant.wait_until_healthy()
        except BaseException:
            for variant in variants:
                variant.stop()
            raise
        return {variant.name: variant for variant in variants}

    def _stay(self, reason: str) -> None:
        status = "InService" if self._variants else "Failed"
        self.show(EndpointStatus=status, FailureReason=reason, PendingDeploymentSummary=None)

    def _end(self, variants: Mapping[str, Variant]) -> None:
        """Let variants answer what they were asked, then end them."""
        with self._changed:
            self._changed.wait_for(
                lambda: not any(each.in_flight for each in variants.values()), _MODEL_TIMEOUT_S
            )
        for variant in variants.values():
            variant.stop()

    @contextmanager
    def _chosen(self, target: str | None) -> Iterator[Variant]:
        with self._changed:
            variant = self._choose(target)
            variant.in_flight += 1
        try:
            yield variant
        finally:
            with self._changed:
                variant.in_flight -= 1
                self._changed.notify_all()

    def _choose(self, target: str | None) -> Variant:
        if target is not None:
            if target not in self._variants:
                raise validation_error(
                    f"Variant {target} was not found for endpoint {self.record.name} of account "
                    f"{ACCOUNT}."
                )
            return self._variants[target]
        variants = list(self._variants.values())
        weights = [variant.weight for variant in variants]
        if not any(weights):
            raise validation_error(
                f"All variants of endpoint {self.record.name} have the weight 0."
            )
        return _RANDOM.choices(variants, weights)[0]


def validation_error(message: str) -> ServiceError:
    """The runtime's own name of a ValidationException."""
    return ServiceError("ValidationError", message)


def not_found(name: str) -> ServiceError:
    return validation_error(f"Endpoint {name} of account {ACCOUNT} not found.")


def model_error(endpoint: Record, status: int, message: str) -> ServiceError:
    """Say that a container answered with an error, in Amazon's words."""
    whose = "client" if 400 <= status < 500 else "server"
    group, region = f"{_LOG_GROUP}/{endpoint.name}", endpoint.region
    return ServiceError(
        "ModelError",
        f'Received {whose} error ({status}) from primary with message "{message}". See '
        f"https://{region}.console.aws.amazon.com/cloudwatch/home?region={region}"
        f"#logEventViewer:group={group} in account {ACCOUNT} for more information.",
        status=424,
        members={
            "OriginalStatusCode": status,
            "OriginalMessage": message,
            "LogStreamArn": f"arn:aws:logs:{region}:{ACCOUNT}:log-group:{group}",
        },
    )
