"""One HTTP server for the whole cloud: SageMaker here, every other service by moto.

It listens on the loopback interface alone, and keeps all that exists in memory.
"""

import json
import os
import shutil
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import boto3
from botocore.exceptions import BotoCoreError, ClientError
from moto.moto_api._internal.models import moto_api_backend
from moto.moto_server.werkzeug_app import (
    DomainDispatcherApplication,
    MotoRequestHandler,
    create_backend_app,
)
from werkzeug.datastructures import EnvironHeaders
from werkzeug.serving import BaseWSGIServer, make_server
from werkzeug.wrappers import Response

from sagemaker_emulator.api import operations, requests
from sagemaker_emulator.api.cloud import OWN_KEY, Call, Cloud, client_variables
from sagemaker_emulator.api.errors import ServiceError, ValidationException
from sagemaker_emulator.faults import Fault, Faults, RecordedCall, Recorder
from sagemaker_emulator.hosting.handlers import invoke
from sagemaker_emulator.images.containers import (
    ContainerRuntime,
    Environment,
    Isolation,
    best_isolation,
)
from sagemaker_emulator.images.images import Images
from sagemaker_emulator.pipelines.schedules import Schedules, require_emulated

LOOPBACK = "127.0.0.1"
REGION = "eu-west-1"

_SCHEDULING = {("scheduler", "CreateSchedule"), ("scheduler", "UpdateSchedule")}

WSGI = Callable[[requests.Environ, Any], Iterable[bytes]]


class _Handler(MotoRequestHandler):
    protocol_version = "HTTP/1.1"  # connections that stay open

    def log(self, type: str, message: str, *args: Any) -> None:
        """Say nothing of each request."""


class Emulator:
    """A SageMaker that really runs what it is asked to; one at a time in a process.

    Use it as a context manager, or with `start` and `stop`.

    Args:
        work: Folder of jobs, logs and the environments of Amazon's images.
        images: Environments by a regular expression for an image's address.
        port: 0 takes a free one.
        slots: Jobs at a time, and as many that jobs ask for; by default one a processor.
        variables: Environment variables that the network supplies to every container.
        quotas: Limit by use, such as `ml.m5.large for training job usage`; none without an entry.
        isolation: By default the best that the system allows.
        stop_grace_s: Between SIGTERM and SIGKILL; Amazon gives 120.
    """

    def __init__(
        self,
        work: Path,
        *,
        images: Sequence[tuple[str, Environment]] = (),
        port: int = 0,
        slots: int | None = None,
        variables: Mapping[str, str] | None = None,
        quotas: Mapping[str, int] | None = None,
        isolation: Isolation | None = None,
        stop_grace_s: float = 5,
        environments: Path | None = None,
    ) -> None:
        self.faults = Faults()
        self.recorder = Recorder()
        self.quotas = dict(quotas or {})
        self._server: BaseWSGIServer = make_server(
            LOOPBACK, port, self._application, threaded=True, request_handler=_Handler
        )
        self.url = f"http://{LOOPBACK}:{self._server.server_port}"
        work = work.resolve()
        slots = slots or os.cpu_count() or 1
        self._cloud = Cloud(
            endpoint=self.url,
            call=self._called,
            work=work,
            images=Images(images, environments or work / "environments"),
            containers=ContainerRuntime(
                isolation or best_isolation(), work / "home", variables or {}
            ),
            variables=variables or {},
            slots=threading.BoundedSemaphore(slots),
            slots_of_jobs=threading.BoundedSemaphore(slots),
            quotas=self.quotas,
            stop_grace_s=stop_grace_s,
        )
        self._schedules = Schedules(self._cloud)
        self._preloading = [environment for _, environment in images if environment.preload]
        self._moto: WSGI = DomainDispatcherApplication(create_backend_app)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    def start(self) -> Self:
        for name in ("jobs", "endpoints"):
            shutil.rmtree(self._cloud.work / name, ignore_errors=True)
        self._cloud.work.mkdir(parents=True, exist_ok=True)
        moto_api_backend.reset()  # it belongs to the process: an earlier emulator left its own
        for environment in self._preloading:
            self._cloud.containers.warm_up(environment)
        self._thread.start()
        self._schedules.start()
        return self

    def stop(self) -> None:
        """End every container and the server."""
        for endpoint in list(self._cloud.endpoints.values()):
            endpoint.delete()
        self._schedules.stop()
        self._cloud.containers.stop()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        _type: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def environment(self, region: str = REGION) -> dict[str, str]:
        """Return the variables with which any AWS client talks to this emulator."""
        return client_variables(self.url, region)

    def session(self, region: str = REGION) -> boto3.session.Session:
        """Return a session whose every request comes here, also one for a fixed address of Amazon.

        The SageMaker SDK asks `https://sts.REGION.amazonaws.com` past `AWS_ENDPOINT_URL`.
        """
        session = boto3.session.Session("testing", "testing", region_name=region)
        session.events.register("before-send.*", self._redirect)
        return session

    def kill(self, name: str) -> int:
        """Kill the containers of a job or an endpoint, as if a machine broke; return how many."""
        containers = [
            container
            for record in self._cloud.records.all()
            if name in (record.name, record.arn)
            for container in self._cloud.running.get(record.arn, [])
        ]
        for container in containers:
            container.kill(9)
        return len(containers)

    def _redirect(self, request: Any, **_: object) -> None:
        if ".amazonaws.com" in request.url:
            _, _, path = request.url.partition("amazonaws.com")
            request.url = self.url + (path or "/")

    def _application(self, environ: requests.Environ, start: Any) -> Iterable[bytes]:
        if not requests.is_from_a_client(environ):
            return _json({"message": "only for clients on this machine"}, 403)(environ, start)
        try:
            return self._answer(environ, start)
        except (ValueError, BotoCoreError, ClientError) as error:
            refusal = ValidationException(f"the request cannot be carried out: {error}")
            return _refusal(refusal, "sagemaker")(environ, start)

    def _answer(self, environ: requests.Environ, start: Any) -> Iterable[bytes]:
        if environ.get("PATH_INFO", "").startswith("/_emulator/"):
            return self._control(environ)(environ, start)
        request = requests.parse(environ)
        if request is None:
            return self._moto(environ, start)
        error = ""
        caller = self._cloud.callers.get(request.key, request.key)
        try:
            self.faults.strike(request.service, request.operation, caller)
            if request.service == "sagemaker":
                return self._sagemaker(request, environ)(environ, start)
            if request.service == "tagging" and request.operation == "GetResources":
                return self._tagged(request, environ)(environ, start)
            if request[:2] in _SCHEDULING:
                require_emulated(json.loads(request.body))
            return self._moto(environ, start)
        except ServiceError as refusal:
            error = refusal.code
            return _refusal(refusal, request.service)(environ, start)
        finally:
            if request.key != OWN_KEY:
                self.recorder.add(
                    RecordedCall(
                        request.service, request.operation, request.resource, caller, error
                    )
                )

    def _sagemaker(self, request: requests.Request, environ: requests.Environ) -> Response:
        if request.resource.startswith("/endpoints/"):
            headers = EnvironHeaders(environ)
            status, answered, body = invoke(
                self._cloud, request.region, request.resource, headers, request.body
            )
            return Response(body, status, dict(answered))
        by_job = request.key in self._cloud.callers
        asked = json.loads(request.body or b"{}")
        call = Call(request.operation, request.region, asked, by_job)
        return _json(operations.answer(self._cloud, call))

    def _called(self, call: Call, role: str) -> Mapping[str, Any]:
        """Carry out a call of a pipeline: faults strike it, and it is recorded."""
        error = ""
        try:
            self.faults.strike("sagemaker", call.operation, role)
            return operations.answer(self._cloud, call)
        except ServiceError as refusal:
            error = refusal.code
            raise
        finally:
            resource = requests.named(call.request)
            self.recorder.add(RecordedCall("sagemaker", call.operation, resource, role, error))

    def _tagged(self, request: requests.Request, environ: requests.Environ) -> Response:
        """Add what exists here to what moto knows."""
        response = Response.from_app(self._moto, environ)
        found = json.loads(response.get_data())
        records = self._cloud.records.all(region=request.region)
        found["ResourceTagMappingList"] += operations.tagged(records, json.loads(request.body))
        return _json(found)

    def _control(self, environ: requests.Environ) -> Response:
        """Answer what only an emulator can be asked."""
        what = environ["PATH_INFO"].removeprefix("/_emulator/"), environ["REQUEST_METHOD"]
        size = int(environ.get("CONTENT_LENGTH") or 0)
        asked = json.loads(environ["wsgi.input"].read(size) or b"{}")
        if what == ("health", "GET"):
            return _json({"status": "ok"})
        if what == ("calls", "GET"):
            return _json({"calls": self.recorder.calls()})
        if what == ("faults", "POST"):
            self.faults.add(Fault(**asked))
        elif what == ("faults", "DELETE"):
            self.faults.clear()
        elif what == ("quotas", "POST"):
            self.quotas.update(asked)
        elif what == ("kill", "POST"):
            return _json({"killed": self.kill(asked["name"])})
        else:
            return _json({"message": f"there is no {what[1]} {what[0]}"}, 404)
        return _json({})


def _json(value: object, status: int = 200) -> Response:
    return Response(json.dumps(value), status, content_type="application/x-amz-json-1.1")


def _refusal(error: ServiceError, service: str) -> Response:
    """Write an error as the service's clients read it."""
    if service in ("s3", "sts", "iam"):
        body = (
            f"<Error><Code>{error.code}</Code><Message>{error.message}</Message></Error>"
            if service == "s3"
            else f"<ErrorResponse><Error><Code>{error.code}</Code>"
            f"<Message>{error.message}</Message></Error></ErrorResponse>"
        )
        return Response(body, error.status, content_type="application/xml")
    members = {"__type": error.code, "message": error.message, **error.members}
    response = _json({**members, "Message": error.message}, error.status)
    response.headers["x-amzn-ErrorType"] = error.code
    return response
