"""`vmstate convert`: the same state in another form."""

from __future__ import annotations

import json
from pathlib import Path

import click

from vmstate_tools.cli.options import force_option, json_option, quiet_option
from vmstate_tools.cli.output import open_output, refuse_json_beside_stream
from vmstate_tools.cli.progress import progress
from vmstate_tools.core.errors import UsageError
from vmstate_tools.reports import convert as report
from vmstate_tools.snapshot.normalise import find_lost_pages, normalised_pieces
from vmstate_tools.snapshot.open import open_snapshot
from vmstate_tools.stream.writer import write_pieces

PATH = click.Path(path_type=Path, allow_dash=True)


@click.command("convert")
@click.argument("source", metavar="SRC", type=PATH)
@click.argument("target", metavar="DST", type=PATH)
@click.option(
    "--to",
    "container",
    type=click.Choice(["stream"]),
    required=True,
    help="What to make: a stream with every page once, in order of address.",
)
@force_option
@quiet_option
@json_option
def command(
    source: Path, target: Path, *, container: str, force: bool, quiet: bool, json_output: bool
) -> None:
    """Write a snapshot in another form: every page of memory once.

    DST may be `-`, standard output. A stream gets every page plain and in order of
    address, whatever a live migration has sent again, as a difference or compressed; pages at
    fixed places (mapped-ram) are put one behind the other. It loads like the original.
    """
    refuse_json_beside_stream(target, json_output=json_output)
    with open_output(target, force=force) as out, open_snapshot(source) as opened:
        if not opened.source.searchable:
            raise UsageError(f"{source} is read only once, so it cannot be sorted; save it first")
        recovered = find_lost_pages(opened)
        source_bytes = opened.source.size_to_end()
        with progress("writing", source_bytes, quiet=quiet) as advance:
            size = write_pieces(opened.source, normalised_pieces(opened), out, advance)
        done = report.Conversion(
            file=str(source),
            output=str(target),
            container=container,
            source_bytes=source_bytes,
            size_bytes=size,
            repeated_pages=sum(opened.ram.counts(one.name).repeated for one in opened.ram.blocks),
            recovered_pages=recovered,
        )
    if json_output:
        click.echo(json.dumps(report.as_json(done), indent=2))
    elif str(target) != "-":
        click.echo(report.as_text(done))
