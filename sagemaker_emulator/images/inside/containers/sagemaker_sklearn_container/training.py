"""What AWS's `train` calls in a scikit-learn container: a user's script."""

from sagemaker_training import entry_point, environment


def main() -> None:
    """Run the script; what goes wrong is raised, and the toolkit writes the failure file."""
    job = environment.Environment()
    entry_point.run(
        job.module_dir,
        job.user_entry_point,
        job.to_cmd_args(),
        job.to_env_vars(),
        capture_error=True,
    )
