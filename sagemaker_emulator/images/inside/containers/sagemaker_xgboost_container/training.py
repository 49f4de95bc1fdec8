"""What AWS's `train` calls in an XGBoost container: a user's script, or the built-in algorithm."""

import logging
from pathlib import Path

from sagemaker_algorithm_toolkit.exceptions import BaseToolkitError
from sagemaker_training import entry_point, environment


def main() -> None:
    """Train; what goes wrong is raised, and the toolkit writes it into the failure file."""
    job = environment.Environment()
    if job.user_entry_point:
        logging.info("Invoking user training script.")
        entry_point.run(
            job.module_dir,
            job.user_entry_point,
            job.to_cmd_args(),
            job.to_env_vars(),
            capture_error=True,
        )
        return
    logging.info("Running XGBoost Sagemaker in algorithm mode")
    from sagemaker_xgboost_container import algorithm

    try:
        algorithm.run(Path(environment.base_dir))
    except BaseToolkitError as error:
        # FailureReason has 1,024 characters, and the calls that led here are nobody's business.
        raise error.with_traceback(None) from None
