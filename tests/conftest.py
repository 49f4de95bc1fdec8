"""Tables that tests share, and the command line on a ZenML of its own."""

import io
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import NamedTuple
from unittest.mock import patch

import click
import pandas as pd
import pytest

from bank_marketing.config import TrainingSettings, load_settings
from bank_marketing.dataset import read_table
from bank_marketing.synthetic import make_table
from cli.environment import prepare
from cli.main import cli, main

ROOT = Path(__file__).parent.parent

prepare()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put files with slow tests first: the last worker to end is then busy with a short one."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


@pytest.fixture(scope="module", autouse=True)
def same_import_path() -> Iterator[None]:
    """MLflow puts the code of a model that it loads first; new processes would import that."""
    before = sys.path[:]
    yield
    sys.path[:] = before


@pytest.fixture(scope="session")
def settings() -> TrainingSettings:
    """The configuration that users start from."""
    return load_settings(ROOT / "configs" / "training.yaml", TrainingSettings)


@pytest.fixture(scope="session")
def contacts() -> pd.DataFrame:
    """A table small enough for milliseconds and large enough to learn from."""
    return make_table(rows=4_000, seed=1)


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The file of UCI, where `BANK_MARKETING_DATA` says it is."""
    path = os.environ.get("BANK_MARKETING_DATA")
    if path is None:
        pytest.skip("BANK_MARKETING_DATA names no copy of the real table")
    return Path(path)


@pytest.fixture(scope="session")
def real_table(real_data: Path) -> pd.DataFrame:
    """The table of UCI, as it is read."""
    return read_table(real_data).frame


class Outcome(NamedTuple):
    exit_code: int
    output: str
    errors: str


Run = Callable[..., Outcome]


@pytest.fixture(scope="module")
def zenml_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """An empty folder where ZenML keeps its database, configuration and artifacts."""
    home = tmp_path_factory.mktemp("zenml")
    with patch.dict(os.environ):  # ZenML and MLflow set variables of their own
        for name in [name for name in os.environ if name.startswith(("ZENML_", "MLFLOW_"))]:
            del os.environ[name]
        os.environ["ZENML_CONFIG_PATH"] = str(home)
        os.environ["ZENML_REPOSITORY_PATH"] = str(home)  # else a .zen folder above is used
        prepare()
        _forget_open_store()
        yield home
    _forget_open_store()


@pytest.fixture(scope="module")
def run(zenml_home: Path) -> Run:
    """`python run.py ARGUMENTS`, without the seconds that a new process takes."""

    def run(*arguments: str, command: click.Command = cli) -> Outcome:
        with (
            patch.object(sys, "argv", ["run.py", *arguments]),
            redirect_stdout(io.StringIO()) as output,
            redirect_stderr(io.StringIO()) as errors,
        ):
            exit_code = main(command)
        return Outcome(exit_code, output.getvalue(), errors.getvalue())

    return run


@pytest.fixture(scope="module")
def run_process(zenml_home: Path) -> Run:
    """`python run.py ARGUMENTS`, as users start it."""

    def run_process(*arguments: str) -> Outcome:
        done = subprocess.run(
            [sys.executable, ROOT / "run.py", *arguments],
            cwd=zenml_home,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        return Outcome(done.returncode, done.stdout, done.stderr)

    return run_process


def _forget_open_store() -> None:
    """ZenML keeps one configuration and one client for as long as a process lives."""
    from zenml.client import Client  # seconds that tests of the domain do without
    from zenml.config.global_config import GlobalConfiguration
    from zenml.utils.source_utils import set_custom_source_root

    # ZenML looks for the code beside the main program, and a worker of pytest-xdist has none.
    set_custom_source_root(str(ROOT))
    Client._reset_instance()
    GlobalConfiguration._reset_instance()
