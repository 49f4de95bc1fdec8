"""What a stack on this machine needs: its folder, and MLflow beside it."""

from pathlib import Path

from zenml.artifact_stores import LocalArtifactStore
from zenml.client import Client
from zenml.enums import StackComponentType

from bank_marketing.errors import PlatformError
from registry.active import active_registry
from stacks import registration
from stacks.doctor import machine
from stacks.doctor.check import Finding, Look, ok, problem
from stacks.files import StackFile


def looks(stack: StackFile) -> list[Look]:
    """Return what to look at once the stack is registered."""
    return [
        Look("artifact store", lambda: _artifact_store(stack), needs=("stack",)),
        Look("MLflow", lambda: _tracking(stack), needs=("artifact store",)),
    ]


def _artifact_store(stack: StackFile) -> Finding:
    with registration.using(stack):
        client = Client()
        (component,) = client.active_stack_model.components[StackComponentType.ARTIFACT_STORE]
        kept = client.list_artifact_versions(artifact_store_id=component.id, size=1).total
        # Asked of ZenML's own artifact store, the path of a lost folder creates an empty one.
        folder = component.configuration.get("path") or LocalArtifactStore.get_default_local_path(
            component.id
        )
        if kept and not Path(folder).is_dir():
            return problem(f"{folder} is gone, and {kept} artifacts with it", "put the folder back")
        return machine.disk(Path(client.active_stack.artifact_store.path))


def _tracking(stack: StackFile) -> Finding:
    try:
        with registration.using(stack):
            active_registry().versions("any")  # a model that is not there has no versions
    except PlatformError as error:
        return problem(str(error), "see the message")
    return ok("answers")
