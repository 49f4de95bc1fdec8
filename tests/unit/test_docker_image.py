"""The image of the steps: what is built, from what, and what stays out of it."""

import re
import tarfile
from pathlib import Path
from types import SimpleNamespace

import pytest
from pydantic import ValidationError
from zenml.config import DockerSettings
from zenml.image_builders import BaseImageBuilder, BuildContext
from zenml.utils.pipeline_docker_image_builder import PipelineDockerImageBuilder

from stacks.files import DockerFile, SageMakerFile, load_stack
from stacks.sagemaker_settings import sagemaker_options
from tests.unit.test_stack_files import VARIABLES

ROOT = Path(__file__).parent.parent.parent
DOCKERFILE = (ROOT / "docker" / "Dockerfile").read_text()


class Recorder(BaseImageBuilder):
    """Keeps what ZenML wants to have built."""

    def __init__(self) -> None:
        self.built: list[tuple[str, BuildContext]] = []

    @property
    def is_building_locally(self) -> bool:
        return True

    def build(self, image_name, build_context, *_: object, **__: object):
        self.built.append((image_name, build_context))
        return f"{image_name}@sha256:0"


@pytest.fixture
def sagemaker() -> SageMakerFile:
    sagemaker = load_stack("sagemaker", VARIABLES).sagemaker
    assert sagemaker is not None
    return sagemaker


@pytest.fixture
def built(sagemaker: SageMakerFile) -> DockerSettings:
    docker = DockerFile(parent_image=None, dockerfile="docker/Dockerfile")
    return docker_settings(sagemaker.model_copy(update={"docker": docker}))


def docker_settings(sagemaker: SageMakerFile) -> DockerSettings:
    settings: DockerSettings = sagemaker_options(sagemaker, single_job=True)["settings"]["docker"]
    return settings


def test_an_image_that_is_there_is_taken_as_it_is(sagemaker):
    settings = docker_settings(sagemaker)

    assert (settings.parent_image, settings.skip_build) == (VARIABLES["SAGEMAKER_IMAGE"], True)


def test_zenml_builds_one_image_from_the_lock_alone(built, tmp_path):
    builder = Recorder()
    stack = SimpleNamespace(
        validate=lambda: None, image_builder=builder, container_registry=None, name="team"
    )

    image, *_ = PipelineDockerImageBuilder().build_docker_image(
        built, tag="steps", stack=stack, include_files=False
    )

    ((name, context),) = builder.built
    with (tmp_path / "context.tar.gz").open("w+b") as file:
        context.write_archive(file)
    with tarfile.open(tmp_path / "context.tar.gz") as sent:
        names = sent.getnames()
    assert image == f"{name}@sha256:0"
    assert sorted(names) == ["Dockerfile", "requirements.txt"]


def test_everything_that_is_copied_into_the_image_is_part_of_what_is_sent_to_docker(built):
    sent = BuildContext(root=built.build_context_root).get_files()

    copied = re.findall(r"^COPY (\S+) \S+$", DOCKERFILE, re.MULTILINE)

    assert copied == DOCKERFILE.count("\nCOPY ") * ["requirements.txt"]
    assert set(copied) <= set(sent)


def test_only_what_the_lock_has_a_hash_for_is_installed():
    (install,) = re.findall(r"pip install (.*)", DOCKERFILE)

    assert "--require-hashes --only-binary :all: --requirement /tmp/requirements.txt" in install
    assert "--hash=sha256:" in (ROOT / "requirements.txt").read_text()


def test_steps_do_not_run_as_root():
    assert re.findall(r"^USER (.*)$", DOCKERFILE, re.MULTILINE) == ["steps"]


@pytest.mark.parametrize(
    "docker",
    [
        {"parent_image": None, "dockerfile": None},
        {"parent_image": "image", "dockerfile": "docker/Dockerfile"},
    ],
)
def test_a_stack_names_one_image(docker):
    with pytest.raises(ValidationError, match="either a parent_image or a dockerfile"):
        DockerFile.model_validate(docker)
