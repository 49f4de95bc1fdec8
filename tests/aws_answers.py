"""An AWS endpoint that answers some operations as a test wants, and leaves the rest to another."""

import http.client
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit


class Answers:
    """What is answered: bodies by operation, and how wrong the server's clock is.

    The key of a body may also name a part of the requests that it is for, after a space.
    """

    def __init__(self, behind: str) -> None:
        self.bodies: dict[str, str] = {}
        self.ahead = timedelta()
        self.behind = behind
        self.url = ""

    def json(self, operation: str, **members: object) -> None:
        self.bodies[operation] = json.dumps(members)

    def xml(self, operation: str, result: str, *, to: str = "") -> None:
        self.bodies[f"{operation} {to}".strip()] = (
            f"<{operation}Response><{operation}Result>{result}</{operation}Result>"
            f"</{operation}Response>"
        )

    def answer(self, operation: str, request: str) -> str:
        """Return the answer to a request, to the one that is meant most narrowly; "" if none is."""
        for key in sorted(self.bodies, key=len, reverse=True):
            name, _, part = key.partition(" ")
            if name == operation and part in request:
                return self.bodies[key]
        return ""


@contextmanager
def answers(behind: str) -> Iterator[Answers]:
    """Serve on loopback; what has no answer of its own goes to the server at `behind`."""
    script = Answers(behind)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            target = self.headers.get("X-Amz-Target", "").rpartition(".")[2]
            operation = target or parse_qs(body.decode())["Action"][0]
            status, answer = 200, script.answer(operation, unquote(body.decode())).encode()
            if not answer:
                status, answer = forward(self.path, body, dict(self.headers.items()))
            self.send_response_only(status)
            self.send_header("Date", format_datetime(datetime.now(UTC) + script.ahead))
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    def forward(path: str, body: bytes, headers: dict[str, str]) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection(urlsplit(behind).netloc, timeout=10)
        connection.request("POST", path, body, headers)
        answer = connection.getresponse()
        content = answer.read()
        connection.close()
        return answer.status, content

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        script.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield script
        finally:
            server.shutdown()
            thread.join()
