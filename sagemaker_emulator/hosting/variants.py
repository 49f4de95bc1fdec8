"""A production variant of an endpoint: a container that answers, and is kept running."""

import secrets
import shutil
import signal
import threading
import uuid
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from sagemaker_emulator.api.cloud import Cloud, Fields
from sagemaker_emulator.api.errors import JobError, ServiceError
from sagemaker_emulator.api.records import ACCOUNT, Record, now
from sagemaker_emulator.hosting.serving import (
    Answer,
    Model,
    ModelServer,
    NoAnswerError,
    TooSlowError,
)
from sagemaker_emulator.images.containers import Container
from sagemaker_emulator.jobs.storage import LogStreams

MODEL_TIMEOUT_S = 60  # API reference of InvokeEndpoint

_LOG_GROUP = "/aws/sagemaker/Endpoints"
_STARTUP_TIMEOUT_S = 600
_RESTART_AFTER_S = 0.5


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
        self._opened = ExitStack()
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
        self._opened.callback(shutil.rmtree, self._folder, ignore_errors=True)
        self._model.lay_out(self._cloud, self._endpoint.region, self._folder)
        self._opened.enter_context(self._logs)
        self._container = self._launched()

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
            return self._server.invoke(body, headers, MODEL_TIMEOUT_S)
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
            self._end(self._container)
        self._opened.close()

    def _end(self, container: Container) -> None:
        with suppress(JobError):  # its launcher is gone, and with it the container
            container.kill(signal.SIGTERM)
            if container.wait(self._cloud.stop_grace_s) is None:
                container.kill(signal.SIGKILL)
                container.wait()

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
            except (BotoCoreError, ClientError, JobError):
                continue  # the container has ended already: try again after a while
            if self._ending.is_set():  # `stop` may have seen the container before
                self._end(container)
                return
            if self._server.is_healthy_within(self._timeout_s, container):
                self._healthy.set()


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
