"""The stack that a command works on, with the emulated servers behind it if it needs them."""

import os

import click

from bank_marketing.errors import PlatformError
from cli.environment import EMULATOR_STATE
from stacks import emulation
from stacks.files import StackFile, is_emulated, load_stack


class ServersGoneError(PlatformError):
    """One of the emulated servers has ended, or they were not started."""

    def __init__(self) -> None:
        super().__init__(
            "the emulated servers do not run, and what they kept is gone; "
            "`python run.py emulator up` starts empty ones"
        )


def choose_stack(name: str) -> StackFile:
    """Read the stack called `name` and make this process a client of its servers.

    Those of an emulated stack are started if they are not up. Call it before ZenML is imported.
    """
    if is_emulated(name):
        emulation.start(state=EMULATOR_STATE, told=say)
        emulation.enter(state=EMULATOR_STATE)
    return load_stack(name)


def read_stack(name: str) -> StackFile:
    """Read the stack called `name` to look at it; nothing is started."""
    return load_stack(
        name, {**os.environ, **(emulation.STACK_VARIABLES if is_emulated(name) else {})}
    )


def is_reachable(name: str) -> bool:
    """Make this process a client of the servers of the stack called `name`, unless they are down.

    Nothing is started. Call it before ZenML is imported.
    """
    if not is_emulated(name):
        return True
    if not emulation.is_up(state=EMULATOR_STATE):
        return False
    emulation.enter(state=EMULATOR_STATE)
    return True


def reach_stack(name: str) -> None:
    """Make this process a client of the servers of the stack called `name`.

    Nothing is started: empty servers have nothing to show. Call it before ZenML is imported.

    Raises:
        ServersGoneError: They are emulated and down.
    """
    if not is_reachable(name):
        raise ServersGoneError


def require_servers(name: str) -> None:
    """Stop where it is of no use to wait for the servers of the stack called `name`.

    Raises:
        ServersGoneError: They are emulated, and one of them has ended.
    """
    if is_emulated(name) and not emulation.is_up(state=EMULATOR_STATE):
        raise ServersGoneError


def say(message: str) -> None:
    """Tell whoever waits, beside the output that a program may read."""
    click.echo(message, err=True)
