"""What ZenML adds to a training run, and whether the command line answers in time.

Every run is a process of its own, from the start of the interpreter to its end, on stores in a
folder that goes away. The plain script does the same work with the same functions and MLflow, but
stores no artifacts. The first run of each, on empty stores, does not count.
"""

import os
import resource
import shlex
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from rich.console import Console
from rich.table import Table

from benchmarks.tables import ROOT, SYNTHETIC, chosen_table

ROUNDS = 3
MAX_SECONDS = {"uncached": 30.0, "cached": 6.0, "--help": 0.5}
PLAIN = "plain script"

# The pipeline's process keeps the garbage collector away from what it imports; here it never runs.
PLAIN_CODE = "import gc; gc.disable(); from benchmarks.plain_training import main; main()"

# What the command line sets for itself, so that the plain script has it as well.
VARIABLES = {
    "OMP_WAIT_POLICY": "PASSIVE",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
}


class Usage(NamedTuple):
    """Seconds that a process took, and that it kept a core busy, with its children."""

    wall: float
    cpu: float


def measure(command: Sequence[str], environment: Mapping[str, str]) -> Usage:
    """Run `command` in the project's folder; leave with its output if it fails."""
    cpu_before, started = _cpu_of_children(), time.perf_counter()
    result = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    usage = Usage(time.perf_counter() - started, _cpu_of_children() - cpu_before)
    if result.returncode:
        sys.exit(f"{shlex.join(command)} ended with {result.returncode}:\n{result.stderr}")
    return usage


def commands(choice: str, folder: Path) -> dict[str, list[str]]:
    """Return what is compared, in an order in which the cached run finds its cache."""
    data = choice if choice == SYNTHETIC else str(Path(choice).resolve())
    training = [sys.executable, "run.py", "--pipeline", "training", "--data", data]
    return {
        "uncached": [*training, "--no-cache"],
        "cached": training,
        PLAIN: [sys.executable, "-c", PLAIN_CODE, data, str(folder)],
        "--help": [sys.executable, "run.py", "--help"],
    }


def main() -> int:
    """Print times and ratios to the plain script; return 1 if a limit is exceeded."""
    choice = chosen_table(__doc__)
    with TemporaryDirectory() as folder:
        environment = {**os.environ, **VARIABLES, "ZENML_CONFIG_PATH": str(Path(folder) / "zenml")}
        environment.pop("PYTHONDONTWRITEBYTECODE", None)  # without bytecode nothing starts fast
        compared = commands(choice, Path(folder))
        rounds = [
            {name: measure(command, environment) for name, command in compared.items()}
            for _ in range(ROUNDS + 1)
        ]
    usages = {name: _median([times[name] for times in rounds[1:]]) for name in compared}

    Console().print(_shown(usages))
    return int(any(usages[name].wall > limit for name, limit in MAX_SECONDS.items()))


def _cpu_of_children() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def _median(usages: Sequence[Usage]) -> Usage:
    return Usage(*map(statistics.median, zip(*usages, strict=True)))


def _shown(usages: Mapping[str, Usage]) -> Table:
    title = f"seconds, median of {ROUNDS}"
    table = Table("run", "wall", "CPU", f"CPU / {PLAIN}", "wall at most", title=title)
    for name, usage in usages.items():
        limit = MAX_SECONDS.get(name)
        verdict = "" if limit is None else f"{limit:g}: {_verdict(usage.wall, limit)}"
        ratio = usage.cpu / usages[PLAIN].cpu
        table.add_row(name, f"{usage.wall:.2f}", f"{usage.cpu:.2f}", f"{ratio:.2f}", verdict)
    return table


def _verdict(seconds: float, limit: float) -> str:
    return "holds" if seconds <= limit else "EXCEEDED"


if __name__ == "__main__":
    sys.exit(main())
