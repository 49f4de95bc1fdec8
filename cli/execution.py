"""Run a pipeline on a stack, here or in SageMaker, to its end."""

import importlib.metadata
import logging
import os
import secrets
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import cache, partial
from pathlib import Path
from typing import Any

import click
from zenml.client import Client
from zenml.constants import ENV_ZENML_LOGGING_VERBOSITY
from zenml.exceptions import ZenMLBaseException
from zenml.logger import ZenMLConsoleHandler
from zenml.models import PipelineRunResponse
from zenml.pipelines.pipeline_definition import Pipeline
from zenml.utils.source_utils import get_source_root

from bank_marketing.errors import PlatformError
from cli.environment import ROOT
from cli.failures import RunFailedError, reason
from cli.waiting import wait
from registry.lineage import GIT_COMMIT, JOB_PLACE
from stacks import registration
from stacks.files import StackFile
from stacks.runs import record_failure
from stacks.sagemaker_settings import job_place, sagemaker_options
from stacks.store import locked


class _NoWarnings(logging.Filter):
    """Leaves what goes wrong in a step to its log; `RunFailedError` says why a run failed."""

    def filter(self, record: logging.LogRecord) -> bool:
        return record.levelno < logging.WARNING


def execute(
    pipeline: Pipeline,
    *parameters: Any,
    stack: StackFile,
    use_cache: bool,
    experiment: str,
    tags: Mapping[str, str],
    facts: Mapping[str, str],
) -> PipelineRunResponse:
    """Run `pipeline` on `stack`, the active one, and return the finished run.

    `tags` are for searching; `facts` are what steps record as the lineage of their results.

    Raises:
        RunFailedError: A step failed, or was stopped.
        PlatformError: A server refused, or was away for long; or jobs need our code, and git does
            not know it.
    """
    if stack.sagemaker:
        _require_git()
    name = f"{pipeline.name}-{datetime.now(UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(3)}"
    extra = {GIT_COMMIT: _git_commit(), **facts}
    configured = pipeline.with_options(
        run_name=name,
        enable_cache=use_cache,
        settings={"experiment_tracker": {"experiment_name": experiment}},
        tags=[f"{key}={value}" for key, value in tags.items()],
        extra=extra,
    )
    if stack.sagemaker:
        place = job_place(stack, stack.sagemaker).model_dump_json()
        configured = configured.with_options(
            **sagemaker_options(stack.sagemaker, single_job=pipeline.is_dynamic),
            extra={**extra, JOB_PLACE: place},
        )
    run = partial(configured, *parameters)
    with _packages_looked_up_once():
        if stack.sagemaker:
            return wait(_submitted(run, name), stack.option)
        return _run_here(run, name)


def _require_git() -> None:
    """ZenML sends the files that git lists; where git cannot, all that is in the folder."""
    root = get_source_root()
    told = _git("rev-parse", "--git-dir", folder=root)
    if told.returncode:
        why = told.stderr.partition("\n")[0]
        raise PlatformError(
            f"git does not know the code in {root}, and all of it would be uploaded for the jobs, "
            f".venv included: {why}; a folder without a repository needs `git init`"
        )


def _run_here(run: Callable[[], object], name: str) -> PipelineRunResponse:
    try:
        run()
    except RuntimeError as error:  # all that ZenML's local orchestrator tells of a failed step
        told = _reason(name)
        if told is None:
            raise
        raise RunFailedError(told) from error
    return _find(name)


def _submitted(submit: Callable[[], object], name: str) -> PipelineRunResponse:
    """Give a run to SageMaker; why that failed is also recorded in ZenML."""
    try:
        with _submission_errors("the run could not be submitted"):
            try:
                submit()
            except FileExistsError:  # somebody has sent the same code since ZenML looked for it
                submit()
    except PlatformError as error:
        record_failure(name, str(error))
        raise
    return _find(name)


@contextmanager
def _submission_errors(what: str) -> Iterator[None]:
    from platforms.sagemaker.session import aws_errors  # boto3 takes half a second

    try:
        with aws_errors(what):
            yield
    except (OSError, RuntimeError, ZenMLBaseException) as error:
        raise PlatformError(f"{what}: {error}") from error


def _find(name: str) -> PipelineRunResponse:
    return Client().get_pipeline_run(name, allow_name_prefix_match=False)


@contextmanager
def ready(stack: StackFile) -> Iterator[None]:
    """Make `stack` the active one inside the block, registering it if it is new.

    Raises:
        PlatformError: ZenML cannot be used, or knows the stack by another configuration.
    """
    _show_only_progress()
    with locked():
        _ensure_registered(stack)
    with registration.using(stack):
        yield


def _show_only_progress() -> None:
    logging.getLogger("sagemaker.config").setLevel(logging.WARNING)  # it tells each default it uses
    if ENV_ZENML_LOGGING_VERBOSITY not in os.environ:
        for handler in logging.getLogger().handlers:
            if isinstance(handler, ZenMLConsoleHandler):
                handler.addFilter(_NoWarnings())


def _ensure_registered(stack: StackFile) -> None:
    if registration.find_stack(stack.name) is None:
        registration.apply(stack)
        click.echo(f"registered stack {stack.name!r}")
    registration.require_unchanged(stack)


@contextmanager
def _packages_looked_up_once() -> Iterator[None]:
    """Remember what ZenML asks at each output of a step: 0.2 s, and it does not change in a run."""
    look_up = importlib.metadata.packages_distributions
    importlib.metadata.packages_distributions = cache(look_up)
    try:
        yield
    finally:
        importlib.metadata.packages_distributions = look_up


def _git_commit() -> str:
    """Return the commit of this checkout, marked if files differ from it; else "unknown"."""
    told = _git("describe", "--always", "--abbrev=40", "--exclude=*", "--dirty", folder=ROOT)
    return told.stdout.strip() or "unknown"


def _git(*arguments: str, folder: Path | str) -> "subprocess.CompletedProcess[str]":
    """Ask git about `folder`; on a machine without git the answer is a shell's, code 127."""
    command = ["git", *arguments]
    try:
        return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)  # noqa: S603
    except FileNotFoundError:
        return subprocess.CompletedProcess(command, 127, "", "git is not installed")


def _reason(run_name: str) -> str | None:
    """Say why a run in this process failed; a run that could not begin has no reason."""
    runs = Client().list_pipeline_runs(name=run_name, hydrate=True).items
    if not runs:
        return None
    if told := reason(runs[0]):
        return told
    stopped = [name for name, step in runs[0].steps.items() if not step.status.is_successful]
    if not stopped:
        return None
    return f"step {', '.join(stopped)} was stopped; see `python run.py runs list`"
