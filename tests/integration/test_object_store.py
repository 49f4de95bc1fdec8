import hashlib
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address

import boto3
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from moto.server import ThreadedMotoServer

from bank_marketing.errors import DataError, PlatformError
from platforms.object_store import Limits, UnreachableError, fetch

CONTENT = bytes(range(256)) * 2048  # 512 KiB, two chunks
SHA256 = hashlib.sha256(CONTENT).hexdigest()
HASTY = Limits(connect=1, read=0.2, max_bytes=len(CONTENT))

Page = Callable[[BaseHTTPRequestHandler], None]


def ignore(done: int, total: int | None) -> None:
    """Show no progress."""


def serve(content: bytes, *, length: int | None = None) -> Page:
    """Answer with `content`, and `length` in its header."""

    def page(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(content) if length is None else length))
        handler.end_headers()
        handler.wfile.write(content)

    return page


def redirect(target: str) -> Page:
    def page(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(302)
        handler.send_header("Location", target)
        handler.end_headers()

    return page


class Server(ThreadingHTTPServer):
    """A web server on this machine that answers each path as `pages` says, else with 404."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.pages: dict[str, Page] = {}
        self.requests = 0
        self.scheme = "http"

    def url(self, path: str) -> str:
        return f"{self.scheme}://127.0.0.1:{self.server_port}{path}"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        self.server.requests += 1
        page = self.server.pages.get(self.path.partition("?")[0])
        if page:
            page(self)
        else:
            self.send_error(404)

    def log_message(self, *args: object) -> None:
        """Keep the test's output clean."""


@contextmanager
def running(server: Server) -> Iterator[Server]:
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


@pytest.fixture
def server():
    with running(Server()) as server:
        server.pages["/table.csv"] = serve(CONTENT)
        yield server


@pytest.fixture
def encrypted_server(tmp_path, monkeypatch):
    """The same over TLS, with a certificate that `requests` is told to trust."""
    certificate = tmp_path / "certificate.pem"
    certificate.write_bytes(self_signed_certificate())
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    server = Server()
    server.scheme = "https"
    server.socket = context.wrap_socket(server.socket, server_side=True)
    with running(server):
        server.pages["/table.csv"] = serve(CONTENT)
        yield server


def self_signed_certificate() -> bytes:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    address = x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(address, critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    private_key = key.private_bytes(
        pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return private_key + certificate.public_bytes(pem)


@pytest.fixture
def cache(tmp_path):
    return tmp_path / "cache"


class TestPaths:
    @pytest.mark.parametrize("form", ["{}", "file://{}", "file://localhost{}"])
    def test_a_file_is_used_where_it_is(self, tmp_path, cache, form):
        path = tmp_path / "table.csv"
        path.write_bytes(CONTENT)

        file = fetch(form.format(path), cache, progress=ignore)

        assert (file.path, file.sha256) == (path, SHA256)
        assert not cache.exists()

    def test_a_file_uri_may_hold_escaped_characters(self, tmp_path, cache):
        path = tmp_path / "my table.csv"
        path.write_bytes(CONTENT)

        file = fetch(path.as_uri(), cache, progress=ignore)

        assert file.path == path

    def test_a_relative_path_becomes_absolute(self, tmp_path, cache, monkeypatch):
        (tmp_path / "table.csv").write_bytes(CONTENT)
        monkeypatch.chdir(tmp_path)

        file = fetch("table.csv", cache, progress=ignore)

        assert file.path == tmp_path / "table.csv"

    @pytest.mark.parametrize(
        ("uri", "message"),
        [
            ("/no/such/table.csv", "table.csv cannot be read: No such file or directory"),
            ("/", "/ cannot be read: Is a directory"),
            ("file://elsewhere/table.csv", "on another machine, 'elsewhere'"),
            ("ftp://host/table.csv", "cannot be fetched; expected a path, file://, https://"),
        ],
    )
    def test_what_is_no_file_is_refused(self, cache, uri, message):
        with pytest.raises(DataError, match=message):
            fetch(uri, cache, progress=ignore)

    def test_a_file_that_has_changed_is_refused_with_both_checksums(self, tmp_path, cache):
        path = tmp_path / "table.csv"
        path.write_bytes(b"changed")
        found = hashlib.sha256(b"changed").hexdigest()

        with pytest.raises(DataError, match=f"{found}, expected {SHA256}"):
            fetch(str(path), cache, sha256=SHA256, progress=ignore)


class TestDownloads:
    def test_a_download_is_stored_in_the_cache(self, server, cache):
        file = fetch(server.url("/table.csv"), cache, sha256=SHA256, progress=ignore)

        assert file.sha256 == SHA256
        assert file.path.read_bytes() == CONTENT
        assert list(cache.iterdir()) == [file.path]

    def test_progress_ends_with_the_whole(self, server, cache):
        calls = []

        fetch(server.url("/table.csv"), cache, progress=lambda *call: calls.append(call))

        assert calls == sorted(calls)
        assert calls[-1] == (len(CONTENT), len(CONTENT))

    def test_a_cached_copy_with_the_checksum_needs_no_server(self, server, cache):
        first = fetch(server.url("/table.csv"), cache, sha256=SHA256, progress=ignore)

        second = fetch(server.url("/table.csv"), cache, sha256=SHA256, progress=ignore)

        assert second == first
        assert server.requests == 1

    def test_a_damaged_copy_in_the_cache_is_downloaded_again(self, server, cache):
        file = fetch(server.url("/table.csv"), cache, sha256=SHA256, progress=ignore)
        file.path.write_bytes(b"damaged")

        fetch(server.url("/table.csv"), cache, sha256=SHA256, progress=ignore)

        assert file.path.read_bytes() == CONTENT

    def test_without_a_checksum_the_newest_content_is_fetched(self, server, cache):
        fetch(server.url("/table.csv"), cache, progress=ignore)
        server.pages["/table.csv"] = serve(b"new")

        file = fetch(server.url("/table.csv"), cache, progress=ignore)

        assert file.path.read_bytes() == b"new"

    def test_two_urls_with_the_same_file_name_do_not_collide(self, server, cache):
        server.pages["/other/table.csv"] = serve(b"other")

        files = [
            fetch(server.url(path), cache, progress=ignore)
            for path in ("/table.csv", "/other/table.csv")
        ]

        assert [file.path.read_bytes() for file in files] == [CONTENT, b"other"]

    def test_a_redirect_is_followed(self, server, cache):
        server.pages["/moved"] = redirect("/table.csv")

        file = fetch(server.url("/moved"), cache, progress=ignore)

        assert file.sha256 == SHA256

    def test_a_certificate_of_the_environment_is_trusted(self, encrypted_server, cache):
        file = fetch(encrypted_server.url("/table.csv"), cache, progress=ignore)

        assert file.sha256 == SHA256


class TestFailedDownloads:
    @pytest.fixture(autouse=True)
    def _nothing_is_left_behind(self, cache):
        yield
        assert not cache.exists() or list(cache.iterdir()) == []

    def test_a_wrong_checksum_is_an_error_that_names_both(self, server, cache):
        expected = "0" * 64

        with pytest.raises(DataError, match=f"{SHA256}, expected {expected}"):
            fetch(server.url("/table.csv"), cache, sha256=expected, progress=ignore)

    def test_a_truncated_answer_is_an_error(self, server, cache):
        server.pages["/cut"] = serve(CONTENT, length=len(CONTENT) + 1)

        with pytest.raises(PlatformError, match="/cut broke off before its end"):
            fetch(server.url("/cut"), cache, progress=ignore)

    @pytest.mark.parametrize(
        ("begin", "message"),
        [
            (lambda _: None, "did not answer in 0.2 s"),
            (serve(b"half", length=8), "broke off before its end"),
        ],
        ids=["before-the-answer", "within-the-answer"],
    )
    def test_a_server_that_stalls_is_given_up(self, server, cache, begin, message):
        over = threading.Event()
        server.pages["/slow"] = lambda handler: (begin(handler), over.wait(10))

        with pytest.raises(PlatformError, match=message):
            fetch(server.url("/slow"), cache, progress=ignore, limits=HASTY)
        over.set()

    def test_an_interrupted_download_ends_at_once(self, server, cache):
        def interrupt(done: int, total: int | None) -> None:
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            fetch(server.url("/table.csv"), cache, progress=interrupt)

    def test_a_missing_page_is_a_missing_file(self, server, cache):
        with pytest.raises(DataError, match=r"/gone\.csv does not exist \(HTTP 404\)"):
            fetch(server.url("/gone.csv"), cache, progress=ignore)

    def test_a_server_in_trouble_is_an_error_of_the_platform(self, server, cache):
        server.pages["/busy"] = lambda handler: handler.send_error(503)

        with pytest.raises(PlatformError, match="/busy answered HTTP 503, not 200"):
            fetch(server.url("/busy"), cache, progress=ignore)

    @pytest.mark.parametrize(
        "page",
        [serve(CONTENT + b"1"), serve(CONTENT, length=len(CONTENT) + 1)],
        ids=["sent", "told"],
    )
    def test_more_than_the_limit_is_refused(self, server, cache, page):
        server.pages["/large"] = page

        with pytest.raises(DataError, match="/large is larger than 524,288 bytes"):
            fetch(server.url("/large"), cache, progress=ignore, limits=HASTY)

    def test_a_server_that_is_not_there_is_unreachable(self, cache):
        stopped = Server()
        stopped.server_close()

        with pytest.raises(UnreachableError, match="cannot be reached"):
            fetch(stopped.url("/table.csv"), cache, progress=ignore)

    def test_plain_http_to_another_machine_is_refused(self, cache):
        with pytest.raises(DataError, match=r"http://192\.0\.2\.1/table\.csv is not encrypted"):
            fetch("http://192.0.2.1/table.csv", cache, progress=ignore)

    def test_a_redirect_to_plain_http_is_refused(self, encrypted_server, server, cache):
        encrypted_server.pages["/moved"] = redirect(server.url("/table.csv"))

        with pytest.raises(PlatformError, match=r"redirects to http://.* is not encrypted"):
            fetch(encrypted_server.url("/moved"), cache, progress=ignore)
        assert server.requests == 0

    def test_a_redirect_away_from_this_machine_must_be_encrypted(self, server, cache):
        server.pages["/moved"] = redirect("http://192.0.2.1/table.csv")

        with pytest.raises(PlatformError, match=r"redirects to http://192\.0\.2\.1/table\.csv"):
            fetch(server.url("/moved"), cache, progress=ignore)

    def test_an_unknown_certificate_is_refused(self, encrypted_server, cache, monkeypatch):
        monkeypatch.delenv("REQUESTS_CA_BUNDLE")

        with pytest.raises(PlatformError, match="no connection that this machine trusts"):
            fetch(encrypted_server.url("/table.csv"), cache, progress=ignore)

    def test_no_message_shows_the_password_or_the_signature_of_a_url(self, server, cache):
        url = server.url("/gone.csv?signature=secret").replace("://", "://me:secret@")

        with pytest.raises(DataError) as error:
            fetch(url, cache, progress=ignore)

        assert "secret" not in str(error.value)


def test_a_cache_that_cannot_be_written_is_an_error(server, tmp_path):
    (tmp_path / "file").touch()

    with pytest.raises(PlatformError, match="cannot be written: Not a directory"):
        fetch(server.url("/table.csv"), tmp_path / "file" / "cache", progress=ignore)


@pytest.fixture(scope="module")
def s3_endpoint():
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    yield "http://{}:{}".format(*server.get_host_and_port())
    server.stop()


class TestS3:
    @pytest.fixture(autouse=True)
    def _bucket(self, s3_endpoint, monkeypatch, tmp_path):
        for name, value in {
            "AWS_ENDPOINT_URL_S3": s3_endpoint,
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",  # pragma: allowlist secret
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_CONFIG_FILE": str(tmp_path / "config"),
        }.items():
            monkeypatch.setenv(name, value)
        client = boto3.client("s3")
        client.create_bucket(Bucket="data")
        client.put_object(Bucket="data", Key="a folder/table.csv", Body=CONTENT)

    def test_an_object_is_stored_in_the_cache_with_progress(self, cache):
        calls = []

        file = fetch(
            "s3://data/a folder/table.csv",
            cache,
            sha256=SHA256,
            progress=lambda *call: calls.append(call),
        )

        assert file.path.read_bytes() == CONTENT
        assert list(cache.iterdir()) == [file.path]
        assert calls[-1] == (len(CONTENT), len(CONTENT))

    @pytest.mark.parametrize(
        ("uri", "message"),
        [
            ("s3://data/gone.csv", r"s3://data/gone\.csv does not exist \(NoSuchKey\)"),
            ("s3://nowhere/table.csv", r"does not exist \(NoSuchBucket\)"),
        ],
    )
    def test_a_missing_object_is_a_missing_file(self, cache, uri, message):
        with pytest.raises(DataError, match=message):
            fetch(uri, cache, progress=ignore)

    def test_an_incomplete_uri_is_an_error(self, cache):
        with pytest.raises(PlatformError, match="S3 failed on s3://data"):
            fetch("s3://data", cache, progress=ignore)

    def test_a_refusal_of_s3_is_shown(self, cache, server, monkeypatch):
        server.pages["/data/table.csv"] = lambda handler: handler.send_error(403)
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", server.url(""))

        with pytest.raises(PlatformError, match=r"S3 refused GetObject on .*/table\.csv: 403"):
            fetch("s3://data/table.csv", cache, progress=ignore)

    def test_a_truncated_object_is_an_error(self, cache, server, monkeypatch):
        server.pages["/data/cut.csv"] = serve(CONTENT, length=len(CONTENT) + 1)
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", server.url(""))

        with pytest.raises(PlatformError, match=r"S3 failed on s3://data/cut\.csv"):
            fetch("s3://data/cut.csv", cache, progress=ignore)
        assert list(cache.iterdir()) == []
