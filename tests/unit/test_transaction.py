"""Changes in several registries that stand together, or not at all."""

import pytest

from bank_marketing.errors import PlatformError
from registry.transaction import together


def change(*undoing, failure=None):
    """Do what `undoing` takes back, and then fail."""
    with together("nothing was done") as undo:
        for callback in undoing:
            undo.callback(callback)
        if failure is not None:
            raise failure


def refuse():
    raise PlatformError("no answer")


@pytest.fixture
def undone():
    return []


def test_what_succeeds_stands(undone):
    change(lambda: undone.append("first"))

    assert undone == []


def test_what_fails_is_undone_from_the_end_and_says_so(undone):
    with pytest.raises(PlatformError, match=r"^no room; nothing was done, and every .* as it was"):
        change(
            lambda: undone.append("first"),
            lambda: undone.append("second"),
            failure=PlatformError("no room"),
        )

    assert undone == ["second", "first"]


def test_the_rest_is_undone_also_where_a_part_cannot_be(undone):
    with pytest.raises(PlatformError, match=r"^no room; .* failed as well: no answer; do it again"):
        change(lambda: undone.append("first"), refuse, failure=PlatformError("no room"))

    assert undone == ["first"]


def test_an_interruption_is_undone_and_stays_what_it_is(undone):
    with pytest.raises(KeyboardInterrupt):
        change(lambda: undone.append("first"), failure=KeyboardInterrupt())

    assert undone == ["first"]


def test_an_interruption_that_cannot_be_undone_is_told():
    with pytest.raises(PlatformError, match=r"^interrupted; nothing was done, and undoing"):
        change(refuse, failure=KeyboardInterrupt())
