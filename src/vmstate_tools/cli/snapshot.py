"""`vmstate snapshot`: a background snapshot of a running VM."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from vmstate_tools.cli.options import json_option, quiet_option
from vmstate_tools.cli.progress import progress_towards
from vmstate_tools.live.capture import Progress, Request, capture
from vmstate_tools.reports import snapshot as report

if TYPE_CHECKING:
    from collections.abc import Callable

FOLDER = click.Path(path_type=Path, file_okay=False, exists=True)

GIVING_UP = "giving up; QEMU writes to the end, into nothing, because cancelling is not safe"


class _Watch:
    """Shows how far the snapshot is, or that it is given up."""

    def __init__(self, move_to: Callable[[int, int], object], *, quiet: bool) -> None:
        self._move_to = move_to
        self._told = quiet or not sys.stderr.isatty()

    def __call__(self, progress: Progress) -> None:
        self._move_to(progress.saved_bytes, progress.total_bytes)
        if progress.giving_up and not self._told:
            click.echo(f"\nvmstate: {GIVING_UP}", err=True)
            self._told = True


@click.command("snapshot")
@click.argument("qmp_socket", type=click.Path(path_type=Path))
@click.argument("directory", metavar="DIR", type=click.Path(path_type=Path))
@click.option(
    "--format",
    "state_format",
    type=click.Choice(["stream"]),
    default="stream",
    show_default=True,
    help="How the VM state is kept: the bytes that QEMU writes.",
)
@click.option(
    "--disks",
    default="all",
    show_default=True,
    metavar="all|none|NODE,…",
    help="Disks that get an overlay, by node name or device id. Read-only ones never do.",
)
@click.option(
    "--overlay-dir", type=FOLDER, help="Where the overlays go.  [default: each beside its disk]"
)
@click.option(
    "--spill-dir", type=FOLDER, help="Where data waits for a slow target.  [default: temporary]"
)
@click.option(
    "--timeout",
    "timeout_seconds",
    type=click.FloatRange(min=0, min_open=True),
    metavar="S",
    help="Give up after this many seconds of writing.",
)
@click.option("--ignore-space", is_flag=True, help="Start even if the state may not fit.")
@quiet_option
@json_option
def command(
    qmp_socket: Path,
    directory: Path,
    *,
    state_format: str,  # noqa: ARG001 (one choice so far)
    disks: str,
    overlay_dir: Path | None,
    spill_dir: Path | None,
    timeout_seconds: float | None,
    ignore_space: bool,
    quiet: bool,
    json_output: bool,
) -> None:
    """Take a snapshot of a running VM into the new directory DIR, without stopping it.

    The VM pauses for some milliseconds: its disks get overlays, its device state is stashed and
    its memory is write-protected; then it runs on while its memory is saved. QMP_SOCKET is a QMP
    Unix socket of its QEMU that no other program uses
    (-qmp unix:PATH,server=on,wait=off).

    If anything fails, the VM runs on as if nothing had happened.
    """
    request = Request(
        socket=qmp_socket,
        directory=directory,
        disks=disks,
        overlay_folder=overlay_dir,
        spill_folder=spill_dir,
        timeout_seconds=timeout_seconds,
        check_space=not ignore_space,
    )
    with progress_towards("saving", quiet=quiet) as move_to:
        result = capture(request, _Watch(move_to, quiet=quiet))
    if json_output:
        click.echo(json.dumps(report.as_json(result), indent=2))
    else:
        click.echo(report.as_text(result))
