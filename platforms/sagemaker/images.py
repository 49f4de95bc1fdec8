"""Where Amazon keeps its images: an account of its own in each region."""

import importlib.util
import json
import re
from pathlib import Path

from botocore.loaders import Loader

from bank_marketing.errors import PlatformError


def xgboost_image(region: str, version: str) -> str:
    """Return the address of Amazon's XGBoost container.

    The table is the SageMaker SDK's; importing the SDK for it would take seconds.

    Raises:
        PlatformError: Amazon has no such version, or not in this region.
    """
    spec = importlib.util.find_spec("sagemaker")
    if spec is None or not spec.submodule_search_locations:
        raise PlatformError("the SageMaker SDK is not installed; `pip install -r requirements.txt`")
    table = Path(spec.submodule_search_locations[0]) / "image_uri_config" / "xgboost.json"
    versions = json.loads(table.read_text(encoding="utf-8"))["training"]["versions"]
    if version not in versions:
        raise PlatformError(
            f"Amazon has no XGBoost container {version!r}; there are: {', '.join(versions)}"
        )
    found = versions[version]
    if region not in found["registries"]:
        raise PlatformError(
            f"Amazon's XGBoost container {version} is not in region {region!r}; it is in: "
            f"{', '.join(found['registries'])}"
        )
    registry = f"{found['registries'][region]}.dkr.ecr.{region}.{_domain(region)}"
    return f"{registry}/{found['repository']}:{version}"


def _domain(region: str) -> str:
    """Return the domain of the partition, such as China, that a region belongs to."""
    partitions = Loader().load_data("partitions")["partitions"]
    return next(
        str(each["outputs"]["dnsSuffix"])
        for each in partitions
        if re.fullmatch(each["regionRegex"].strip("^$"), region)
    )
