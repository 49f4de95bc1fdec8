"""An image with a `train` command of its own, which tuning jobs need: theirs cannot be given."""

import sys
from pathlib import Path

from sagemaker_emulator.containers import Environment

TRAINER_IMAGE = "123456789012.dkr.ecr.eu-west-1.amazonaws.com/trainer:1"

# Runs the hyperparameter `script`, which finds all hyperparameters in `h`.
_TRAIN = f"""#!{sys.executable}
import json
h = json.load(open("/opt/ml/input/config/hyperparameters.json"))
exec(h["script"], {{"h": h}})
"""


def trainer_environment(folder: Path) -> Environment:
    """Make the environment that stands for the image."""
    programs = folder / "bin"
    programs.mkdir()
    (programs / "python").symlink_to(sys.executable)
    (programs / "train").write_text(_TRAIN)
    (programs / "train").chmod(0o755)
    return Environment(folder)
