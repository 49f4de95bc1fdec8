"""The versions of a model as ZenML has them: their names, stages and history."""

from collections.abc import Mapping, Sequence
from typing import Any

from zenml import log_metadata
from zenml.client import Client
from zenml.enums import ModelStages
from zenml.utils.pagination_utils import depaginate

from registry.history import HISTORY, Event
from registry.zenml_errors import zenml_errors

PRODUCTION = ModelStages.PRODUCTION.value
STAGING = ModelStages.STAGING.value
ARCHIVED = ModelStages.ARCHIVED.value
NONE = ModelStages.NONE.value


def zenml_name(version: str) -> str:
    """Return ZenML's name of a version; a mere number is not allowed there."""
    return f"v{version}"


def stages_of(model: str) -> dict[str, str]:
    """Return the stage of every version by its name; none of a model that ZenML does not know."""
    with zenml_errors(f"stages of {model!r}"):
        if not Client().list_models(name=model).items:
            return {}
        versions = depaginate(Client().list_model_versions, model=model)
    return {str(version.name): version.stage or NONE for version in versions}


def stage_changes(
    stages: Mapping[str, str], *, champion: str, challenger: str | None
) -> dict[str, str]:
    """Return what to set so that production is the champion and staging the challenger.

    Whoever else is in one of these stages is archived; all others stay what they are.

    Args:
        stages: The present stage of each version by name.
        champion: Its name.
        challenger: Its name, perhaps the champion's.
            Either is left out where it is none of `stages`.
    """
    wanted = {name: ARCHIVED for name, stage in stages.items() if stage in (PRODUCTION, STAGING)}
    if challenger is not None and challenger in stages:
        wanted[challenger] = STAGING
    if champion in stages:
        wanted[champion] = PRODUCTION
    return {name: stage for name, stage in wanted.items() if stage != stages[name]}


def set_stages(model: str, stages: Mapping[str, str]) -> None:
    """Give each version of `stages` its stage."""
    for name, stage in stages.items():
        with zenml_errors(f"stage of {name} of {model!r}"):
            # ZenML has one version per stage, and archives who is in the way.
            Client().update_model_version(model, name, stage=stage, force=True)


def has_history(model: str, version: str, events: Sequence[Event]) -> bool:
    """Say whether ZenML's copy of the version's history is complete."""
    with zenml_errors(f"history of {zenml_name(version)} of {model!r}"):
        metadata = Client().get_model_version(model, zenml_name(version)).run_metadata
    return bool(metadata.get(HISTORY, []) == _plain(events))


def copy_history(model: str, version: str, events: Sequence[Event]) -> None:
    """Keep `events` with the version in ZenML, where its dashboard shows them."""
    name = zenml_name(version)
    with zenml_errors(f"history of {name} of {model!r}"):
        log_metadata(metadata={HISTORY: _plain(events)}, model_name=model, model_version=name)


def _plain(events: Sequence[Event]) -> list[dict[str, Any]]:
    return [event.model_dump(mode="json") for event in events]
