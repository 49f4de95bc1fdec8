"""The servers that a SageMaker stack needs, as its jobs find them: ZenML's and MLflow's."""

import ipaddress
import re
from functools import cached_property
from importlib.metadata import version
from urllib.parse import urlsplit

import requests
from packaging.version import InvalidVersion, Version

from bank_marketing.errors import PlatformError
from platforms.factory import mlflow_version
from platforms.sagemaker.checks import Account, MlflowServer
from stacks.doctor.check import Finding, Look, ok, problem, unknown
from stacks.files import StackFile
from stacks.mlflow_by_name import TRACKER, mlflow_name, with_mlflow_arn
from stacks.store import store_url

ZENML = "ZenML server"

_MLFLOW = re.compile(r"arn:aws[\w-]*:sagemaker:[\w-]+:\d{12}:mlflow-(tracking-server|app)/.+")
_TIMEOUT_S = 5
_ANOTHER = (
    "set SAGEMAKER_MLFLOW to one that `aws sagemaker list-mlflow-tracking-servers` or "
    "`list-mlflow-apps` names"
)


def zenml_looks(stack: StackFile) -> list[Look]:
    """Return what to look at before ZenML's store is opened, which is patient."""
    return [
        Look("ZenML address", lambda: reach(store_url(), stack, "zenml login https://SERVER")),
        Look(ZENML, lambda: _zenml_server(store_url()), needs=("ZenML address",)),
    ]


class MlflowLooks:
    """Looks at one MLflow server, by its address or by its ARN or name in SageMaker."""

    def __init__(self, stack: StackFile, account: Account) -> None:
        self._stack = stack
        self._account = account
        uri = str(stack.components[TRACKER].config.get("tracking_uri"))
        self.is_in_sagemaker = mlflow_name(stack) is not None or _MLFLOW.fullmatch(uri) is not None

    def address(self) -> Finding:
        try:
            uri = self._uri
        except PlatformError as error:
            if error.__cause__ is not None:  # AWS has not told
                raise
            return problem(str(error), _ANOTHER)
        if self.is_in_sagemaker:
            return ok(uri)
        return reach(uri, self._stack, "set SAGEMAKER_MLFLOW to an ARN")

    def status(self) -> Finding:
        if not self.is_in_sagemaker:
            return ok("not one of SageMaker's")
        name = self._uri.rpartition("/")[2]
        if self._server is None:
            return problem(
                f"there is no {self._uri}",
                _ANOTHER,
            )
        if not self._server.is_running:
            return problem(
                f"{name} is {self._server.status}",
                f"aws sagemaker start-mlflow-tracking-server --tracking-server-name {name}",
            )
        return ok(f"{name} is {self._server.status}")

    def answer(self) -> Finding:
        try:
            server = mlflow_version(self._uri)
        except PlatformError as error:
            remedy = "start the server, or set SAGEMAKER_MLFLOW to another"
            return problem(
                str(error), "python run.py emulator up" if self._stack.emulated else remedy
            )
        return compare_mlflow(client=version("mlflow"), server=self._told_by_aws() or server)

    def _told_by_aws(self) -> str:
        try:
            return self._server.version if self.is_in_sagemaker and self._server else ""
        except PlatformError:  # said by `status`
            return ""

    @cached_property
    def _uri(self) -> str:
        """Its address or ARN; a name is looked up."""
        return str(with_mlflow_arn(self._stack).components[TRACKER].config.get("tracking_uri"))

    @cached_property
    def _server(self) -> MlflowServer | None:
        return self._account.mlflow_server(self._uri)


def reach(url: str, stack: StackFile, remedy: str) -> Finding:
    """Say whether a job would find what is at `url`; of this machine only if it is the cloud."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or parts.hostname is None:
        return problem(f"{url} is not the address of a server, and no job can reach it", remedy)
    if stack.emulated or not _is_private(parts.hostname):
        return ok(url)
    if stack.sagemaker and stack.sagemaker.subnets and not _is_loopback(parts.hostname):
        return unknown(f"{url} is for the jobs' subnets alone", "try it from one of them")
    return problem(f"no job in AWS can reach {url}", remedy)


def compare_mlflow(*, client: str, server: str) -> Finding:
    """Say whether a client and a server of these versions understand each other."""
    try:
        ours, theirs = Version(client), Version(server)
    except InvalidVersion:
        return unknown(f"the server does not tell its version; the client is {client}")
    found = f"server {server}, client {client}"
    if ours.major != theirs.major:
        return problem(found, f"take a server of MLflow {ours.major}, or install mlflow=={server}")
    if ours.release[:2] > theirs.release[:2]:
        return unknown(
            f"{found}: whether the older server has all that the client asks for",
            f"take a server of MLflow {ours.major}.{ours.minor}",
        )
    return ok(found)


def _zenml_server(url: str) -> Finding:
    try:
        answer = requests.get(f"{url.rstrip('/')}/api/v1/info", timeout=_TIMEOUT_S)
        answer.raise_for_status()
        server = str(answer.json()["version"])
    except (requests.RequestException, KeyError) as error:
        return problem(f"{url} does not answer as ZenML does: {error}", f"zenml login {url}")
    client = version("zenml")
    if server != client:
        return problem(
            f"{url} is ZenML {server}, the client is {client}", f"upgrade the server to {client}"
        )
    return ok(f"{url}, ZenML {server} as here")


def _is_private(host: str) -> bool:
    try:
        return not ipaddress.ip_address(host).is_global
    except ValueError:
        return "." not in host or host.endswith((".local", ".localhost", ".internal"))


def _is_loopback(host: str) -> bool:
    try:
        address = ipaddress.ip_address(host)
        return address.is_loopback or address.is_unspecified
    except ValueError:
        return host == "localhost" or host.endswith((".localhost", ".local", "docker.internal"))
