"""An image with a `train` command of its own, which tuning jobs need: theirs cannot be given."""

import sys
from pathlib import Path

from sagemaker_emulator.images.containers import Environment

TRAINER_IMAGE = "123456789012.dkr.ecr.eu-west-1.amazonaws.com/trainer:1"

# Runs the hyperparameter `script`, which finds all hyperparameters in `h`.
_TRAIN = """
import json
h = json.load(open("/opt/ml/input/config/hyperparameters.json"))
exec(h["script"], {"h": h})
"""


def trainer_environment(folder: Path) -> Environment:
    """Make the environment that stands for the image."""
    programs = folder / "bin"
    programs.mkdir()
    (programs / "python").symlink_to(sys.executable)
    write_program(programs / "train", _TRAIN)
    return Environment(folder)


def write_program(path: Path, script: str) -> None:
    """Make a command of a script; the first line of one cannot name a path with a space."""
    file = path.with_suffix(".py")
    file.write_text(script)
    path.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{file}" "$@"\n')
    path.chmod(0o755)
