"""What the history of versions tells: who reigned when, and who was approved."""

from datetime import UTC, datetime

import pytest
from pydantic import ValidationError

from platforms.base import ModelVersion
from registry.history import (
    Event,
    Reason,
    approval,
    former_champions,
    history,
    predecessor,
    to_json,
)
from registry.zenml_versions import stage_changes


def event(action, minute, former=None):
    return Event(
        action=action,
        who="ann",
        when=datetime(2026, 1, 1, 12, minute, tzinfo=UTC),
        because="it is better",
        former=former,
    )


def version(number, *events, aliases=()):
    return ModelVersion(
        name="bank",
        version=number,
        aliases=aliases,
        run_id="",
        bundle_uri="",
        created="2026-01-01T12:00:00+00:00",
        tags={"history": to_json(events)} if events else {},
    )


def champion(number, *events):
    return version(number, *events, aliases=("champion",))


FIRST = version("1", event("promoted", 1))
SECOND = version("2", event("promoted", 2, former="1"))


def test_events_come_back_from_the_tag_as_they_went_in():
    approved, promoted = event("approved", 1), event("promoted", 2, former="1")

    assert history(version("2", approved, promoted)) == (approved, promoted)


def test_a_version_without_the_tag_has_no_history():
    assert history(version("1")) == ()
    assert approval(version("1")) is None


@pytest.mark.parametrize(
    "change", [{"because": ""}, {"when": "2026-01-01T12:00:00"}], ids=["no reason", "no time zone"]
)
def test_a_change_needs_a_reason_and_a_time_that_means_the_same_everywhere(change):
    with pytest.raises(ValidationError):
        Reason.model_validate(
            {"who": "ann", "when": datetime(2026, 1, 1, tzinfo=UTC), "because": "so", **change}
        )


def test_the_last_approval_counts():
    approved = version("1", event("approved", 1), event("promoted", 2), event("approved", 3))

    assert approval(approved) == event("approved", 3)


def test_former_champions_are_listed_from_the_latest_on():
    third = champion("3", event("promoted", 3, former="2"))

    assert former_champions([third, SECOND, FIRST]) == ("2", "1")


def test_the_first_champion_had_none_before():
    assert former_champions([champion("1", event("promoted", 1))]) == ()


def test_a_model_without_a_champion_has_no_former_ones():
    assert former_champions([SECOND, FIRST]) == ()
    assert predecessor([SECOND, FIRST]) is None


def test_an_approval_makes_no_champion():
    approved = version("2", event("approved", 2))

    assert former_champions([approved, champion("1", event("promoted", 1))]) == ()


def test_a_promotion_that_came_to_nothing_is_not_in_the_chain():
    # Version 2 was noted as the successor of 1, and then MLflow went away.
    assert former_champions([SECOND, champion("1", event("promoted", 1))]) == ()


def test_who_was_rolled_back_is_a_former_champion_too():
    first = champion("1", event("promoted", 1), event("rolled back", 3, former="2"))

    assert former_champions([SECOND, first]) == ("2", "1")


def test_two_rollbacks_lead_two_promotions_back():
    third = version("3", event("promoted", 3, former="2"))
    second = champion("2", event("promoted", 2, former="1"), event("rolled back", 4, former="3"))

    assert predecessor([third, second, FIRST]) == "1"


def test_a_champion_who_was_deleted_ends_the_chain():
    third = champion("3", event("promoted", 3, former="2"))

    assert former_champions([third, FIRST]) == ("2",)


@pytest.mark.parametrize(
    ("stages", "champion", "challenger", "expected"),
    [
        pytest.param(
            {"v1": "production", "v2": "staging"},
            *("v2", "v2", {"v1": "archived", "v2": "production"}),
            id="the challenger takes over",
        ),
        pytest.param(
            {"v1": "production", "v2": "archived", "v3": "staging"},
            *("v2", "v3", {"v1": "archived", "v2": "production"}),
            id="another stays the challenger",
        ),
        pytest.param(
            {"v1": "archived", "v2": "production", "v3": "none"},
            *("v1", "v2", {"v1": "production", "v2": "staging"}),
            id="half of a promotion is taken back",
        ),
        pytest.param({"v1": "production", "v2": "staging"}, *("v1", "v2", {}), id="nothing to do"),
        pytest.param(
            {"v1": "none"}, *("v1", None, {"v1": "production"}), id="nobody is the challenger"
        ),
        pytest.param({"v1": "production"}, *("v1", "v2", {}), id="the challenger is not there"),
        pytest.param(
            {"v1": "production"}, *("v2", None, {"v1": "archived"}), id="nor the champion"
        ),
    ],
)
def test_stages_follow_the_aliases(stages, champion, challenger, expected):
    assert stage_changes(stages, champion=champion, challenger=challenger) == expected
