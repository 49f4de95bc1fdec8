"""Makes the modules that run inside containers importable, as a job's PYTHONPATH does."""

import sys
from pathlib import Path

import sagemaker_emulator

_FOLDER = str(Path(sagemaker_emulator.__file__).parent / "images" / "inside" / "containers")
if _FOLDER not in sys.path:
    sys.path.append(_FOLDER)
