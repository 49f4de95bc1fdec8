"""Everything that a stack needs, checked before a run finds out the hard way."""

from bank_marketing.errors import PlatformError
from stacks import registration
from stacks.doctor import local, machine, sagemaker, servers
from stacks.doctor.check import Check, Finding, Look, look_at, ok, problem
from stacks.files import StackFile
from stacks.store import open_store


def examine(stack: StackFile) -> list[Check]:
    """Check this machine and all that the stack names; changes nothing, and takes seconds."""
    return look_at(
        [
            Look("Python", machine.python),
            Look("packages", machine.packages),
            *_before_the_store(stack),
            Look("ZenML store", _store, needs=(servers.ZENML,)),
            Look("stack", lambda: _registered(stack), needs=("ZenML store",)),
            *(sagemaker.looks(stack, stack.sagemaker) if stack.sagemaker else local.looks(stack)),
        ]
    )


def _before_the_store(stack: StackFile) -> list[Look]:
    if stack.sagemaker is None:
        return []
    return [Look("disk", machine.disk), *servers.zenml_looks(stack)]


def _store() -> Finding:
    try:
        open_store()
    except PlatformError as error:
        return problem(str(error), "see the message")
    return ok("answers")


def _registered(stack: StackFile) -> Finding:
    found = registration.differences(stack)
    if found:
        statements = "; ".join(f"{each.component}: {each.statement}" for each in found)
        return problem(statements, f"python run.py stack apply {stack.option}")
    return ok(f"{stack.name} is registered as its file says")
