"""Arguments and options that several commands share, so that they look alike everywhere."""

from __future__ import annotations

from pathlib import Path

import click

snapshot_argument = click.argument("snapshot", type=click.Path(path_type=Path, allow_dash=True))

json_option = click.option(
    "--json", "json_output", is_flag=True, help="Print one JSON document instead of text."
)

quiet_option = click.option("-q", "--quiet", is_flag=True, help="Show no progress.")

output_option = click.option(
    "-o",
    "--output",
    metavar="OUT",
    type=click.Path(path_type=Path, allow_dash=True),
    required=True,
    help="File to write; `-` is standard output.",
)

force_option = click.option("--force", is_flag=True, help="Replace OUT if it exists.")
