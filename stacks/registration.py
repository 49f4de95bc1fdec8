"""Bring ZenML's stacks in line with `stack_configs/`, and use one for a while."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from pydantic import ValidationError
from zenml.client import Client
from zenml.constants import ENV_ZENML_ACTIVE_STACK_ID
from zenml.enums import StackComponentType
from zenml.exceptions import EntityExistsError, IllegalOperationError
from zenml.models import ComponentResponse, StackResponse

from bank_marketing.config import explain
from bank_marketing.errors import PlatformError, SettingsError
from stacks.custom_flavors import flavor_differences, register_flavor
from stacks.files import ComponentFile, StackFile
from stacks.masking import masked
from stacks.mlflow_by_name import with_mlflow_arn
from stacks.store import open_store


@dataclass(frozen=True)
class Difference:
    """One thing in which ZenML differs from a stack file, in words."""

    component: str
    statement: str


def differences(stack: StackFile) -> list[Difference]:
    """Say where ZenML differs from `stack`; an empty list means that nothing is to be done."""
    found = []
    stack = with_mlflow_arn(stack)
    for kind, component in stack.components.items():
        registered = _component(kind, stack.name)
        found += [Difference(kind, text) for text in flavor_differences(kind, component.flavor)]
        if registered is None:
            found.append(Difference(kind, f"not registered; {component.flavor} is wanted"))
        else:
            found += [Difference(kind, text) for text in _drift(component, registered)]

    registered_stack = find_stack(stack.name)
    if registered_stack is None:
        return [*found, Difference("stack", "not registered")]
    return found + _foreign_parts(stack, registered_stack)


def apply(
    stack: StackFile, told: Callable[[Difference], None] = lambda _: None
) -> list[Difference]:
    """Create or repair `stack` and return what was changed; the second call changes nothing.

    `told` is called with each difference, before any of them is mended.

    Only the stack and components that carry its name are touched: they are ours. Whatever ends
    this early, the next call does the rest.

    Raises:
        SettingsError: A flavor refuses its configuration.
        PlatformError: ZenML's store cannot be used, something else holds on to what has to be
            replaced, or AWS has no such MLflow server.
    """
    stack = with_mlflow_arn(stack)
    changes = differences(stack)
    for change in changes:
        told(change)
    if changes:
        try:
            _bring_in_line(stack)
        except EntityExistsError:  # somebody else does the same at this moment
            _bring_in_line(stack)
    return changes


def _bring_in_line(stack: StackFile) -> None:
    client = Client()
    ids = {}
    for kind, wanted in stack.components.items():
        register_flavor(kind, wanted.flavor)
        registered = _component(kind, stack.name)
        if registered is not None and registered.flavor_name != wanted.flavor:
            _forget(stack.name, registered)
            registered = None
        with _accepted_by_flavor(stack.name, kind):
            if registered is None:
                registered = client.create_stack_component(
                    stack.name, wanted.flavor, StackComponentType(kind), wanted.config
                )
            elif _drift(wanted, registered):
                client.update_stack_component(
                    registered.id,
                    StackComponentType(kind),
                    configuration=dict.fromkeys(registered.configuration) | wanted.config,
                )
        ids[StackComponentType(kind)] = registered.id

    existing = find_stack(stack.name)
    if existing is None:
        client.create_stack(stack.name, ids)
    else:
        parts = {kind: [ids[kind]] if kind in ids else [] for kind in {*existing.components, *ids}}
        client.update_stack(existing.id, component_updates=parts)


def require_unchanged(stack: StackFile) -> None:
    """Stop where ZenML's stack is not the one of the file.

    Raises:
        PlatformError: They differ; the message says in what.
    """
    found = differences(stack)
    if found:
        statements = "; ".join(f"{each.component}: {each.statement}" for each in found)
        raise PlatformError(
            f"stack {stack.name!r} differs from its file: {statements}; "
            f"run `python run.py stack apply {stack.option}`"
        )


@contextmanager
def using(stack: StackFile) -> Iterator[StackResponse]:
    """Make `stack` the active one inside the block; the user's own choice stays as it is.

    Raises:
        PlatformError: The stack is not registered.
    """
    registered = find_stack(stack.name)
    if registered is None:
        raise PlatformError(
            f"stack {stack.name!r} is not registered; "
            f"run `python run.py stack apply {stack.option}`"
        )
    before = os.environ.get(ENV_ZENML_ACTIVE_STACK_ID)
    os.environ[ENV_ZENML_ACTIVE_STACK_ID] = str(registered.id)
    try:
        yield registered
    finally:
        if before is None:
            del os.environ[ENV_ZENML_ACTIVE_STACK_ID]
        else:
            os.environ[ENV_ZENML_ACTIVE_STACK_ID] = before


def find_stack(name: str) -> StackResponse | None:
    """Return ZenML's stack of that name, if there is one.

    Raises:
        PlatformError: ZenML's store cannot be used.
    """
    open_store()
    found = Client().list_stacks(name=name, hydrate=True).items
    return found[0] if found else None


@contextmanager
def _accepted_by_flavor(stack_name: str, kind: str) -> Iterator[None]:
    try:
        yield
    except (ValueError, KeyError) as error:  # a missing secret is a KeyError
        reason = explain(error) if isinstance(error, ValidationError) else error.args[0]
        raise SettingsError(f"stack {stack_name!r}: {kind}: {reason}") from error


def _component(kind: str, name: str) -> ComponentResponse | None:
    open_store()
    found = Client().list_stack_components(type=kind, name=name, hydrate=True).items
    return found[0] if found else None


def _drift(wanted: ComponentFile, registered: ComponentResponse) -> list[str]:
    if registered.flavor_name != wanted.flavor:
        return [f"flavor is {registered.flavor_name}; {wanted.flavor} is wanted"]
    found, sought = masked(registered.configuration), masked(wanted.config)
    return [
        f"{key} is {found.get(key)!r}; {sought.get(key)!r} is wanted"
        for key in sorted(wanted.config.keys() | registered.configuration.keys())
        if registered.configuration.get(key) != wanted.config.get(key)
    ]


def _foreign_parts(stack: StackFile, registered: StackResponse) -> list[Difference]:
    """Say where ZenML's stack consists of other components than those that carry its name."""
    found = []
    for kind in sorted({*stack.components, *map(str, registered.components)}):
        used = [part.name for part in registered.components.get(StackComponentType(kind), [])]
        wanted = [stack.name] if kind in stack.components else []
        if not used and wanted:
            found.append(Difference(kind, "not part of the stack"))
        elif used != wanted:
            names, what = ", ".join(used), "its own" if wanted else "none"
            found.append(Difference(kind, f"the stack uses {names}; {what} is wanted"))
    return found


def _forget(stack_name: str, component: ComponentResponse) -> None:
    """Delete a component of the wrong flavor, and the stack that would hold on to it.

    Raises:
        PlatformError: The stack is the user's active one, or another one uses the component.
    """
    client = Client()
    stack = find_stack(stack_name)
    try:
        if stack is not None:
            client.delete_stack(stack.id)
        client.delete_stack_component(component.id, component.type)
    except (ValueError, IllegalOperationError) as error:
        raise PlatformError(
            f"stack {stack_name!r}: its {component.type} of flavor {component.flavor_name} has to "
            f"be replaced, which ZenML refuses: {error}"
        ) from error
