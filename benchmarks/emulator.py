"""Fifty training jobs of a second each, eight at a time, on the emulated SageMaker.

The limit is what eight machines would take that start at once. What the emulator holds before and
after is counted too: processes, open files and threads must not grow with the jobs. Then a job that
only imports what a step of a pipeline imports, in a new interpreter and in a fork of one that has.
"""

import itertools
import os
import sys
import tempfile
import threading
import time
from functools import partial
from pathlib import Path
from typing import NamedTuple

from rich.console import Console
from rich.table import Table

from benchmarks.timing import median_seconds
from sagemaker_emulator.images.containers import Environment
from sagemaker_emulator.server import Emulator

JOBS = 50
AT_A_TIME = 8
SECONDS = 1.0
MAX_RATIO = 1.5  # to the time of machines that start at once
IMPORTED = ("pandas", "sklearn.linear_model", "xgboost")
MAX_FORKED_S = 1.0

_POLL_S = 0.05


class Held(NamedTuple):
    """What a process holds."""

    processes: int
    files: int
    threads: int


def main() -> int:
    """Print throughput and what was held; return 1 if a limit is missed."""
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder) / "script.py"
        script.write_text("".join(f"import {name}\n" for name in IMPORTED))
        images = [
            ("/new:", Environment(Path(sys.prefix))),
            ("/forked:", Environment(Path(sys.prefix), preload=IMPORTED)),
        ]
        with Emulator(Path(folder) / "work", images=images, slots=AT_A_TIME) as emulator:
            jobs = Jobs(emulator)
            wait = ("sleep", f"{SECONDS:g}")
            jobs.run("new", *wait, number=AT_A_TIME)
            before = _held()
            started = time.perf_counter()
            jobs.run("new", *wait, number=JOBS)
            seconds = time.perf_counter() - started
            time.sleep(1)
            after = _held()
            starts = median_seconds(
                {
                    name: partial(jobs.run, name, "python", str(script))
                    for name in ("new", "forked")
                },
                rounds=3,
                calls=1,
            )

    ideal = -(-JOBS // AT_A_TIME) * SECONDS
    table = Table("", "before", "after", title=f"{JOBS} jobs, {AT_A_TIME} at a time")
    for name, first, last in zip(Held._fields, before, after, strict=True):
        table.add_row(name, str(first), str(last))
    console = Console()
    console.print(table)
    ratio = seconds / ideal
    grown = [name for name in Held._fields if getattr(after, name) > getattr(before, name)]
    console.print(f"{seconds:.1f} s, {JOBS / seconds * 60:.0f} jobs a minute")
    console.print(f"limit: {ratio:.2f} times {ideal:g} s, at most {MAX_RATIO}")
    console.print(f"limit: nothing held has grown: {grown or 'holds'}")
    console.print(
        f"a job that imports {', '.join(IMPORTED)}: {starts['new']:.2f} s in a new interpreter, "
        f"{starts['forked']:.2f} s in a fork"
    )
    console.print(f"limit: {starts['forked']:.2f} s in a fork, at most {MAX_FORKED_S:g}")
    return int(ratio > MAX_RATIO or bool(grown) or starts["forked"] > MAX_FORKED_S)


class Jobs:
    """Training jobs of one account."""

    def __init__(self, emulator: Emulator) -> None:
        session = emulator.session()
        iam = session.client("iam", endpoint_url=emulator.url)
        role = iam.create_role(RoleName="role", AssumeRolePolicyDocument="{}")["Role"]
        self._role = role["Arn"]
        self._sagemaker = session.client("sagemaker", endpoint_url=emulator.url)
        self._names = (f"job-{number}" for number in itertools.count())

    def run(self, image: str, *argv: str, number: int = 1) -> None:
        """Start jobs at once and wait for all of them."""
        for _ in range(number):
            self._sagemaker.create_training_job(
                TrainingJobName=next(self._names),
                RoleArn=self._role,
                AlgorithmSpecification={
                    "TrainingImage": f"project/{image}:1",
                    "TrainingInputMode": "File",
                    "ContainerEntrypoint": list(argv),
                },
                OutputDataConfig={"S3OutputPath": "s3://none/models"},
                ResourceConfig={
                    "InstanceType": "ml.m5.large",
                    "InstanceCount": 1,
                    "VolumeSizeInGB": 5,
                },
                StoppingCondition={"MaxRuntimeInSeconds": 60},
            )
        while self._sagemaker.list_training_jobs(StatusEquals="InProgress")["TrainingJobSummaries"]:
            time.sleep(_POLL_S)


def _held() -> Held:
    """Count what this process, in which the emulator runs, holds."""
    children = sum(
        f"\nPPid:\t{os.getpid()}\n" in status.read_text(errors="replace")
        for status in Path("/proc").glob("[0-9]*/status")
    )
    return Held(children, len(list(Path("/proc/self/fd").iterdir())), threading.active_count())


if __name__ == "__main__":
    sys.exit(main())
