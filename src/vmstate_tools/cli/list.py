"""`vmstate list`: the snapshots in some directories."""

from __future__ import annotations

import json
from pathlib import Path

import click

from vmstate_tools.cli.options import json_option
from vmstate_tools.reports import list as report
from vmstate_tools.snapshot.catalogue import find_snapshots


@click.command("list")
@click.argument(
    "directories", metavar="DIR...", nargs=-1, required=True, type=click.Path(path_type=Path)
)
@json_option
def command(directories: tuple[Path, ...], *, json_output: bool) -> None:
    """List snapshot directories, and whether their disks are still there.

    DIR is a snapshot directory or a folder of them. Unfinished and damaged ones are named as such.
    """
    entries = find_snapshots(directories)
    if json_output:
        click.echo(json.dumps(report.as_json(entries), indent=2))
    elif entries:
        click.echo(report.as_text(entries))
    else:
        click.echo("vmstate: no snapshots here", err=True)
