"""A model's container in miniature: it answers each line with its sum times a factor.

The factor is the content of `/opt/ml/model/factor`. A body of the type `text/x-order` is obeyed
instead: `fail STATUS WORDS`, `sleep SECONDS`, `variable NAME`, `header NAME`, `pid` or `exit`.
"""

import os
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


def answer(handler: BaseHTTPRequestHandler, body: str) -> tuple[int, str]:
    content_type = handler.headers.get("Content-Type", "")
    if content_type == "text/x-order":
        order, *words = body.split()
        return ORDERS[order](handler, *words)
    if content_type.endswith("one-answer"):
        return 200, "1\n"
    sums = (sum(float(field) for field in line.split(",")) for line in body.splitlines())
    return 200, "".join(f"{FACTOR * each:g}\n" for each in sums)


def fail(_: BaseHTTPRequestHandler, status: str, *words: str) -> tuple[int, str]:
    return int(status), " ".join(words)


def sleep(_: BaseHTTPRequestHandler, seconds: str) -> tuple[int, str]:
    time.sleep(float(seconds))
    return 200, "rested"


def end(_: BaseHTTPRequestHandler) -> tuple[int, str]:
    os._exit(3)


ORDERS = {
    "fail": fail,
    "sleep": sleep,
    "exit": end,
    "pid": lambda _: (200, str(os.getpid())),
    "variable": lambda _, name: (200, os.environ.get(name, "")),
    "header": lambda handler, name: (200, handler.headers.get(name, "")),
}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        known = self.path == "/ping"
        self._send(200 if known else 404, "")

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        try:
            status, text = answer(self, body)
        except ValueError as error:
            status, text = 400, str(error)
        self._send(status, text)

    def log_message(self, *_: object) -> None:
        """Say nothing of each request."""

    def _send(self, status: int, text: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", self.headers.get("Accept") or "text/csv")
        attributes = self.headers.get("X-Amzn-SageMaker-Custom-Attributes")
        if attributes:
            self.send_header("X-Amzn-SageMaker-Custom-Attributes", attributes.upper())
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128


if __name__ == "__main__":
    if os.environ.get("BROKEN"):
        sys.exit("the model cannot be loaded")
    FACTOR = float(Path("/opt/ml/model/factor").read_text())
    Server(("127.0.0.1", int(os.environ["SAGEMAKER_BIND_TO_PORT"])), Handler).serve_forever()
