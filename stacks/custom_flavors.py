"""Register the flavors of `stacks/flavors/` in ZenML."""

from zenml.client import Client
from zenml.models import FlavorRequest, FlavorResponse, FlavorUpdate

from stacks.flavors.sagemaker_mlflow import SageMakerMlflowFlavor
from stacks.flavors.sagemaker_named import NamedSageMakerFlavor

_OURS = {
    (str(flavor.type), flavor.name): flavor
    for flavor in (SageMakerMlflowFlavor(), NamedSageMakerFlavor())
}


def flavor_differences(kind: str, name: str) -> list[str]:
    """Say where ZenML's flavor differs from ours; flavors that are not ours never do."""
    wanted = _wanted(kind, name)
    if wanted is None:
        return []
    registered = _registered(wanted)
    if registered is None:
        return [f"flavor {name} is not registered"]
    return [
        f"flavor {name} is registered with another {key.replace('_', ' ')}"
        for key in ("source", "config_schema")
        if getattr(registered, key) != getattr(wanted, key)
    ]


def register_flavor(kind: str, name: str) -> None:
    """Create or repair the flavor, if it is one of ours."""
    wanted = _wanted(kind, name)
    if wanted is None:
        return
    store = Client().zen_store
    registered = _registered(wanted)
    if registered is None:
        store.create_flavor(wanted)
    elif flavor_differences(kind, name):
        store.update_flavor(
            registered.id, FlavorUpdate(source=wanted.source, config_schema=wanted.config_schema)
        )


def _wanted(kind: str, name: str) -> FlavorRequest | None:
    flavor = _OURS.get((kind, name))
    if flavor is None:
        return None
    model = flavor.to_model(integration="custom")
    # As imported from the folder of run.py, which is what a job unpacks; ZenML's own answer
    # depends on where the program was started.
    return model.model_copy(update={"source": f"{type(flavor).__module__}.{type(flavor).__name__}"})


def _registered(wanted: FlavorRequest) -> FlavorResponse | None:
    found = Client().list_flavors(type=wanted.type, name=wanted.name, hydrate=True).items
    return found[0] if found else None
