"""Command lines for a restored VM: the recorded one made fit to run again, or the user's own."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from vmstate_tools.core.errors import UsageError
from vmstate_tools.qemu.images import FreshDisk, Replacement, replace_images
from vmstate_tools.qemu.options import CommandLine, Option
from vmstate_tools.qemu.outputs import Places, redirect_outputs
from vmstate_tools.qemu.properties import Properties, escape_commas

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

START_OPTIONS = frozenset({"S", "incoming"})
"""Ours to set: how the VM gets its state, and whether it runs then."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Adapted:
    """A command line with the disks of the restored VM, still without a way to load its state."""

    line: CommandLine
    notes: tuple[str, ...]
    """What the user should know about it, a line each."""
    missing: tuple[FreshDisk, ...] = ()
    """Disks that it does not name."""


def adapt_recorded(
    line: CommandLine,
    disks: Sequence[FreshDisk],
    *,
    machine: str,
    places: Places,
    working_directory: Path,
) -> Adapted:
    """Make the command line that a VM was started with run again, beside that VM.

    Args:
        machine: Versioned machine type; `pc` means another machine in another QEMU.
        places: Where files and sockets go that the original writes to or listens on.
        working_directory: What relative names start from.

    Raises:
        UsageError: a disk of the snapshot is not on the command line, or it needs something
            that only the program which started it had.
    """
    replacement = replace_images(_without(line, START_OPTIONS), disks, working_directory)
    if replacement.missing:
        problem = f"disk {replacement.missing[0].label} is not on the recorded command line"
        raise UsageError(f"{problem} (added while it ran? give one with it after --)")
    line, notes = redirect_outputs(replacement.line, places)
    line, more_notes = _drop_temporary_disks(line, replacement)
    line = _with_machine(line, machine)
    return Adapted(line=line, notes=(*notes, *more_notes, *_untouched_notes(replacement)))


def adapt_given(
    line: CommandLine, disks: Sequence[FreshDisk], *, qmp_socket: Path, working_directory: Path
) -> Adapted:
    """Change what must be changed in a command line that the user gave for the restore.

    Raises:
        UsageError: it asks for another start (`-loadvm`).
    """
    names = {option.name for option in line.options}
    if "loadvm" in names:
        raise UsageError("-loadvm on the command line: the state comes from the snapshot")
    notes = []
    if "daemonize" in names:
        notes.append("-daemonize left out: QEMU runs in the background anyway")
    ours = {f"unix:{escape_commas(str(qmp_socket))}", f"unix:{qmp_socket}"}
    line = _without(line, START_OPTIONS | {"daemonize"})
    kept = (
        option
        for option in line.options
        if option.name != "qmp" or (option.value or "").split(",server", 1)[0] not in ours
    )
    line = replace(line, options=tuple(kept))
    replacement = replace_images(line, disks, working_directory)
    notes += [
        f"disk {disk.label} of the snapshot is not on the command line"
        for disk in replacement.missing
    ]
    notes += _untouched_notes(replacement)
    return Adapted(line=replacement.line, notes=tuple(notes), missing=replacement.missing)


def with_start(line: CommandLine, *, qmp_socket: Path, incoming: str, stopped: bool) -> CommandLine:
    """Add what starts the VM from its state.

    Args:
        qmp_socket: QEMU listens there for one QMP client.
        incoming: Where the state comes from: `defer`, or a migration URI.
        stopped: Do not run the guest when the state is loaded.
    """
    added = [
        Option(name="qmp", value=f"unix:{escape_commas(str(qmp_socket))},server=on,wait=off"),
        *([Option(name="S")] if stopped else []),
        Option(name="incoming", value=incoming),
    ]
    return replace(line, options=(*line.options, *added))


def _without(line: CommandLine, names: frozenset[str]) -> CommandLine:
    kept = (option for option in line.options if option.name not in names)
    return replace(line, options=tuple(kept))


def _drop_temporary_disks(
    line: CommandLine, replacement: Replacement
) -> tuple[CommandLine, tuple[str, ...]]:
    """Leave out `-snapshot`, so that the overlays keep what the guest writes.

    It stays where it protects a disk that has no overlay.
    """
    without = _without(line, frozenset({"snapshot"}))
    if without == line:
        return line, ()
    if replacement.untouched:
        return line, ("-snapshot stays: what the guest writes is lost when QEMU ends",)
    return without, ("-snapshot left out: the guest writes to new overlays",)


def _with_machine(line: CommandLine, machine: str) -> CommandLine:
    options = []
    has_type = False
    for option in line.options:
        properties = Properties.parse("")
        if option.name in {"M", "machine"}:
            properties = Properties.parse(option.value or "", "type")
        if properties.has("type"):
            has_type = True
            value = properties.with_value("type", machine).to_text()
            options.append(replace(option, value=value))
        else:
            options.append(option)
    if not has_type:
        options.append(Option(name="machine", value=machine))
    return replace(line, options=tuple(options))


def _untouched_notes(replacement: Replacement) -> list[str]:
    return [
        f"{path} is not part of the snapshot: the guest gets it as it is now"
        for path in replacement.untouched
    ]
