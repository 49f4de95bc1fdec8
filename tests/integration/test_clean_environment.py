"""The bundle and five modules are all that scoring needs; nothing else of ours is installed."""

import shutil
import subprocess
import sys
import venv
from pathlib import Path

import numpy as np
import pytest

from bank_marketing.bundle import SCORING_MODULES
from bank_marketing.model import train_bundle

ROOT = Path(__file__).parent.parent.parent

# NumPy, pandas and XGBoost, and what the last two cannot be imported without.
PACKAGES = ("numpy", "pandas", "python-dateutil", "scipy", "six", "xgboost")

SCORE = """
import sys
import numpy as np
import pandas as pd
from pathlib import Path
from bank_marketing.bundle import Bundle

customers = pd.read_json(sys.stdin, orient="split")
np.save("scores.npy", Bundle.load(Path("model")).probability(customers))
"""


@pytest.fixture(scope="module")
def python(tmp_path_factory) -> Path:
    """An interpreter with the locked versions of `PACKAGES` and nothing else."""
    folder = tmp_path_factory.mktemp("clean")
    venv.create(folder, symlinks=True)
    interpreter = folder / "bin" / "python"
    installed = subprocess.run(
        [
            *(Path(sys.executable).parent / "uv", "pip", "install", "--no-deps"),
            *("--python", interpreter, "--constraint", ROOT / "requirements.txt", *PACKAGES),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    if installed.returncode and "Failed to fetch" in installed.stderr:
        pytest.skip(f"the package index cannot be reached: {installed.stderr}")
    assert installed.returncode == 0, installed.stderr
    return interpreter


@pytest.mark.slow
def test_a_raw_table_scores_the_same_in_an_environment_with_xgboost_alone(
    python, contacts, settings, tmp_path
):
    bundle = train_bundle(contacts[:3000], contacts[3000:], settings.features, settings.model)
    bundle.save(tmp_path / "model")
    (tmp_path / "bank_marketing").mkdir()
    for module in SCORING_MODULES:
        shutil.copy(ROOT / "bank_marketing" / f"{module}.py", tmp_path / "bank_marketing")

    subprocess.run(
        [python, "-E", "-c", SCORE],
        cwd=tmp_path,
        input=contacts.to_json(orient="split"),
        text=True,
        check=True,
    )

    scores = np.load(tmp_path / "scores.npy")
    np.testing.assert_allclose(scores, bundle.probability(contacts), atol=1e-7, rtol=0)
