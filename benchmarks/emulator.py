"""Fifty training jobs of a second each, eight at a time, on the emulated SageMaker.

The limit is what eight machines would take that start at once. What the emulator holds before and
after is counted too: processes, open files and threads must not grow with the jobs.
"""

import os
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any, NamedTuple

from rich.console import Console
from rich.table import Table

from sagemaker_emulator.images.containers import Environment
from sagemaker_emulator.server import Emulator

JOBS = 50
AT_A_TIME = 8
SECONDS = 1.0
MAX_RATIO = 1.5  # to the time of machines that start at once


class Held(NamedTuple):
    """What a process holds."""

    processes: int
    files: int
    threads: int


def main() -> int:
    """Print throughput and what was held; return 1 if a limit is missed."""
    with tempfile.TemporaryDirectory() as folder:
        image = ("/project:", Environment(Path(sys.prefix)))
        with Emulator(Path(folder), images=[image], slots=AT_A_TIME) as emulator:
            role, sagemaker = _account(emulator)
            _run(sagemaker, role, "first", jobs=AT_A_TIME)
            before = _held()
            started = time.perf_counter()
            _run(sagemaker, role, "job", jobs=JOBS)
            seconds = time.perf_counter() - started
            time.sleep(1)
            after = _held()

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
    return int(ratio > MAX_RATIO or bool(grown))


def _account(emulator: Emulator) -> tuple[str, Any]:
    session = emulator.session()
    iam = session.client("iam", endpoint_url=emulator.url)
    role = iam.create_role(RoleName="role", AssumeRolePolicyDocument="{}")["Role"]["Arn"]
    return role, session.client("sagemaker", endpoint_url=emulator.url)


def _run(sagemaker: Any, role: str, name: str, *, jobs: int) -> None:
    for number in range(jobs):
        sagemaker.create_training_job(
            TrainingJobName=f"{name}-{number}",
            RoleArn=role,
            AlgorithmSpecification={
                "TrainingImage": "project/project:1",
                "TrainingInputMode": "File",
                "ContainerEntrypoint": ["sleep", f"{SECONDS:g}"],
            },
            OutputDataConfig={"S3OutputPath": "s3://none/models"},
            ResourceConfig={
                "InstanceType": "ml.m5.large",
                "InstanceCount": 1,
                "VolumeSizeInGB": 5,
            },
            StoppingCondition={"MaxRuntimeInSeconds": 60},
        )
    while sagemaker.list_training_jobs(StatusEquals="InProgress")["TrainingJobSummaries"]:
        time.sleep(0.1)


def _held() -> Held:
    """Count what this process, in which the emulator runs, holds."""
    children = sum(
        f"\nPPid:\t{os.getpid()}\n" in status.read_text(errors="replace")
        for status in Path("/proc").glob("[0-9]*/status")
    )
    return Held(children, len(list(Path("/proc/self/fd").iterdir())), threading.active_count())


if __name__ == "__main__":
    sys.exit(main())
