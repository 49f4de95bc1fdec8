"""Seven steps of ZenML on the emulated SageMaker: new interpreters against forks.

Prints wall times, and the ratio to the limit of the forks.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from stacks import emulation

MAX_FORKED_S = 25
WAYS = {"new interpreters": (), "forks": emulation.PRELOADED}


def main() -> int:
    """Print what each way takes; return 1 if forks miss the limit."""
    results = {}
    for way, preload in WAYS.items():
        with tempfile.TemporaryDirectory() as folder:
            results[way] = run_client(Path(folder), preload)
    table = Table(
        "containers are", "status", "submission s", "total s", title="seven steps, two slots"
    )
    for way, result in results.items():
        seconds = (f"{result[name]:.1f}" for name in ("submission_s", "total_s"))
        table.add_row(way, result["status"], *seconds)
    console = Console()
    console.print(table)
    total = results["forks"]["total_s"]
    holds = total <= MAX_FORKED_S
    console.print(
        f"limit: forks take {total:.1f} s, {total / MAX_FORKED_S:.2f} times {MAX_FORKED_S} s, "
        f"{'holds' if holds else 'MISSED'}"
    )
    return int(not holds)


def run_client(folder: Path, preload: Sequence[str]) -> Any:
    """Run the pipeline on servers of its own, which keep all in `folder`; return what it says."""
    code = folder / "code"
    code.mkdir()
    shutil.copy(Path(__file__).with_name("client.py"), code)
    try:
        emulation.start(state=folder / "emulator", told=print, preload=preload)
        return _output(code, emulation.variables(state=folder / "emulator"))
    finally:
        emulation.stop(state=folder / "emulator")


def _output(code: Path, variables: dict[str, str]) -> Any:
    ended = subprocess.run(
        [sys.executable, "client.py"],
        cwd=code,
        env={"PATH": os.environ["PATH"], "HOME": str(code.parent), **variables},
        stdout=subprocess.PIPE,
        check=False,
        text=True,
    )
    if ended.returncode:
        raise RuntimeError(f"the client ended with exit code {ended.returncode}")
    return json.loads(ended.stdout.splitlines()[-1])


if __name__ == "__main__":
    sys.exit(main())
