"""Stacks as files: what `stack_configs/*.yaml` may say."""

import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from bank_marketing.config import Settings, parse_settings, read_values
from bank_marketing.errors import SettingsError
from platforms.sagemaker.names import label

FOLDER = Path(__file__).parent.parent / "stack_configs"
DEFAULT = "default"

Kind = Literal[
    "orchestrator",
    "artifact_store",
    "container_registry",
    "image_builder",
    "experiment_tracker",
    "model_registry",
]
_VARIABLE = re.compile(r"\$\{(\w+)\}")

# What S3 takes, which is less than SageMaker does (User Guide of Amazon S3, object tagging).
_MOST_TAGS = 10
_TAG_KEY = re.compile(r"(?!aws:)[\w .:/=+\-@]{1,128}")
_TAG_VALUE = re.compile(r"[\w .:/=+\-@]{0,256}")


class ComponentFile(Settings):
    """One stack component: its flavor and the configuration of that flavor."""

    flavor: str
    config: dict[str, Any] = Field(default_factory=dict)


class JobFile(Settings):
    """What a SageMaker job runs on.

    `spot` and `keep_alive_s`, how long its machine stays warm for the next job and is paid for,
    are for training jobs.
    """

    type: Literal["processing", "training"]
    instance_type: Annotated[str, Field(pattern=r"^ml\.")]
    volume_gb: Annotated[int, Field(ge=1, le=16_384)]
    max_runtime_s: Annotated[int, Field(ge=60, le=28 * 86_400)]
    spot: bool
    keep_alive_s: Annotated[int, Field(ge=0, le=3_600)]

    @model_validator(mode="after")
    def _be_possible(self) -> Self:
        if self.type == "processing" and (self.spot or self.keep_alive_s):
            raise ValueError("a processing job has no spot instances and keeps nothing warm")
        if self.spot and self.keep_alive_s:
            raise ValueError("a spot instance cannot be kept warm")
        return self


class DockerFile(Settings):
    """The image of the steps, with our locked libraries: one that is there, or one to be built.

    ZenML builds `dockerfile`, a path in this project, and pushes the image.
    """

    parent_image: str | None
    dockerfile: str | None

    @model_validator(mode="after")
    def _be_one_of_them(self) -> Self:
        if (self.parent_image is None) == (self.dockerfile is None):
            raise ValueError("name either a parent_image or a dockerfile; the other one is null")
        return self


class SageMakerFile(Settings):
    """How the steps run in SageMaker.

    `step_jobs` has an entry `default`, and others by the name of a step. `submitted_job` is what
    tuning and training jobs run on that a step submits. `tags` go on all that is created;
    `project` and `user`, which are brought into the form of a name, begin the names of pipelines
    and jobs. `data` is the URI of the table that `--data auto` means there.
    """

    docker: DockerFile
    step_jobs: dict[str, JobFile]
    submitted_job: JobFile
    subnets: tuple[str, ...]
    security_group_ids: tuple[str, ...]
    tags: dict[str, str]
    data: Annotated[str, Field(pattern=r"^(s3|https)://\S+$")] | None = None

    @field_validator("submitted_job")
    @classmethod
    def _train(cls, job: JobFile) -> JobFile:
        if job.type != "training" or job.keep_alive_s:
            raise ValueError(
                "what a step submits are training jobs, and their machines end with them"
            )
        return job

    @field_validator("tags")
    @classmethod
    def _tell_the_owner(cls, tags: dict[str, str]) -> dict[str, str]:
        labels = {key: label(tags.get(key, "")) for key in ("project", "user")}
        for key, text in labels.items():
            if not text:
                raise ValueError(
                    f"{key} begins the names of what is created, and needs letters or digits; "
                    f"got {tags.get(key)!r}"
                )
        return tags | labels

    @field_validator("tags")
    @classmethod
    def _be_taken_by_s3(cls, tags: dict[str, str]) -> dict[str, str]:
        if len(tags) > _MOST_TAGS:
            raise ValueError(f"an object of S3 has {_MOST_TAGS} tags at most, got {len(tags)}")
        for key, value in tags.items():
            if not _TAG_KEY.fullmatch(key) or not _TAG_VALUE.fullmatch(value):
                raise ValueError(
                    f"AWS takes letters, digits, spaces and _.:/=+-@, got {key}={value!r}"
                )
        return tags

    @model_validator(mode="after")
    def _have_a_default(self) -> Self:
        if DEFAULT not in self.step_jobs:
            raise ValueError(f"step_jobs needs an entry {DEFAULT!r}")
        return self


class StackFile(Settings):
    """A ZenML stack: its name in ZenML and its components, which carry the same name.

    `option` is what `--stack` is for it, the name of its file, which does not say so itself.
    `emulated`: its servers are those that `run.py emulator up` starts on this machine.
    """

    option: str
    name: str
    emulated: bool = False
    components: dict[Kind, ComponentFile]
    sagemaker: SageMakerFile | None = None

    @property
    def shared_folder(self) -> str | None:
        """The S3 prefix that every job can read; None where all happens on one machine."""
        path = self.components["artifact_store"].config.get("path", "")
        return str(path) if str(path).startswith("s3://") else None

    @property
    def tags(self) -> dict[str, str]:
        """What is created in AWS carries these; none where nothing is."""
        return self.sagemaker.tags if self.sagemaker else {}


def stack_names() -> list[str]:
    """Return what `--stack` may be."""
    return sorted(file.stem for file in FOLDER.glob("*.yaml"))


def is_emulated(name: str) -> bool:
    """Say whether the servers of stack `name` have to be started on this machine.

    Raises:
        SettingsError: There is no such file, or it is not YAML.
    """
    return read_values(_path(name)).get("emulated") is True


def load_stack(name: str, environ: Mapping[str, str] = os.environ) -> StackFile:
    """Read `stack_configs/NAME.yaml`, with the variables of `environ` in place of `${NAME}`.

    Raises:
        SettingsError: There is no such file, it says what a stack cannot be, or a variable is not
            set; names every one.
    """
    path, missing = _path(name), set[str]()

    def value_of(variable: re.Match[str]) -> str:
        value = environ.get(variable[1], "")
        if not value:
            missing.add(variable[1])
        return value

    values = _filled(read_values(path), value_of)
    if missing:
        raise SettingsError(
            f"stack {name!r} needs the environment variables {', '.join(sorted(missing))}; "
            f"{path} says what for"
        )
    return parse_settings(values | {"option": name}, path, StackFile)


def _path(name: str) -> Path:
    if name not in stack_names():
        raise SettingsError(f"there is no stack {name!r}; there are: {', '.join(stack_names())}")
    return FOLDER / f"{name}.yaml"


def _filled(value: Any, value_of: Callable[[re.Match[str]], str]) -> Any:
    """Return a YAML value with every `${NAME}` in its texts replaced."""
    if isinstance(value, dict):
        return {key: _filled(each, value_of) for key, each in value.items()}
    if isinstance(value, list):
        return [_filled(each, value_of) for each in value]
    return _VARIABLE.sub(value_of, value) if isinstance(value, str) else value
