"""Amazon's environments are made once, whoever asks first."""

import time
from collections.abc import Sequence
from multiprocessing import get_context
from pathlib import Path

import pytest

from sagemaker_emulator.images.images import Images


class SlowImages(Images):
    """Writes down when it makes an environment, in place of minutes of installing."""

    def _make(self, folder: Path, requirements: Sequence[str]) -> None:
        folder.mkdir()
        time.sleep(0.3)
        with (self._store / "made").open("a") as file:
            file.write(f"{requirements[0]}\n")


def pull(store: Path) -> None:
    image = "246618743249.dkr.ecr.us-west-2.amazonaws.com/sagemaker-xgboost:3.0-5"
    SlowImages([], store).environment(image)


@pytest.mark.slow
def test_two_emulators_with_one_store_make_an_environment_once(tmp_path):
    fork = get_context("fork")
    processes = [fork.Process(target=pull, args=(tmp_path,)) for _ in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(timeout=60)

    assert [process.exitcode for process in processes] == [0] * 4
    assert (tmp_path / "made").read_text().count("\n") == 1
