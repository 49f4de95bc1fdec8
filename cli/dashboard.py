"""`run.py dashboard [--stop]`: ZenML's dashboard and MLflow's UI in the background."""

import click

from cli.environment import DASHBOARD_STATE, EMULATOR_STATE, heavy_imports
from cli.stacks import reach_stack
from stacks import dashboard, emulation
from stacks.files import is_emulated, load_stack


@click.command("dashboard")
@click.option("--stop", "stopping", is_flag=True, help="Stop what runs.")
@click.option("--stack", default="local", show_default=True, help="Whose MLflow to show.")
def command(stopping: bool, stack: str) -> None:
    """Open ZenML's dashboard and MLflow's UI in the background on free ports."""
    if stopping:
        stopped = dashboard.stop(state=DASHBOARD_STATE)
        click.echo(f"stopped {', '.join(stopped)}" if stopped else "nothing was running")
        return
    reach_stack(stack)
    stack_file = load_stack(stack)
    with heavy_imports():
        from registry.active import tracking_uri
        from stacks import registration
    with registration.using(stack_file):
        servers = dashboard.start(state=DASHBOARD_STATE, mlflow_uri=tracking_uri())
    click.echo(f"ZenML   {servers.zenml_url}")
    click.echo(f"MLflow  {servers.mlflow_url}")
    if is_emulated(stack):
        file = emulation.variables_file(EMULATOR_STATE)
        click.echo(f"ZenML's user is `default`; the password is ZENML_STORE_PASSWORD in {file}")
        click.echo("They run until `python run.py emulator down`.")
    else:
        click.echo("They run until `python run.py dashboard --stop`.")
