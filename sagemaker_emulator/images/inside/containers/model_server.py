"""The HTTP server of a model container, and models that a user's script loads and asks."""

import logging
import os
import signal
import sys
import threading
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple

_MB = 1024**2


class Answer(NamedTuple):
    """What a model answers to an invocation."""

    status: int
    body: bytes
    content_type: str = "text/plain"


class Question(NamedTuple):
    """An invocation; the types are empty where the caller gave none."""

    body: bytes
    content_type: str
    accept: str


Model = Callable[[Question], Answer]


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, port: int, model: Model, longest_body: int) -> None:
        self.model = model
        self.longest_body = longest_body
        super().__init__(("127.0.0.1", port), _Handler)


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.1"
    timeout = 120
    wbufsize = -1  # an answer leaves in one piece, not its header and then its body
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        status = HTTPStatus.OK if self.path == "/ping" else HTTPStatus.NOT_FOUND
        self._send(Answer(status, b""))

    def do_POST(self) -> None:
        length = self.headers.get("Content-Length", "")
        if self.path != "/invocations":
            self._refuse(HTTPStatus.NOT_FOUND, "The requested URL was not found on the server.")
        elif not length.isdecimal():
            self._refuse(HTTPStatus.LENGTH_REQUIRED, "The request has no Content-Length.")
        elif int(length) > self.server.longest_body:
            self._refuse(
                HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
                f"The request has {length} bytes; MAX_CONTENT_LENGTH is "
                f"{self.server.longest_body}.",
            )
        else:
            self._send(self._answer(int(length)))

    def _answer(self, length: int) -> Answer:
        content_type = self.headers.get("Content-Type", "")
        accept = self.headers.get("Accept", "")
        try:
            return self.server.model(Question(self.rfile.read(length), content_type, accept))
        except Exception as error:  # the outermost loop of the server
            logging.exception("The model failed")
            return Answer(HTTPStatus.INTERNAL_SERVER_ERROR, str(error).encode())

    def _refuse(self, status: HTTPStatus, message: str) -> None:
        self.close_connection = True  # the body was not read
        self._send(Answer(status, message.encode()))

    def _send(self, answer: Answer) -> None:
        self.send_response(answer.status)
        self.send_header("Content-Type", answer.content_type)
        if answer.status != HTTPStatus.NO_CONTENT:
            self.send_header("Content-Length", str(len(answer.body)))
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(answer.body)
        self.wfile.flush()


def server_of(model: Model, port: int) -> ThreadingHTTPServer:
    """Return a server on a loopback port that takes bodies as long as the variables say."""
    default = 100 * _MB if os.environ.get("SAGEMAKER_BATCH") else 6 * _MB
    return _Server(port, model, int(os.environ.get("MAX_CONTENT_LENGTH", default)))


def serve(model: Model) -> None:
    """Answer until SIGTERM."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    port = int(os.environ.get("SAGEMAKER_BIND_TO_PORT", "8080"))
    with server_of(model, port) as server:
        server.serve_forever()


def base_folder() -> Path:
    """Return `/opt/ml`, or what stands for it outside a container."""
    return Path(os.environ.get("SAGEMAKER_BASE_DIR", "/opt/ml"))


def has_script() -> bool:
    """Return whether the model comes with a script of the user's."""
    return bool(os.environ.get("SAGEMAKER_PROGRAM"))


class _Context:
    """What AWS's inference toolkit asks its server, and tells it, of one request."""

    def __init__(self, question: Question) -> None:
        self.status = int(HTTPStatus.OK)
        self.content_type = question.accept
        self.system_properties = {"model_dir": str(base_folder() / "model")}
        self.request_processor = [self]
        self._properties = {"Content-Type": question.content_type, "Accept": question.accept}

    def get_request_properties(self) -> dict[str, str]:
        return self._properties

    def get_request_header(self, _: int, name: str) -> str | None:
        return self._properties.get(name)

    def set_response_status(self, code: int = 200, phrase: str = "", _: int = 0) -> None:
        del phrase
        self.status = int(code)

    def set_response_content_type(self, _: int, value: str) -> None:
        self.content_type = value


def script_model(decode: Callable[..., Any], predict: Callable[..., Any]) -> Model:
    """Return the model that the user's `model_fn` loads, asked through AWS's inference toolkit.

    Args:
        decode: `input_fn(body, content_type)` of a script that has none.
        predict: `predict_fn(data, model)` of a script that has none.
    """
    from sagemaker_inference.default_inference_handler import DefaultInferenceHandler
    from sagemaker_inference.transformer import Transformer

    handler = DefaultInferenceHandler()
    handler.default_input_fn = _refusing(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, decode)
    handler.default_predict_fn = predict
    handler.default_output_fn = _refusing(HTTPStatus.NOT_ACCEPTABLE, handler.default_output_fn)
    _install_script()
    transformer = Transformer(handler)
    nothing = _Context(Question(b"", "", ""))
    transformer.validate_and_initialize(nothing.system_properties["model_dir"], nothing)
    lock = threading.Lock()  # AWS gives a worker one request at a time

    def answer(question: Question) -> Answer:
        context = _Context(question)
        with lock:
            (said,) = transformer.transform([{"body": question.body}], context)
        body = said if isinstance(said, bytes) else str(said).encode()
        return Answer(context.status, body, context.content_type or "text/plain")

    return answer


def _install_script() -> None:
    from sagemaker_training import entry_point, environment, files

    code, base = base_folder() / "model" / "code", str(base_folder())
    source = os.environ.get("SAGEMAKER_SUBMIT_DIRECTORY", str(code))
    if source.startswith("/opt/ml"):
        source = base + source.removeprefix("/opt/ml")
    folder = environment.code_dir if source.startswith("s3://") else source
    files.download_and_extract(source, folder)
    entry_point.install(os.environ["SAGEMAKER_PROGRAM"], folder)


def _refusing(status: HTTPStatus, function: Callable[..., Any]) -> Callable[[Any, str], Any]:
    """Return `function`, whose complaint about a type becomes an HTTP status."""
    from sagemaker_inference.errors import BaseInferenceToolkitError, UnsupportedFormatError

    def refused(value: Any, content_type: str) -> Any:
        try:
            return function(value, content_type)
        except UnsupportedFormatError as error:
            raise BaseInferenceToolkitError(status, str(error), status.phrase) from error

    return refused
