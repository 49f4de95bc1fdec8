"""An AWS endpoint that answers some operations as a test wants, and leaves the rest to another."""

import http.client
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit


class Answers:
    """What is answered: bodies by operation, and how wrong the server's clock is."""

    def __init__(self, behind: str) -> None:
        self.bodies: dict[str, str] = {}
        self.ahead = timedelta()
        self.behind = behind
        self.url = ""

    def json(self, operation: str, **members: object) -> None:
        self.bodies[operation] = json.dumps(members)

    def xml(self, operation: str, result: str) -> None:
        self.bodies[operation] = (
            f"<{operation}Response><{operation}Result>{result}</{operation}Result>"
            f"</{operation}Response>"
        )


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
            status, answer = 200, script.bodies.get(operation, "").encode()
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
