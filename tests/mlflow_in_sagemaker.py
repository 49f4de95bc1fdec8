"""MLflow as SageMaker hosts it: artifacts in S3, and signed requests, which are written down."""

import hashlib
import http.client
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

import boto3
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from tests.mlflow_server import serve

REGION = "eu-west-1"
BUCKET = "mlflow-in-sagemaker"
ARNS = {
    "sagemaker-mlflow": f"arn:aws:sagemaker:{REGION}:123456789012:mlflow-tracking-server/bank",
    "sagemaker": f"arn:aws:sagemaker:{REGION}:123456789012:mlflow-app/app-ABC123",
}
KEY = Credentials("testing", "testing")


@dataclass(frozen=True)
class Request:
    """What a client sent."""

    method: str
    path: str
    headers: dict[str, str]  # by names in lower case
    body: bytes

    def is_signed(self, key: Credentials, service: str) -> bool:
        """Say whether `key` made the signature, for this very request to `service`."""
        algorithm, _, rest = self.headers.get("authorization", "").partition(" ")
        if algorithm != "AWS4-HMAC-SHA256":
            return False
        fields = dict(field.strip().split("=", 1) for field in rest.split(","))
        signed = {name: self.headers[name] for name in fields["SignedHeaders"].split(";")}
        signed["x-amz-content-sha256"] = hashlib.sha256(self.body).hexdigest()
        request = AWSRequest(
            self.method, f"http://{self.headers['host']}{self.path}", signed, self.body
        )
        request.context["timestamp"] = self.headers["x-amz-date"]
        signer = SigV4Auth(key, service, REGION)
        expected = signer.signature(
            signer.string_to_sign(request, signer.canonical_request(request)), request
        )
        return fields == {
            "Credential": f"{key.access_key}/{signer.credential_scope(request)}",
            "SignedHeaders": ";".join(sorted(signed)),
            "Signature": expected,
        }


class RecordingProxy(ThreadingHTTPServer):
    """Passes requests on to `upstream`, and keeps them."""

    def __init__(self, upstream: str) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.upstream = urlsplit(upstream).netloc
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.requests: list[Request] = []


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: RecordingProxy

    def _pass_on(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.server.requests.append(Request(self.command, self.path, headers, body))
        upstream = http.client.HTTPConnection(self.server.upstream, timeout=60)
        upstream.request(self.command, self.path, body, headers)
        answer = upstream.getresponse()
        content = answer.read()
        upstream.close()
        self.send_response(answer.status)
        self.send_header("Content-Type", answer.headers.get("Content-Type", ""))
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_POST = do_PATCH = do_PUT = do_DELETE = _pass_on  # noqa: N815

    def log_message(self, *arguments: object) -> None:
        """Say nothing of each request."""


class MlflowInSageMaker(NamedTuple):
    """`url` is the server itself; the variables lead a client of an ARN to the proxy before it."""

    url: str
    proxy: RecordingProxy
    variables: dict[str, str]


@contextmanager
def mlflow_in_sagemaker(folder: Path) -> Iterator[MlflowInSageMaker]:
    """Start the server and the emulator whose S3 it uses; they end with the block."""
    with _emulator(folder / "sagemaker") as variables:
        boto3.client(
            "s3",
            endpoint_url=variables["AWS_ENDPOINT_URL"],
            region_name=REGION,
            aws_access_key_id=KEY.access_key,
            aws_secret_access_key=KEY.secret_key,
        ).create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": REGION})
        root = f"s3://{BUCKET}/mlflow"
        with (
            serve(f"sqlite:///{folder / 'mlflow.db'}", folder, artifact_root=root) as server,
            RecordingProxy(server.url) as proxy,
        ):
            thread = threading.Thread(target=proxy.serve_forever, daemon=True)
            thread.start()
            yield MlflowInSageMaker(
                server.url, proxy, variables | {"SAGEMAKER_MLFLOW_CUSTOM_ENDPOINT": proxy.url}
            )
            proxy.shutdown()
            thread.join()


@contextmanager
def _emulator(work: Path) -> Iterator[dict[str, str]]:
    """Start an emulator in a process of its own: there can be one in each."""
    command = [sys.executable, "-m", "sagemaker_emulator", "--work", str(work)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            url = process.stdout.readline().strip()
            yield {
                "AWS_ENDPOINT_URL": url,
                "AWS_ACCESS_KEY_ID": KEY.access_key,
                "AWS_SECRET_ACCESS_KEY": KEY.secret_key,
                "AWS_REGION": REGION,
                "AWS_DEFAULT_REGION": REGION,
                "AWS_EC2_METADATA_DISABLED": "true",
                "AWS_CONFIG_FILE": "/dev/null",
                "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
                "NO_PROXY": "127.0.0.1,localhost",
            }
        finally:
            process.terminate()
