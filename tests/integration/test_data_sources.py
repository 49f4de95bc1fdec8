import hashlib
import io
import threading
import zipfile
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import boto3
import pandas as pd
import pytest
from moto.server import ThreadedMotoServer

from bank_marketing.config import SyntheticSettings
from bank_marketing.dataset import DataSource, synthetic_source
from bank_marketing.errors import DataError
from bank_marketing.synthetic import make_table
from platforms import data_sources
from platforms.data_sources import load, locate
from platforms.object_store import UnreachableError

SYNTHETIC = SyntheticSettings(rows=400, seed=7)
TABLE_NAME = "bank-additional-full.csv"
UCI_SHA256 = "74adfc578bf77a7ff4bb1ba4a9f8709d9e3c6907342959c2c8416847e0afb4d8"


def ignore(done: int, total: int | None) -> None:
    """Show no progress."""


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def zipped(name: str, content: bytes) -> bytes:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr(name, content)
    return archive.getvalue()


@pytest.fixture(scope="module")
def content():
    """A table of ours that is not UCI's."""
    return make_table(rows=400, seed=1).to_csv(index=False).encode()


@pytest.fixture
def table(tmp_path, content):
    path = tmp_path / "table.csv"
    path.write_bytes(content)
    return path


@pytest.fixture
def cache(tmp_path):
    return tmp_path / "cache"


@pytest.fixture
def find(cache):
    """Call `locate`; what it warns of is collected in `find.warnings`."""

    def find(choice: str, **environ: str) -> DataSource:
        return locate(
            choice,
            synthetic=SYNTHETIC,
            cache=cache,
            environ=environ,
            progress=ignore,
            warn=find.warnings.append,
        )

    find.warnings = []
    return find


@pytest.fixture
def uci(tmp_path, monkeypatch):
    """The folder of a web server that stands for UCI's, and serves `bank.zip`."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    folder = tmp_path / "uci"
    folder.mkdir()
    handler = partial(QuietHandler, directory=str(folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        monkeypatch.setattr(
            data_sources, "UCI_URL", f"http://127.0.0.1:{server.server_port}/bank.zip"
        )
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield folder
        server.shutdown()
        thread.join()


class QuietHandler(SimpleHTTPRequestHandler):
    def log_message(self, *args: object) -> None:
        """Keep the test's output clean."""


@pytest.fixture
def uci_with_table(uci, monkeypatch, content):
    """The same, with the archive of a table whose checksum is the known one."""
    inner = zipped(f"bank-additional/{TABLE_NAME}", content)
    (uci / "bank.zip").write_bytes(zipped("bank-additional.zip", inner))
    monkeypatch.setattr(data_sources, "UCI_SHA256", sha256(content))
    return uci


@pytest.fixture
def offline(monkeypatch):
    """UCI's address, where nobody listens."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with ThreadingHTTPServer(("127.0.0.1", 0), QuietHandler) as server:
        port = server.server_port
    monkeypatch.setattr(data_sources, "UCI_URL", f"http://127.0.0.1:{port}/bank.zip")


class TestUci:
    @pytest.mark.usefixtures("uci_with_table")
    @pytest.mark.parametrize("choice", ["auto", "uci"])
    def test_the_table_is_downloaded_unpacked_and_cached(self, find, cache, content, choice):
        source = find(choice)

        assert source == DataSource(
            origin="uci", uri=str(cache / TABLE_NAME), sha256=sha256(content)
        )
        assert (cache / TABLE_NAME).read_bytes() == content
        assert list(cache.iterdir()) == [cache / TABLE_NAME]

    @pytest.mark.parametrize("choice", ["auto", "uci"])
    def test_the_cached_table_needs_no_network(self, find, uci_with_table, choice):
        first = find(choice)
        (uci_with_table / "bank.zip").unlink()

        second = find(choice)

        assert second == first
        assert find.warnings == []

    @pytest.mark.usefixtures("uci_with_table")
    def test_a_damaged_table_in_the_cache_is_downloaded_again(self, find, cache, content):
        cache.mkdir()
        (cache / TABLE_NAME).write_bytes(b"damaged")

        find("uci")

        assert (cache / TABLE_NAME).read_bytes() == content

    def test_the_archive_of_uci_gives_the_real_table(self, find, uci, cache, real_data):
        inner = zipped(f"bank-additional/{TABLE_NAME}", real_data.read_bytes())
        (uci / "bank.zip").write_bytes(zipped("bank-additional.zip", inner))

        source = find("uci")

        assert source.sha256 == UCI_SHA256
        assert load(source, cache, ignore).frame.shape == (41_188, 21)

    @pytest.mark.parametrize("choice", ["auto", "uci"])
    def test_another_table_in_the_archive_is_an_error_that_names_both_checksums(
        self, find, uci, cache, choice
    ):
        (uci / "bank.zip").write_bytes(zipped(TABLE_NAME, b"another"))

        with pytest.raises(DataError, match=f"{sha256(b'another')}, expected {UCI_SHA256}"):
            find(choice)
        assert list(cache.iterdir()) == []

    def test_an_archive_that_cannot_be_unpacked_is_an_error_that_names_its_address(self, find, uci):
        (uci / "bank.zip").write_bytes(zipped(TABLE_NAME, b"another")[:-5])

        with pytest.raises(DataError, match=r"http://.*/bank\.zip is an archive that cannot be"):
            find("uci")

    @pytest.mark.usefixtures("uci")
    def test_an_archive_that_moved_is_an_error_even_for_auto(self, find):
        with pytest.raises(DataError, match=r"/bank\.zip does not exist \(HTTP 404\)"):
            find("auto")


class TestOffline:
    @pytest.mark.usefixtures("offline")
    def test_auto_falls_back_to_the_synthetic_table_with_a_warning(self, find):
        source = find("auto")

        assert source == synthetic_source(SYNTHETIC)
        assert len(find.warnings) == 1
        assert "cannot be reached" in find.warnings[0]
        assert "SYNTHETIC table of 400 rows" in find.warnings[0]

    @pytest.mark.usefixtures("offline")
    def test_uci_is_an_error(self, find):
        with pytest.raises(UnreachableError, match=r"/bank\.zip cannot be reached"):
            find("uci")

    def test_a_name_that_does_not_resolve_is_no_network(self, find, monkeypatch):
        # RFC 2606 reserves .invalid: it never resolves.
        monkeypatch.setattr(data_sources, "UCI_URL", "https://archive.invalid/bank.zip")

        assert find("auto").origin == "synthetic"


class TestVariable:
    def test_auto_takes_the_file_that_it_names(self, find, table, content):
        source = find("auto", BANK_MARKETING_DATA=str(table))

        assert source == DataSource(origin="file", uri=str(table), sha256=sha256(content))

    @pytest.mark.usefixtures("offline")
    def test_auto_does_not_fall_back_from_a_wrong_file(self, find):
        with pytest.raises(DataError, match=r"BANK_MARKETING_DATA: /no/such\.csv cannot be read"):
            find("auto", BANK_MARKETING_DATA="/no/such.csv")

    @pytest.mark.usefixtures("offline")
    def test_an_empty_one_counts_as_unset(self, find):
        assert find("auto", BANK_MARKETING_DATA="").origin == "synthetic"

    def test_it_does_not_change_an_explicit_choice(self, find, table):
        assert find("synthetic", BANK_MARKETING_DATA=str(table)).origin == "synthetic"


class TestFiles:
    def test_a_path_becomes_absolute(self, find, table, monkeypatch):
        monkeypatch.chdir(table.parent)

        assert find("table.csv").uri == str(table)

    def test_a_file_with_the_bytes_of_uci_is_the_table_of_uci(self, find, real_data):
        source = find(str(real_data))

        assert source.origin == "uci"
        assert source.sha256 == UCI_SHA256

    def test_a_url_stays_a_url_that_can_be_read_again(self, find, uci, tmp_path, content):
        (uci / "table.csv").write_bytes(content)
        url = data_sources.UCI_URL.replace("bank.zip", "table.csv")

        source = find(url)

        assert source == DataSource(origin="file", uri=url, sha256=sha256(content))
        assert load(source, tmp_path / "elsewhere", ignore).frame.shape == (400, 21)

    @pytest.mark.parametrize(
        ("before", "after"), [("", "?signature=secret"), ("me:secret@", "")], ids=["query", "login"]
    )
    def test_a_url_with_a_secret_becomes_a_path_in_the_cache(
        self, find, uci, cache, content, before, after
    ):
        (uci / "table.csv").write_bytes(content)
        url = data_sources.UCI_URL.replace("bank.zip", "table.csv").replace("//", f"//{before}")

        source = find(url + after)

        assert source.origin == "file"
        assert Path(source.uri).parent == cache
        assert Path(source.uri).read_bytes() == content

    @pytest.mark.usefixtures("s3")
    def test_an_object_in_s3_stays_an_s3_uri(self, find, cache, content):
        source = find("s3://data/table.csv")

        assert source == DataSource(
            origin="file", uri="s3://data/table.csv", sha256=sha256(content)
        )
        assert load(source, cache, ignore).frame.shape == (400, 21)

    @pytest.fixture
    def s3(self, monkeypatch, tmp_path, content):
        server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
        server.start()
        for name, value in {
            "AWS_ENDPOINT_URL_S3": "http://{}:{}".format(*server.get_host_and_port()),
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",  # pragma: allowlist secret
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_CONFIG_FILE": str(tmp_path / "config"),
            "NO_PROXY": "127.0.0.1",
        }.items():
            monkeypatch.setenv(name, value)
        client = boto3.client("s3")
        client.create_bucket(Bucket="data")
        client.put_object(Bucket="data", Key="table.csv", Body=content)
        yield
        server.stop()


class TestLoad:
    def test_a_file_is_read(self, find, table, cache):
        source = find(str(table))

        loaded = load(source, cache, ignore)

        assert loaded.edition == "comma"
        assert loaded.frame.shape == (400, 21)

    def test_a_file_that_has_changed_since_it_was_located_is_refused(self, find, table, cache):
        source = find(str(table))
        table.write_bytes(b"changed")

        with pytest.raises(DataError, match=f"{sha256(b'changed')}, expected {source.sha256}"):
            load(source, cache, ignore)

    def test_a_synthetic_table_is_made_from_its_uri(self, find, cache):
        loaded = load(find("synthetic"), cache, ignore)

        assert loaded.edition == "synthetic"
        pd.testing.assert_frame_equal(loaded.frame, make_table(rows=400, seed=7))

    def test_a_synthetic_table_looks_like_one_that_was_read(self, find, table, cache):
        read = load(find(str(table)), cache, ignore).frame

        pd.testing.assert_frame_equal(read, make_table(rows=400, seed=1))
