"""A model in its container: what the container is given, and HTTP with it."""

import random
import socket
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple, Self

import urllib3
from urllib3.exceptions import HTTPError, ProtocolError, ReadTimeoutError

from sagemaker_emulator.api.cloud import Cloud, Fields
from sagemaker_emulator.images.containers import Command, Container
from sagemaker_emulator.jobs.storage import download, split_uri, unpacked

_LOOPBACK = "127.0.0.1"
_HOST = "container-0.local"
_PING_TIMEOUT_S = 2  # as Amazon documents it
_POLL_S = 0.05
_CONNECTIONS = 256
_RANDOM = random.SystemRandom()


class Model(NamedTuple):
    """What a container of a model is made of.

    `data` is an archive on S3, or what lies under a prefix if it is not `packed`.
    """

    image: str
    data: str | None
    packed: bool
    variables: Mapping[str, str]
    role: str

    @classmethod
    def of(cls, request: Fields, container: Fields) -> Self:
        """Read a model from the request that makes it, and its container."""
        source = (container.get("ModelDataSource") or {}).get("S3DataSource") or {}
        return cls(
            image=container["Image"],
            data=container.get("ModelDataUrl") or source.get("S3Uri"),
            packed=source.get("CompressionType", "Gzip") == "Gzip",
            variables=container.get("Environment") or {},
            role=request["ExecutionRoleArn"],
        )

    def lay_out(self, cloud: Cloud, region: str, folder: Path) -> None:
        """Make what the container finds: `/opt/ml/model` and an empty `/app`.

        Raises:
            JobError: The model cannot be read.
        """
        target = folder / "ml" / "model"
        for each in (target, folder / "app"):
            each.mkdir(parents=True, exist_ok=True)
        if self.data is None:
            return
        if not self.packed:
            download(cloud, region, self.data, target)
            return
        key = split_uri(self.data)[1]
        download(cloud, region, self.data, folder / "download", keys=[key])
        unpacked(folder / "download" / Path(key).name, target)

    def start(self, cloud: Cloud, region: str, folder: Path, port: int) -> Container:
        """Start a container that is to listen on `port`.

        Raises:
            JobError: Its image is unknown, or the emulator ends.
        """
        environment = cloud.images.environment(self.image)
        variables = {
            **cloud.container_variables(region, self.role),
            "SAGEMAKER_BIND_TO_PORT": str(port),
            **self.variables,
        }
        hosts = cloud.containers.addresses([_HOST])
        return cloud.containers.start(
            environment, Command(environment.serve, variables, folder, hosts)
        )


class Answer(NamedTuple):
    """What a container answered."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class NoAnswerError(Exception):
    """The container did not answer."""


class TooSlowError(NoAnswerError):
    """The container did not answer in time."""


class ModelServer:
    """HTTP with the container of a model, over connections that stay open."""

    def __init__(self) -> None:
        self.port = _free_port()
        self._pool = urllib3.HTTPConnectionPool(
            _LOOPBACK, self.port, maxsize=_CONNECTIONS, retries=False
        )

    def is_healthy_within(self, timeout_s: float, container: Container) -> bool:
        """Ping until the container answers with 200; give up once it ended or time is over."""
        end = time.monotonic() + timeout_s
        while container.wait(_POLL_S) is None and time.monotonic() < end:
            if self._is_healthy():
                return True
        return False

    def invoke(self, body: bytes, headers: Mapping[str, str], timeout_s: float) -> Answer:
        """Send one request.

        Raises:
            NoAnswerError: There was none.
        """
        try:
            try:
                return self._post(body, headers, timeout_s)
            except ProtocolError:
                # A server may close an idle connection in the very moment it is used again.
                return self._post(body, headers, timeout_s)
        except ReadTimeoutError as error:
            raise TooSlowError(str(error)) from error
        except HTTPError as error:
            raise NoAnswerError(str(error)) from error

    def parameters(self) -> Fields:
        """Return what the container says of how transform jobs should call it, if it does."""
        try:
            response = self._pool.request("GET", "/execution-parameters", timeout=_PING_TIMEOUT_S)
            answer = response.json() if response.status == 200 else {}
        except (HTTPError, ValueError):
            return {}
        return answer if isinstance(answer, dict) else {}

    def _is_healthy(self) -> bool:
        try:
            return self._pool.request("GET", "/ping", timeout=_PING_TIMEOUT_S).status == 200
        except HTTPError:
            return False

    def _post(self, body: bytes, headers: Mapping[str, str], timeout_s: float) -> Answer:
        response = self._pool.request(
            "POST", "/invocations", body=body, headers=headers, timeout=timeout_s
        )
        return Answer(response.status, response.headers, response.data)


def _free_port() -> int:
    """Find a port below those of outgoing connections, one of which could take it meanwhile."""
    while True:
        port = _RANDOM.randrange(20_000, 32_000)
        with socket.socket() as listener, suppress(OSError):
            listener.bind((_LOOPBACK, port))
            return port
