"""Which run, data, code and stack a result came from, as tags for either registry."""

from zenml import get_step_context

from bank_marketing.dataset import DataOrigin

GIT_COMMIT = "git_commit"


def lineage_tags(data: DataOrigin) -> dict[str, str]:
    """Return the tags of everything that the current step's run leaves behind."""
    run = get_step_context().pipeline_run
    return {
        "zenml_run_id": str(run.id),
        "zenml_run_name": run.name,
        "zenml_stack": run.stack.name if run.stack else "",
        "data_source": data.origin,
        "data_sha256": data.sha256,
        "data_fingerprint": data.fingerprint,
        GIT_COMMIT: run.config.extra.get(GIT_COMMIT, "unknown"),
    }
