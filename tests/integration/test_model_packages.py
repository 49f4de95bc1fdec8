"""Versions that are model packages as well: MLflow, ZenML and SageMaker move together."""

import json
import os
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any, NamedTuple
from unittest.mock import patch

import mlflow
import pytest
from zenml.client import Client

from bank_marketing.errors import PlatformError
from bank_marketing.model import train_bundle
from platforms.base import CHAMPION, ModelRegistry, ModelVersion
from platforms.factory import model_packages, package_publisher
from platforms.sagemaker.images import xgboost_image
from registry.active import active_registry
from registry.history import Reason, history
from registry.packages import PACKAGE
from registry.promotion import approve, carry_out, plan_promotion, plan_rollback
from registry.zenml_versions import stages_of
from sagemaker_emulator.faults import Fault
from sagemaker_emulator.server import Emulator
from stacks import registration
from stacks.files import load_stack
from tests.job_place import PLACE
from tests.published_versions import publish

pytestmark = pytest.mark.slow

REGION = PLACE.region
IMAGE = xgboost_image(REGION, "3.0-5")


@pytest.fixture(scope="module")
def emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulator]:
    with (
        Emulator(tmp_path_factory.mktemp("sagemaker")) as emulator,
        patch.dict(os.environ, emulator.environment()),
    ):
        emulator.session().client("s3", endpoint_url=emulator.url).create_bucket(
            Bucket="models", CreateBucketConfiguration={"LocationConstraint": REGION}
        )
        yield emulator


@pytest.fixture(autouse=True)
def _no_faults(emulator: Emulator) -> Iterator[None]:
    yield
    emulator.faults.clear()


@pytest.fixture(scope="module")
def sagemaker(emulator: Emulator) -> Any:
    """SageMaker as its other users see it."""
    return emulator.session().client("sagemaker", endpoint_url=emulator.url)


@pytest.fixture(scope="module")
def registry(run, emulator, tmp_path_factory) -> Iterator[ModelRegistry]:
    assert run("stack", "apply").exit_code == 0
    with registration.using(load_stack("local")):
        found = active_registry()
        folder = tmp_path_factory.mktemp("artifacts").as_uri()
        mlflow.set_experiment(experiment_id=mlflow.create_experiment("packages", folder))
        yield found
    mlflow.set_tracking_uri(None)


@pytest.fixture(scope="module")
def bundle(contacts, settings):
    model = settings.model.model_copy(update={"n_estimators": 5})
    trained = train_bundle(contacts[:3000], contacts[3000:], settings.features, model)
    return trained.with_evidence(metrics={"roc_auc": 0.77, "brier": 0.08})


@pytest.fixture(scope="module")
def release(registry, bundle) -> Callable[[str], ModelVersion]:
    """Register a version under a name, as a run on a SageMaker stack does."""
    publisher = package_publisher(
        PLACE.model_copy(update={"output_uri": "s3://models/run", "image": IMAGE})
    )

    def release(name: str) -> ModelVersion:
        return publish(registry, bundle, name, publisher=publisher)

    return release


class State(NamedTuple):
    """Who is where, in each registry; numbers are the same in all of them here."""

    champion: str | None
    zenml: dict[str, str]
    sagemaker: dict[str, tuple[str, str]]


@pytest.fixture(scope="module")
def state(registry) -> Callable[[str], State]:
    def state(name: str) -> State:
        versions = registry.versions(name)
        champions = [version.version for version in versions if CHAMPION in version.aliases]
        packages = model_packages(REGION).packages(name)
        return State(
            champion=champions[0] if champions else None,
            zenml=stages_of(name),
            sagemaker={
                package.short_name: (package.approval, package.stage)
                for package in packages.values()
            },
        )

    return state


@pytest.fixture(scope="module")
def reigning(registry, release) -> Callable[[str], None]:
    """Register two versions, both approved, of which the first is the champion."""

    def reigning(name: str) -> None:
        for number in ("1", "2"):
            release(name)
            approve(registry, name, number, reason())
        carry_out(registry, plan_promotion(registry, name, "1", reason()))

    return reigning


def reason() -> Reason:
    return Reason(who="ann", when=datetime.now(UTC), because="it is better")


class TestRegistering:
    def test_a_package_waits_for_approval_and_holds_the_model(
        self, release, sagemaker, bundle, emulator
    ):
        version = release("held")

        package = sagemaker.describe_model_package(ModelPackageName=version.tags[PACKAGE])
        container = package["InferenceSpecification"]["Containers"][0]
        s3 = emulator.session().client("s3", endpoint_url=emulator.url)
        assert package["ModelApprovalStatus"] == "PendingManualApproval"
        assert package["ModelLifeCycle"]["Stage"] == "staging"
        assert container["Image"] == IMAGE
        assert container["ModelDataUrl"] == f"s3://models/run/models/{bundle.checksum}/model.tar.gz"
        statistics = package["ModelMetrics"]["ModelQuality"]["Statistics"]["S3Uri"]
        found = s3.get_object(Bucket="models", Key=statistics.removeprefix("s3://models/"))
        assert json.load(found["Body"])["binary_classification_metrics"]["auc"] == {
            "value": 0.77,
            "standard_deviation": "NaN",
        }

    def test_every_registry_names_the_others(self, release, sagemaker, bundle):
        version = release("named")

        arn = version.tags[PACKAGE]
        facts = sagemaker.describe_model_package(ModelPackageName=arn)["CustomerMetadataProperties"]
        in_zenml = Client().get_model_version("named", "v1")
        assert facts["mlflow_model_version"] == version.version
        assert facts["mlflow_run_id"] == version.run_id
        assert facts["zenml_model_version_id"] == str(in_zenml.id)
        assert facts["bundle_sha256"] == bundle.checksum
        assert facts["data_sha256"] == version.tags["data_sha256"]
        assert in_zenml.run_metadata[PACKAGE] == arn

    def test_a_package_shows_the_backtest_beside_the_test_set(self, release, sagemaker):
        arn = release("measured").tags[PACKAGE]

        facts = sagemaker.describe_model_package(ModelPackageName=arn)["CustomerMetadataProperties"]
        shown = [facts[f"{where}_roc_auc"] for where in ("test", "backtest")]
        assert shown == ["0.7700", "0.6700"]
        assert facts["backtest_roc_auc_low"] == "0.6500"

    def test_the_group_carries_the_tags_of_the_project(self, release, sagemaker):
        release("tagged")
        release("tagged")

        group = sagemaker.describe_model_package_group(ModelPackageGroupName="tagged")
        tags = sagemaker.list_tags(ResourceArn=group["ModelPackageGroupArn"])["Tags"]
        assert {tag["Key"]: tag["Value"] for tag in tags} == PLACE.tags

    def test_the_newest_version_is_the_challenger_everywhere(self, release, state):
        release("newest")
        release("newest")

        assert state("newest") == State(
            champion=None,
            zenml={"v1": "archived", "v2": "staging"},
            sagemaker={
                "newest/1": ("PendingManualApproval", "archived"),
                "newest/2": ("PendingManualApproval", "staging"),
            },
        )

    @pytest.mark.parametrize("refused", ["CreateModelPackage", "UpdateModelPackage"])
    def test_what_sagemaker_refuses_is_registered_nowhere(
        self, release, emulator, registry, state, refused
    ):
        name = refused.lower()
        release(name)
        before = state(name)
        emulator.faults.add(Fault("sagemaker", refused, nth=1, code="AccessDeniedException"))

        with pytest.raises(PlatformError, match=r"AccessDenied.*and every registry is as it was"):
            release(name)

        assert state(name) == before
        assert [version.version for version in registry.versions(name)] == ["1"]


class TestPromoting:
    def test_approval_reaches_sagemaker(self, release, registry, sagemaker):
        version = release("approved")

        approve(registry, "approved", "1", reason())

        package = sagemaker.describe_model_package(ModelPackageName=version.tags[PACKAGE])
        assert package["ModelApprovalStatus"] == "Approved"
        assert package["ApprovalDescription"] == "ann: it is better"

    def test_an_approval_that_sagemaker_refuses_is_none(self, release, registry, emulator):
        release("unapproved")
        emulator.faults.add(
            Fault("sagemaker", "UpdateModelPackage", nth=1, code="AccessDeniedException")
        )

        with pytest.raises(PlatformError, match="was not approved, and every registry is as it"):
            approve(registry, "unapproved", "1", reason())

        assert history(registry.version("unapproved", "1")) == ()

    def test_what_was_rejected_in_sagemaker_is_not_promoted(self, release, registry, sagemaker):
        version = release("rejected")
        approve(registry, "rejected", "1", reason())
        sagemaker.update_model_package(
            ModelPackageArn=version.tags[PACKAGE], ModelApprovalStatus="Rejected"
        )

        with pytest.raises(
            PlatformError, match=r"has rejected/1 as Rejected; approve it with `model approve`"
        ):
            plan_promotion(registry, "rejected", "1", reason())

        approve(registry, "rejected", "1", reason())
        assert plan_promotion(registry, "rejected", "1", reason()).changes

    def test_all_three_move_together_there_and_back(self, reigning, registry, state):
        reigning("moved")
        before = state("moved")

        promotion = plan_promotion(registry, "moved", "2", reason())
        carry_out(registry, promotion)
        promoted = state("moved")
        carry_out(registry, plan_rollback(registry, "moved", None, reason()))

        assert "SageMaker: moved/2 from staging to production" in promotion.changes
        assert promoted == State(
            champion="2",
            zenml={"v1": "archived", "v2": "production"},
            sagemaker={"moved/1": ("Approved", "archived"), "moved/2": ("Approved", "production")},
        )
        assert before == state("moved")
        assert before == State(
            champion="1",
            zenml={"v1": "production", "v2": "staging"},
            sagemaker={"moved/1": ("Approved", "production"), "moved/2": ("Approved", "staging")},
        )

    @pytest.mark.parametrize("nth", [1, 2])
    def test_none_moves_where_sagemaker_refuses(self, reigning, registry, emulator, state, nth):
        name = f"unmoved-{nth}"
        reigning(name)
        before = state(name)
        promotion = plan_promotion(registry, name, "2", reason())
        emulator.faults.add(
            Fault("sagemaker", "UpdateModelPackage", nth=nth, code="AccessDeniedException")
        )

        with pytest.raises(PlatformError, match=r"did not become .* every registry is as it was"):
            carry_out(registry, promotion)

        assert state(name) == before

    def test_half_of_a_promotion_is_completed(self, reigning, registry, sagemaker, state):
        reigning("half")
        carry_out(registry, plan_promotion(registry, "half", "2", reason()))
        arn = registry.version("half", "2").tags[PACKAGE]
        sagemaker.update_model_package(  # as if the process had been killed before
            ModelPackageArn=arn,
            ModelLifeCycle={"Stage": "staging", "StageStatus": "PendingApproval"},
        )

        carry_out(registry, plan_promotion(registry, "half", "2", reason()))

        assert state("half").sagemaker["half/2"] == ("Approved", "production")

    def test_a_version_whose_package_was_deleted_can_still_be_promoted(
        self, reigning, registry, sagemaker, state
    ):
        reigning("deleted")
        sagemaker.delete_model_package(
            ModelPackageName=registry.version("deleted", "2").tags[PACKAGE]
        )

        carry_out(registry, plan_promotion(registry, "deleted", "2", reason()))

        assert state("deleted") == State(
            champion="2",
            zenml={"v1": "archived", "v2": "production"},
            sagemaker={"deleted/1": ("Approved", "archived")},
        )


@pytest.fixture(scope="module")
def shown(reigning) -> None:
    """Two versions of the model that commands are about."""
    reigning("bank-marketing")


@pytest.mark.usefixtures("shown")
class TestShowing:
    def test_the_list_tells_what_sagemaker_says(self, run):
        listed = run("model", "list")

        assert listed.exit_code == 0
        assert "bank-marketing/1 Approved, production" in " ".join(listed.output.split())

    def test_a_version_is_shown_with_its_package(self, run):
        shown = run("model", "show", "2")

        assert "bank-marketing/2 Approved, staging" in shown.output

    def test_lineage_names_the_package(self, run, registry):
        arn = registry.version("bank-marketing", "2").tags[PACKAGE]

        drawn, told = run("model", "lineage", "2"), run("model", "lineage", "2", "--json")

        assert f"SageMaker model package {arn}" in drawn.output
        assert json.loads(told.output)["sagemaker_model_package_arn"] == arn
