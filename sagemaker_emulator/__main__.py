"""`python -m sagemaker_emulator`: start the emulator, print its address, and serve."""

import argparse
import signal
import sys
import threading
from pathlib import Path

from sagemaker_emulator.images.containers import Environment
from sagemaker_emulator.server import Emulator


def main() -> int:
    options = _options()
    preload = tuple(options.preload)
    try:
        emulator = Emulator(
            options.work,
            images=[
                (pattern, Environment(folder, preload=preload)) for pattern, folder in options.image
            ],
            port=options.port,
            slots=options.slots,
            variables=dict(options.env),
            quotas={name: int(value) for name, value in options.quota},
            environments=options.environments,
        )
    except (OSError, SystemExit) as error:
        print(f"error: port {options.port} cannot be used: {error}", file=sys.stderr)  # noqa: T201
        return 1
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    with emulator:
        print(emulator.url, flush=True)  # noqa: T201
        ended.wait()
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="sagemaker_emulator", description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="0, the default, takes a free one")
    parser.add_argument("--work", type=Path, required=True, help="folder of jobs and logs")
    parser.add_argument(
        "--environments",
        type=Path,
        help="folder of the environments of Amazon's images, to be used again; by default in WORK",
    )
    parser.add_argument(
        "--image",
        type=_image,
        action="append",
        default=[],
        metavar="REGEX=ENVIRONMENT",
        help="the virtual environment that stands for images whose address fits",
    )
    parser.add_argument(
        "--preload",
        action="append",
        default=[],
        metavar="MODULE",
        help="import once, before the containers of these environments start as forks",
    )
    parser.add_argument("--slots", type=int, help="jobs at a time; by default one a processor")
    for option, what in (
        ("--env", "a variable that every container gets"),
        ("--quota", "for example 'ml.m5.large for endpoint usage=2'"),
    ):
        parser.add_argument(
            option, type=_pair, action="append", default=[], metavar="NAME=VALUE", help=what
        )
    return parser.parse_args()


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals:
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=VALUE")
    return name, value


def _image(text: str) -> tuple[str, Path]:
    pattern, equals, folder = text.rpartition("=")
    if not equals or not (Path(folder) / "bin" / "python").exists():
        raise argparse.ArgumentTypeError(f"{text!r} is not REGEX=ENVIRONMENT with bin/python in it")
    return pattern, Path(folder).resolve()


if __name__ == "__main__":
    sys.exit(main())
