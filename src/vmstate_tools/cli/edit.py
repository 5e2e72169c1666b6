"""`vmstate edit`: set fields of a snapshot."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from vmstate_tools.cli.options import (
    force_option,
    json_option,
    output_option,
    quiet_option,
    snapshot_argument,
)
from vmstate_tools.cli.output import open_output, refuse_json_beside_stream
from vmstate_tools.cli.progress import progress, total_bytes
from vmstate_tools.core.errors import UsageError
from vmstate_tools.reports import edit as report
from vmstate_tools.snapshot.edit import edited_pieces, parse_assignment, plan_edits
from vmstate_tools.snapshot.open import open_snapshot
from vmstate_tools.stream.writer import write_pieces

if TYPE_CHECKING:
    from pathlib import Path


@click.command("edit")
@snapshot_argument
@click.option(
    "--set",
    "settings",
    metavar="FIELD=VALUE",
    multiple=True,
    required=True,
    help="What to set, and to what; may be given many times.",
)
@output_option
@force_option
@quiet_option
@json_option
def command(
    snapshot: Path,
    *,
    settings: tuple[str, ...],
    output: Path,
    force: bool,
    quiet: bool,
    json_output: bool,
) -> None:
    """Set fields of devices in a new stream that still loads.

    A FIELD is DEVICE::NAME::NAME..., as `vmstate inspect --device` shows it. `machine` is the
    machine type, `globalstate` the run state. A VALUE is a number (decimal, or 0x and hex digits),
    true or false, or for bytes as many hex digits as there are.
    """
    assignments = [parse_assignment(setting) for setting in settings]
    refuse_json_beside_stream(output, json_output=json_output)
    with open_output(output, force=force) as out, open_snapshot(snapshot) as opened:
        if not opened.source.searchable:
            raise UsageError(f"{snapshot} is read only once, so it cannot be edited; save it first")
        edits = plan_edits(opened, assignments)
        with progress("writing", total_bytes([snapshot]), quiet=quiet) as advance:
            size = write_pieces(opened.source, edited_pieces(opened, edits), out, advance)
    if json_output:
        click.echo(json.dumps(report.as_json(edits, str(snapshot), str(output), size), indent=2))
    elif str(output) != "-":
        click.echo(report.as_text(edits))
