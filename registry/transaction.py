"""Changes in several registries that stand together, or not at all."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from bank_marketing.errors import PlatformError
from platforms.base import ModelRegistry, ModelVersion


@contextmanager
def together(failure: str) -> Iterator[ExitStack]:
    """Give the block a stack for what undoes its changes; it is used unless the block succeeds.

    What undoes a change goes there before the change: a registry may have made it where only its
    answer was lost.

    Raises:
        PlatformError: A registry refused; says that `failure`, and whether all are as they were.
    """
    refusal = None
    try:
        with ExitStack() as undo:
            try:
                yield undo
            except PlatformError as error:
                refusal = error
                raise
            undo.pop_all()
    except PlatformError as error:
        if error is refusal:
            raise PlatformError(f"{error}; {failure}, and every registry is as it was") from error
        raise PlatformError(
            f"{refusal or 'interrupted'}; {failure}, and undoing what had been done failed as "
            f"well: {error}; do it again as soon as every registry answers"
        ) from error


def move_alias(
    registry: ModelRegistry,
    alias: str,
    version: ModelVersion,
    former: ModelVersion | None,
    undo: ExitStack,
) -> None:
    """Point `alias` to `version`; until now it is that of `former`, or nobody's."""
    if former:
        undo.callback(registry.set_alias, version.name, alias, former.version)
    else:
        undo.callback(registry.remove_alias, version.name, alias)
    registry.set_alias(version.name, alias, version.version)
