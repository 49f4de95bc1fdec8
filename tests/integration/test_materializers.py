"""Which materializer ZenML takes for our steps' outputs."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent

# What ZenML does whenever it compiles a pipeline.
AFTER_ANOTHER_PIPELINE = """
from zenml.integrations.registry import integration_registry
integration_registry.activate_integrations()

import materializers
import pandas as pd
from zenml.materializers.materializer_registry import materializer_registry
print(materializer_registry[pd.DataFrame].__module__)
"""


@pytest.mark.slow
def test_frames_are_stored_by_ours_whatever_ran_before_in_the_process(zenml_home):
    done = subprocess.run(
        [sys.executable, "-c", AFTER_ANOTHER_PIPELINE],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )

    assert done.stdout == "materializers.table\n"
