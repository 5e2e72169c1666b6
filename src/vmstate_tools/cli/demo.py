"""`vmstate demo`: the whole story on a guest of our own."""

from __future__ import annotations

import os
import shlex
import shutil
import tempfile
import textwrap
import time
from contextlib import ExitStack, chdir, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from vmstate_tools.checks.verdict import examine
from vmstate_tools.core.errors import UsageError, VmstateError
from vmstate_tools.guest.disks import check_disk, read_disk_counter
from vmstate_tools.guest.pattern import check_memory
from vmstate_tools.live import demo
from vmstate_tools.live.capture import Capture, capture
from vmstate_tools.live.capture import Request as CaptureRequest
from vmstate_tools.live.eager import restore_eager
from vmstate_tools.live.plan import Request, plan_restore
from vmstate_tools.reports import inspect as inspect_report
from vmstate_tools.reports import restore as restore_report
from vmstate_tools.reports import snapshot as snapshot_report
from vmstate_tools.reports import verify as verify_report
from vmstate_tools.reports.text import seconds_text
from vmstate_tools.snapshot.open import open_snapshot

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from vmstate_tools.guest.state import GuestState

SNAPSHOT = Path("monday")

WIDTH = 78

SHOWN_LINES = 28
"""How much of a long report is shown."""

MAX_NUMBERS = 12


@click.command("demo")
@click.option(
    "--keep",
    metavar="DIR",
    type=click.Path(path_type=Path),
    help="Make everything in this new directory, and leave it there.",
)
def command(keep: Path | None) -> None:
    """Show a snapshot being taken, read, checked and restored, on a guest of our own.

    Takes some seconds, and needs nothing but QEMU.
    """
    started = time.monotonic()
    demo.check_programs()
    with _folder(keep) as folder, chdir(folder), ExitStack() as running:
        original = _show_guest(folder, running)
        taken = _show_snapshot(original)
        _show_inspect()
        _show_verify()
        restored = _show_restore(running)
        state = _show_moment(taken)
        _show_counters(original, restored, state)
    click.echo(
        f"\nThat was all, in {seconds_text(time.monotonic() - started)}. Both VMs are ended."
    )
    if keep is not None:
        click.echo(
            f"Their files are in {keep}; vmstate restore {keep / SNAPSHOT} starts one again."
        )


def _show_guest(folder: Path, running: ExitStack) -> demo.Console:
    _step(
        1,
        "A virtual machine that is busy",
        "Its guest is built in: it writes a number to every page of its memory and to both of "
        "its disks, prints it, and goes on with the next. It never stands still.",
    )
    demo.make_disks(folder)
    _run(demo.ARGV)
    console = demo.start_guest(folder)
    running.callback(console.process.kill)
    ticks = console.wait_for(3)
    _output("\n".join(f"tick {number}" for number in ticks))
    return console


def _show_snapshot(original: demo.Console) -> Capture:
    _step(
        2,
        "A snapshot, while it runs",
        "The VM pauses for some milliseconds. Then it runs on, on new overlays of its disks, "
        "while QEMU saves its memory as it was at that moment.",
    )
    _run(["vmstate", "snapshot", demo.QMP_NAME, str(SNAPSHOT)])
    request = CaptureRequest(socket=Path(demo.QMP_NAME), directory=SNAPSHOT)
    taken = capture(request, lambda _: None)
    _output(snapshot_report.as_text(taken))
    latest = original.wait_for(len(original.ticks()) + 1)[-1]
    click.echo(f"\nThe guest did not notice: it has counted on to {latest}.")
    return taken


def _show_inspect() -> None:
    _step(3, "What is in it", "Memory, page by page, and every register of every device, by name.")
    _run(["vmstate", "inspect", str(SNAPSHOT)])
    with open_snapshot(SNAPSHOT) as snapshot:
        _output(inspect_report.as_text(snapshot, str(SNAPSHOT), runs=False))


def _show_verify() -> None:
    _step(4, "Can it be trusted?", "Every byte is looked at; scripts get an exit code.")
    _run(["vmstate", "verify", str(SNAPSHOT)])
    verdict = examine(SNAPSHOT)
    _output(verify_report.as_text([verdict]))
    if not verdict.ok:
        raise VmstateError("the snapshot of the demonstration is damaged; please report this")


def _show_restore(running: ExitStack) -> demo.Console:
    _step(
        5,
        "A second VM, from the snapshot",
        "QEMU loads the state and goes on from there, beside the original. It writes to "
        "overlays of its own, so the snapshot can be restored as often as you like.",
    )
    _run(["vmstate", "restore", str(SNAPSHOT)])
    plan = plan_restore(Request(snapshot=SNAPSHOT))
    restored = restore_eager(plan, paused=False, on_progress=lambda _: None)
    if plan.places.sockets != plan.places.files:  # a deep folder: they are in one of their own
        running.callback(shutil.rmtree, plan.places.sockets, ignore_errors=True)
    running.callback(restored.process.kill)
    _output(restore_report.as_text(restored))
    return demo.Console(process=restored.process, log=plan.places.files / "serial0.log")


def _show_moment(taken: Capture) -> GuestState:
    _step(
        6,
        "Is it really of one moment?",
        "Every page and every disk tells which number was written there last. In a torn "
        "snapshot they would be of moments that never met.",
    )
    with open_snapshot(SNAPSHOT) as snapshot:
        memory = snapshot.memory
        verdict = check_memory(lambda address, size: memory.read("pc.ram", address, size))
    click.echo(f"memory  {verdict}")
    disks = [
        (disk.node, check_disk(verdict.state, read_disk_counter(Path(disk.frozen.path), "qcow2")))
        for disk in taken.manifest.disks
    ]
    for node, disk_verdict in disks:
        click.echo(f"{node:<7} {disk_verdict}")
    if not verdict.one_moment or not all(disk.one_moment for _, disk in disks):
        raise VmstateError("the snapshot of the demonstration is torn; please report this")
    return verdict.state


def _show_counters(original: demo.Console, restored: demo.Console, state: GuestState) -> None:
    _step(
        7,
        "Two guests, one past",
        f"The snapshot was taken while the guest wrote {state.counter}. The copy goes on from "
        "there; the original never stopped.",
    )
    copy = restored.wait_for(3)
    ticks = original.ticks()
    click.echo(f"original  {_numbers(ticks)}")
    click.echo(f"restored  {_numbers(copy)}")
    if copy[0] not in {state.counter, state.counter + 1} or ticks != list(
        range(ticks[0], ticks[0] + len(ticks))
    ):
        raise VmstateError("a guest of the demonstration lost its count; please report this")


@contextmanager
def _folder(keep: Path | None) -> Iterator[Path]:
    """Make a folder, and remove it afterwards unless it is to be kept."""
    if keep is None:
        folder = Path(tempfile.mkdtemp(prefix="vmstate-demo-"))
    else:
        folder = keep.absolute()
        try:
            folder.mkdir()
        except OSError as error:
            raise UsageError(f"{keep}: {os.strerror(error.errno or 0)}") from error
    try:
        yield folder
    finally:
        if keep is None:
            shutil.rmtree(folder, ignore_errors=True)


def _step(number: int, title: str, explanation: str) -> None:
    click.echo(f"\n{click.style(f'{number}. {title}', bold=True)}")
    click.echo(textwrap.fill(explanation, WIDTH))
    click.echo()


def _run(words: Sequence[str]) -> None:
    """Show a command as one could type it, each option beside its value."""
    lines = ["$"]
    for option in shlex.join(words).replace(" -", "\n-").splitlines():
        if len(lines[-1]) + len(option) + len(" \\") >= WIDTH:
            lines[-1] += " \\"
            lines.append("   ")
        lines[-1] += f" {option}"
    for line in lines:
        click.secho(line, fg="green")


def _output(text: str) -> None:
    lines = text.splitlines()
    click.echo("\n".join(lines[:SHOWN_LINES]))
    if len(lines) > SHOWN_LINES:
        click.echo(f"... and {len(lines) - SHOWN_LINES} more lines")


def _numbers(numbers: Sequence[int]) -> str:
    """Return all of a few numbers, and the ends of many."""
    shown: list[object] = list(numbers)
    if len(shown) > MAX_NUMBERS:
        shown[3:-3] = ["..."]
    return " ".join(map(str, shown))
