"""`vmstate verify`: can snapshots be trusted."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from vmstate_tools.checks.verdict import examine
from vmstate_tools.cli.options import json_option, quiet_option
from vmstate_tools.cli.progress import progress, total_bytes
from vmstate_tools.core.atomic import atomic_write
from vmstate_tools.core.errors import FormatError, UnsupportedError, UsageError
from vmstate_tools.reports import verify as report

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vmstate_tools.checks.verdict import Verdict

FINDINGS_EXIT_CODE = 1
STOPS = (FormatError, UnsupportedError, UsageError)
"""Why reading a snapshot may stop, worst first; each has its exit code."""


@click.command("verify")
@click.argument(
    "snapshots",
    metavar="SNAPSHOT...",
    nargs=-1,
    required=True,
    type=click.Path(path_type=Path, allow_dash=True),
)
@click.option("--deep", is_flag=True, help="Decode every field of every device too.")
@click.option(
    "--junit",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="Write a JUnit report for a CI system.",
)
@click.option("--force", is_flag=True, help="Replace the JUnit report if it exists.")
@quiet_option
@json_option
def command(
    snapshots: tuple[Path, ...],
    *,
    deep: bool,
    junit: Path | None,
    force: bool,
    quiet: bool,
    json_output: bool,
) -> None:
    """Check snapshots without starting a VM.

    The exit code tells whether they can be trusted. Looked at are framing and order of
    the stream, every page of memory, and device state against its description; of a snapshot
    directory also digests, the manifest, and whether its disks are there. A bad snapshot does not
    keep the others from being checked.
    """
    if junit is not None and junit.exists() and not force:
        raise UsageError(f"{junit}: exists already (--force replaces it)")
    verdicts = []
    with progress("checking", total_bytes(snapshots), quiet=quiet) as advance:
        verdicts += [examine(path, deep=deep, advance=advance) for path in snapshots]
    if junit is not None:
        with atomic_write(junit, force=force) as file:
            file.write(report.as_junit(verdicts))
    if json_output:
        click.echo(json.dumps(report.as_json(verdicts), indent=2))
    else:
        click.echo(report.as_text(verdicts))
    click.get_current_context().exit(_exit_code(verdicts))


def _exit_code(verdicts: Sequence[Verdict]) -> int:
    for kind in STOPS:
        if any(isinstance(verdict.stopped, kind) for verdict in verdicts):
            return kind.exit_code
    return 0 if all(verdict.ok for verdict in verdicts) else FINDINGS_EXIT_CODE
