"""Who may import whom; `docs/architecture.md` gives the reasons."""

import ast
import sys
from pathlib import Path

import pytest

from bank_marketing.bundle import SCORING_MODULES

ROOT = Path(__file__).parent.parent.parent

OURS = {
    "bank_marketing",
    "benchmarks",
    "cli",
    "materializers",
    "pipelines",
    "platforms",
    "registry",
    "reports",
    "sagemaker_emulator",
    "sagemaker_jobs",
    "serving",
    "stacks",
    "steps",
}
FRAMEWORKS = {"boto3", "mlflow", "sagemaker", "zenml"}
STANDARD_LIBRARY = sys.stdlib_module_names

FORBIDDEN = {
    "bank_marketing": FRAMEWORKS | {"requests"} | OURS - {"bank_marketing"},
    "reports": FRAMEWORKS | OURS - {"bank_marketing", "reports"},
    "serving": {"zenml", "boto3", "sagemaker"} | OURS - {"bank_marketing", "serving"},
    "platforms": {"zenml", "sagemaker"} | OURS - {"bank_marketing", "platforms", "serving"},
    "registry": FRAMEWORKS - {"zenml"} | OURS - {"bank_marketing", "platforms", "registry"},
    "materializers": FRAMEWORKS - {"zenml"} | OURS - {"bank_marketing", "materializers", "reports"},
    "stacks": FRAMEWORKS - {"zenml"} | OURS - {"bank_marketing", "platforms", "registry", "stacks"},
    "steps": FRAMEWORKS - {"zenml"} | {"cli", "pipelines", "serving", "stacks", "steps"},
    # Any project could use it: nothing of ours, and none of the clients that talk to it.
    "sagemaker_emulator": FRAMEWORKS - {"boto3"} | OURS - {"sagemaker_emulator"},
    "sagemaker_jobs": FRAMEWORKS | OURS - {"sagemaker_jobs"},
    "pipelines": FRAMEWORKS - {"zenml"}
    | {"pandas", "xgboost"}
    | OURS - {"bank_marketing", "materializers", "pipelines", "steps"},
    "cli": FRAMEWORKS - {"zenml"} | {"pandas", "xgboost", "serving", "steps"},
}

# The files that may talk to each vendor; a folder stands for all that is in it.
ONLY_IN = {
    "mlflow": {"platforms/mlflow_registry.py", "serving/mlflow_model.py"},
    "boto3": {"platforms/object_store.py", "platforms/sagemaker", "sagemaker_emulator"},
}


@pytest.mark.parametrize("package", FORBIDDEN)
def test_a_package_imports_only_what_it_may(package):
    found = {
        (str(file.relative_to(ROOT)), name)
        for file in (ROOT / package).rglob("*.py")
        for name in imported_packages(file) & FORBIDDEN[package]
    }

    assert found == set()


@pytest.mark.parametrize("vendor", ONLY_IN)
def test_a_vendor_is_known_to_its_own_files_only(vendor):
    found = {
        file.relative_to(ROOT)
        for package in FORBIDDEN
        for file in (ROOT / package).rglob("*.py")
        if vendor in imported_packages(file)
    }

    assert {
        str(file) for file in found if not ONLY_IN[vendor] & {str(file), *map(str, file.parents)}
    } == set()


def test_scoring_needs_numpy_and_xgboost_alone():
    found = {
        name
        for module in SCORING_MODULES
        for name in imported_packages(ROOT / "bank_marketing" / f"{module}.py")
    }

    assert found - {"bank_marketing", "numpy", "xgboost"} <= STANDARD_LIBRARY


def test_what_runs_in_amazons_container_needs_numpy_and_xgboost_alone():
    found = {
        name for file in (ROOT / "sagemaker_jobs").glob("*.py") for name in imported_packages(file)
    }

    assert found - {"numpy", "xgboost"} <= STANDARD_LIBRARY


def test_every_package_of_ours_has_its_rules():
    packages = {file.parent.name for file in ROOT.glob("*/__init__.py")}

    assert packages <= set(FORBIDDEN) | {"benchmarks", "tests"}


@pytest.mark.parametrize("package", ["steps", "pipelines"])
def test_a_file_is_named_after_the_one_thing_that_it_defines(package):
    for file in (ROOT / package).rglob("*.py"):
        functions = [
            node.name
            for node in ast.parse(file.read_text()).body
            if isinstance(node, ast.FunctionDef)
        ]
        if file.name != "__init__.py":
            assert functions == [file.stem], file


def imported_packages(file: Path) -> set[str]:
    """Return the top-level packages that `file` imports anywhere."""
    names = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module.partition(".")[0])
    return names
