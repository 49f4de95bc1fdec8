"""What people see in a browser: ZenML's dashboard and MLflow's UI after one training run."""

import json
import os
import shutil
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Page, expect, sync_playwright

from registry.active import tracking_uri
from stacks import dashboard, registration
from stacks.dashboard import Dashboard
from stacks.files import load_stack
from tests.integration.test_training import SMALL, override

pytestmark = [
    pytest.mark.browser,
    pytest.mark.slow,
    # The servers outlive whoever starts them, which is what they are for.
    pytest.mark.filterwarnings("ignore:subprocess .* is still running:ResourceWarning"),
]

CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), ""
)
PATIENCE_MS = 60_000

# MLflow opens with the menu of another kind of user, and an assistant's panel over the page.
MLFLOW_PREFERENCES = """
localStorage.setItem("mlflow.workflowType_v1", '"machine_learning"');
localStorage.setItem("mlflow.assistant.fab.autoOpenedOnFirstLoad_v1", "true");
"""


@pytest.fixture(scope="module")
def summary(run, tmp_path_factory) -> Any:
    file = tmp_path_factory.mktemp("summary") / "summary.json"
    outcome = run(
        *("--pipeline", "training", "--data", "synthetic", "--summary", str(file)),
        *override(*SMALL, "tuning.trials=3"),
    )
    assert outcome.exit_code == 0, outcome.errors
    return json.loads(file.read_text())


@pytest.fixture(scope="module")
def servers(summary, tmp_path_factory) -> Iterator[Dashboard]:
    state = tmp_path_factory.mktemp("dashboard")
    with registration.using(load_stack("local")):
        yield dashboard.start(state=state, mlflow_uri=tracking_uri())
    dashboard.stop(state=state)


@pytest.fixture(scope="module")
def page() -> Iterator[Page]:
    if not CHROMIUM:
        pytest.skip("there is no Chromium on this machine")
    as_root = ["--no-sandbox"] if os.geteuid() == 0 else []  # Chromium refuses to start otherwise
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=as_root)
        page = browser.new_page(viewport={"width": 1600, "height": 1000})
        page.set_default_timeout(PATIENCE_MS)
        page.add_init_script(MLFLOW_PREFERENCES)
        yield page
        browser.close()


def test_the_run_page_shows_every_step_and_asks_nothing(page, servers, summary):
    page.goto(dashboard.run_url(servers.zenml_url, summary["run_id"], project="default"))

    for step in summary["durations"]:
        expect(page.get_by_text(step, exact=True).first).to_be_visible(timeout=PATIENCE_MS)
    assert "survey" not in page.url


@pytest.mark.parametrize(
    ("artifact", "sentence"),
    [
        ("validation_report", "The data passed validation"),
        ("report", "Report of the training run"),
        ("gate_decision", "Quality gate"),
        ("tuning", "trials"),
    ],
)
def test_an_artifact_shows_its_page(page, servers, summary, artifact, sentence):
    page.goto(dashboard.run_url(servers.zenml_url, summary["run_id"], project="default"))

    page.get_by_text(artifact, exact=True).first.click()
    page.get_by_role("tab", name="Visualization").last.click()
    frame = page.locator("iframe").first
    preview = page.get_by_role("button", name="Load Preview")  # ZenML asks before a large page
    preview.or_(frame).first.wait_for()
    if preview.count():
        preview.click()

    body = page.frame_locator("iframe").first.locator("body")
    expect(body).to_contain_text(sentence, timeout=PATIENCE_MS)


def test_mlflow_shows_the_run_and_its_data(page, servers, summary):
    page.goto(
        dashboard.mlflow_run_url(
            servers.mlflow_url,
            experiment_id="1",
            run_id=summary["mlflow_run_id"],
        )
    )

    expect(page.get_by_text("test_roc_auc", exact=True).first).to_be_visible(timeout=PATIENCE_MS)
    expect(page.get_by_text("synthetic").first).to_be_visible(timeout=PATIENCE_MS)


def test_mlflow_shows_the_registered_version_and_its_aliases(page, servers, summary):
    page.goto(f"{servers.mlflow_url}/#/models/{summary['model']['name']}")

    expect(page.get_by_text("Version 1").first).to_be_visible(timeout=PATIENCE_MS)
    for alias in summary["model"]["aliases"]:
        expect(page.get_by_text(alias).first).to_be_visible(timeout=PATIENCE_MS)
