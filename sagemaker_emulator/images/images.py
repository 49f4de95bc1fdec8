"""Images: which environment stands for the address of a container image.

Amazon's own framework images are made on first use from the package index, like an image that is
pulled, with Amazon's real toolkits in them.
"""

import compileall
import fcntl
import os
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from sagemaker_emulator.api.errors import JobError
from sagemaker_emulator.images.containers import INSIDE, Environment

_TOOLKITS = ("sagemaker-training==5.1.4", "sagemaker-inference==1.10.1")

# 300 MB for several graphics cards, of which a machine like this has none.
_OVERRIDES = "nvidia-nccl-cu12; sys_platform == 'never'\n"

_TESTS = re.compile("site-packages/.*/tests?/")


@dataclass(frozen=True)
class FrameworkImage:
    """One of Amazon's images: what is installed in it, and the module that runs in it.

    Args:
        version: The tag that requests carry.
        requirements: With environment markers where Amazon's version has no wheel for a Python.
    """

    name: str
    version: str
    requirements: tuple[str, ...]
    module: str

    @property
    def pattern(self) -> str:
        return rf"\.dkr\.ecr\.[\w.-]+/{re.escape(self.name)}:{re.escape(self.version)}"


# Libraries of the time of scikit-learn 1.2 and XGBoost 1.7, as far as a Python has them built.
_OLDER = (
    "numpy<1.25; python_version < '3.12'",
    "numpy<2; python_version == '3.12'",
    "numpy<2.4; python_version >= '3.13'",
    "pandas<2.1; python_version < '3.12'",
    "pandas<3; python_version >= '3.12'",
    "scipy<1.11; python_version < '3.12'",
)
_NEXT_SCIKIT_LEARN = (
    "scikit-learn==1.3.2; python_version == '3.12'",
    "scikit-learn==1.5.2; python_version >= '3.13'",
)

AWS_IMAGES = (
    FrameworkImage(
        "sagemaker-xgboost",
        "3.0-5",
        ("xgboost==3.0.5", "numpy", "pandas", "scikit-learn", "scipy"),
        module="sagemaker_xgboost_container",
    ),
    FrameworkImage(
        "sagemaker-xgboost",
        "1.7-1",
        ("xgboost==1.7.4", "scikit-learn<1.6", *_OLDER),
        module="sagemaker_xgboost_container",
    ),
    FrameworkImage(
        "sagemaker-scikit-learn",
        "1.2-1",
        ("scikit-learn==1.2.1; python_version < '3.12'", *_NEXT_SCIKIT_LEARN, *_OLDER),
        module="sagemaker_sklearn_container",
    ),
    FrameworkImage(
        "sagemaker-scikit-learn",
        "1.0-1",
        ("scikit-learn==1.1.3; python_version < '3.12'", *_NEXT_SCIKIT_LEARN, *_OLDER),
        module="sagemaker_sklearn_container",
    ),
)


class Images:
    """Finds and makes environments.

    Args:
        mapped: Environments by a regular expression that is searched for in an image's address;
            the first that fits counts, before Amazon's own.
        store: Where environments of Amazon's images are kept.
    """

    def __init__(self, mapped: Sequence[tuple[str, Environment]], store: Path) -> None:
        self._mapped = mapped
        self._store = store
        self._lock = threading.Lock()

    def environment(self, image: str) -> Environment:
        """Return what stands for `image`, after making it if need be.

        Raises:
            JobError: Nothing does, or it could not be made.
        """
        for pattern, environment in self._mapped:
            if re.search(pattern, image):
                return environment
        for framework in AWS_IMAGES:
            if re.search(framework.pattern, image):
                with self._lock:
                    return self._pulled(framework)
        raise JobError(
            f"CannotPullContainerError: pull image {image} failed: no environment stands for it; "
            "start the emulator with --image 'REGEX=ENVIRONMENT'"
        )

    def _pulled(self, image: FrameworkImage) -> Environment:
        python = ".".join(map(str, sys.version_info[:2]))
        folder = self._store / f"{image.name}-{image.version}-py{python}"
        with _alone(folder):
            if not (folder / "complete").exists():
                shutil.rmtree(folder, ignore_errors=True)
                self._make(folder, (*image.requirements, *_TOOLKITS))
                (folder / "complete").touch()
        return Environment(
            folder,
            {
                "PYTHONPATH": str(INSIDE / "containers"),
                "SAGEMAKER_TRAINING_MODULE": f"{image.module}.training:main",
            },
            serve=("python", "-m", f"{image.module}.serving"),
            layered=True,
        )

    def _make(self, folder: Path, requirements: Sequence[str]) -> None:
        _run("-m", "uv", "venv", "--quiet", "--seed", "--python", sys.executable, str(folder))
        overrides = folder / "overrides.txt"
        overrides.write_text(_OVERRIDES)
        _run(
            *("-m", "uv", "pip", "install", "--quiet"),
            *("--python", str(folder / "bin" / "python"), "--overrides", str(overrides)),
            *requirements,
        )
        # No container keeps what it compiles; the libraries' own tests are two files of five.
        compileall.compile_dir(folder / "lib", quiet=2, rx=_TESTS)


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Keep other emulators that make the same environment out of the block."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with folder.with_name(f"{folder.name}.lock").open("ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)  # until the file is closed
        yield


def _run(*arguments: str) -> None:
    # The environment that this runs in may say otherwise of itself.
    variables = {name: value for name, value in os.environ.items() if name != "VIRTUAL_ENV"}
    ended = subprocess.run(
        [sys.executable, *arguments],
        env=variables,
        check=False,
        capture_output=True,
        text=True,
    )
    if ended.returncode:
        raise JobError(f"CannotPullContainerError: {ended.stderr.strip()[-600:]}")
