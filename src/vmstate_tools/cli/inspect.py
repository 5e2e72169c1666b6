"""`vmstate inspect`: what is in a snapshot."""

from __future__ import annotations

import json
from contextlib import ExitStack
from typing import TYPE_CHECKING

import click

from vmstate_tools.cli.options import json_option, quiet_option, snapshot_argument
from vmstate_tools.cli.progress import progress, total_bytes
from vmstate_tools.core.errors import UnsupportedError
from vmstate_tools.device.address import find_field, parse_field_path, select_device, select_devices
from vmstate_tools.reports import inspect as report
from vmstate_tools.reports.fields import value_text
from vmstate_tools.snapshot.open import open_snapshot

if TYPE_CHECKING:
    from pathlib import Path

    from vmstate_tools.device.decode import DecodedDevice
    from vmstate_tools.device.values import Value
    from vmstate_tools.device.vmdesc import Vmdesc
    from vmstate_tools.snapshot.open import Snapshot


@click.command("inspect")
@snapshot_argument
@click.option("--sections", is_flag=True, help="List everything in the stream, in its order.")
@click.option("--ram", is_flag=True, help="List where the pages of guest memory are.")
@click.option(
    "--device", metavar="DEVICE", help="Decode every field of a device: `cpu`, or `cpu#0`."
)
@click.option("--field", metavar="FIELD", help="Print one value: `cpu#0::env.eip`.")
@quiet_option
@json_option
def command(
    snapshot: Path,
    *,
    sections: bool,
    ram: bool,
    device: str | None,
    field: str | None,
    quiet: bool,
    json_output: bool,
) -> None:
    """Show what is in a snapshot: machine, memory, devices and their fields.

    A FIELD is DEVICE::NAME::NAME..., with the names that --device shows, and `[i]` behind an
    array: cpu#0::env.segs[2]::base.
    """
    with ExitStack() as steps:
        with progress("reading", total_bytes([snapshot]), quiet=quiet) as advance:
            opened = steps.enter_context(
                open_snapshot(snapshot, on_passed=lambda _, start, end: advance(end - start))
            )
        decoded = {} if device is None else _decode(opened, device)
        value = None if field is None else _find_value(opened, field)
        if json_output:
            document = report.as_json(opened, str(snapshot), decoded, sections=sections, runs=ram)
            if value is not None:
                document["field"] = {"name": field, "value": value.to_plain()}
            click.echo(json.dumps(document, indent=2))
        elif value is not None:
            click.echo(value_text(value))
        elif decoded:
            click.echo("\n\n".join(report.device_as_text(item) for item in decoded.values()))
        elif sections:
            click.echo(report.sections_as_text(opened))
        else:
            click.echo(report.as_text(opened, str(snapshot), runs=ram))


def _decode(snapshot: Snapshot, name: str) -> dict[str, DecodedDevice]:
    """Decode the devices that `name` means, by label."""
    wanted = {device.label for device in select_devices(_require_description(snapshot), name)}
    decoded = {}
    for device in snapshot.devices:
        if device.label in wanted:
            values = snapshot.decode(device)
            assert values is not None, "it was found in the description"
            decoded[device.label] = values
    return decoded


def _find_value(snapshot: Snapshot, field: str) -> Value:
    path = parse_field_path(field)
    device = select_device(_require_description(snapshot), path.device)
    return find_field(_decode(snapshot, device.label)[device.label], path)


def _require_description(snapshot: Snapshot) -> Vmdesc:
    if snapshot.vmdesc is None:
        problem = "the stream has no description, so that fields cannot be decoded"
        raise UnsupportedError(problem, source=snapshot.source.name)
    return snapshot.vmdesc
