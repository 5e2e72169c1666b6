"""`vmstate restore`: start QEMU from a snapshot."""

from __future__ import annotations

import json
from pathlib import Path

import click

from vmstate_tools.cli.options import json_option, quiet_option, snapshot_argument
from vmstate_tools.cli.progress import progress
from vmstate_tools.core.errors import UsageError
from vmstate_tools.live.eager import restore_eager
from vmstate_tools.live.plan import Plan, Request, plan_restore
from vmstate_tools.reports import restore as report
from vmstate_tools.reports.text import printable

MODES = ("auto", "eager", "instant", "lazy")


@click.command("restore")
@snapshot_argument
@click.argument("qemu_argv", metavar="[-- QEMU ARG...]", nargs=-1, type=click.UNPROCESSED)
@click.option(
    "--mode",
    type=click.Choice(MODES),
    default="auto",
    show_default=True,
    help="How memory gets there: eager loads all of it first; auto picks what is fastest.",
)
@click.option("--paused", is_flag=True, help="Load the state, but do not let the guest run.")
@click.option(
    "--qmp",
    "qmp_socket",
    type=click.Path(path_type=Path),
    help="Where the new QEMU listens for QMP.  [default: in its run directory]",
)
@click.option(
    "--work-dir",
    "directory",
    type=click.Path(path_type=Path),
    help="New directory for overlays, socket and logs.  [default: SNAPSHOT.restored-N]",
)
@click.option("--dry-run", is_flag=True, help="Print the commands instead of running them.")
@quiet_option
@json_option
def command(
    snapshot: Path,
    qemu_argv: tuple[str, ...],
    *,
    mode: str,
    paused: bool,
    qmp_socket: Path | None,
    directory: Path | None,
    dry_run: bool,
    quiet: bool,
    json_output: bool,
) -> None:
    """Start QEMU from a snapshot; it goes on after this command ends.

    QEMU gets the recorded command line, or the one given after -- (the binary first). Disks of the
    snapshot are replaced by new overlays on their frozen layers, so the snapshot stays as it is.
    Files, sockets and ports that belong to the original VM are replaced too on the recorded
    command line; notes on stderr say by what.
    """
    if mode not in {"auto", "eager"}:
        raise UsageError(f"--mode {mode} comes in a later version; this one has eager")
    plan = plan_restore(
        Request(
            snapshot=snapshot, argv=qemu_argv or None, directory=directory, qmp_socket=qmp_socket
        )
    )
    for note in plan.notes if not quiet else ():
        click.echo(f"vmstate: note: {printable(note)}", err=True)
    if dry_run:
        _print_plan(plan, paused=paused, json_output=json_output)
        return
    with progress("loading", plan.state.stat().st_size, quiet=quiet) as advance:
        restored = restore_eager(plan, paused=paused, on_progress=advance)
    if json_output:
        click.echo(json.dumps(report.as_json(restored), indent=2))
    else:
        click.echo(report.as_text(restored))


def _print_plan(plan: Plan, *, paused: bool, json_output: bool) -> None:
    if json_output:
        click.echo(json.dumps(report.plan_as_json(plan, paused=paused), indent=2))
    else:
        click.echo(report.plan_as_text(plan, paused=paused))
