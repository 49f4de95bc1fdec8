"""Fixtures for pytest; import them in a `conftest.py`."""

from collections.abc import Iterator
from typing import Any

import pytest

from sagemaker_emulator.server import Emulator


@pytest.fixture(scope="module")
def sagemaker_emulator_options() -> dict[str, Any]:
    """Arguments of `Emulator` besides `work`; override it to map images."""
    return {}


@pytest.fixture(scope="module")
def sagemaker_emulator(
    tmp_path_factory: pytest.TempPathFactory, sagemaker_emulator_options: dict[str, Any]
) -> Iterator[Emulator]:
    """An emulator for all tests of a module; it ends with them."""
    work = tmp_path_factory.mktemp("sagemaker")
    with Emulator(work, **sagemaker_emulator_options) as emulator:
        yield emulator
