"""Options that several commands share."""

import os
from pathlib import Path

import click


def _writable(_: click.Context, __: click.Parameter, summary: Path | None) -> Path | None:
    """Refuse now what would fail when the run is over; click looked at a file that exists."""
    if summary is None or os.access(summary, os.F_OK):
        return summary
    folder = summary.absolute().parent
    if not folder.is_dir():
        raise click.BadParameter(f"there is no folder {folder}")
    if not os.access(folder, os.W_OK):
        raise click.BadParameter(f"nothing can be written to {folder}")
    return summary


SUMMARY = click.option(
    "--summary",
    type=click.Path(path_type=Path, dir_okay=False, writable=True),
    callback=_writable,
    help="Write the result as JSON here.",
)
