"""What `vmstate list` says: one line, or one object, for every snapshot directory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vmstate_tools.reports.text import printable, seconds_text, size_text, table
from vmstate_tools.snapshot.manifest import is_file_path
from vmstate_tools.snapshot.pairing import is_disk_whole
from vmstate_tools.snapshot.typed_json import to_json

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vmstate_tools.snapshot.catalogue import Entry

SCHEMA = "vmstate/list/1"
HEADINGS = ["SNAPSHOT", "TAKEN", "MACHINE", "MEMORY", "SIZE", "PAUSE", "DISKS"]


def as_json(entries: Sequence[Entry]) -> dict[str, Any]:
    """Make the JSON document."""
    return {"schema": SCHEMA, "snapshots": [_entry_json(entry) for entry in entries]}


def as_text(entries: Sequence[Entry]) -> str:
    """Make a table, and below it a line for everything that is wrong."""
    rows = [_row(entry) for entry in entries if entry.manifest is not None]
    lines = table([HEADINGS, *rows], ["<", "<", "<", ">", ">", ">", "<"]) if rows else []
    for entry in entries:
        name = printable(str(entry.directory))
        lines += [f"{name}: {printable(text)}" for text in _remarks(entry)]
    return "\n".join(lines)


def _row(entry: Entry) -> list[str]:
    manifest = entry.manifest
    assert manifest is not None
    return [
        printable(entry.directory.name or str(entry.directory)),
        f"{manifest.created.astimezone():%Y-%m-%d %H:%M:%S}",
        printable(manifest.machine),
        size_text(sum(block.size for block in manifest.ram_blocks)),
        size_text(sum(digest.bytes for digest in manifest.files.values())),
        seconds_text(manifest.downtime.total_seconds) if manifest.downtime else "-",
        _disks_text(entry),
    ]


def _disks_text(entry: Entry) -> str:
    assert entry.manifest is not None
    disks = entry.manifest.disks
    broken = len({problem.node for problem in entry.problems} & {disk.node for disk in disks})
    if not disks:
        return "none"
    return f"{len(disks)}, {broken} broken" if broken else f"{len(disks)}, ok"


def _remarks(entry: Entry) -> list[str]:
    if entry.error is not None:
        return [f"{entry.state}: {entry.error}"]
    return [
        f"{f'disk {problem.node}: ' if problem.node else ''}{problem.path} {problem.problem}"
        for problem in entry.problems
    ]


def _entry_json(entry: Entry) -> dict[str, Any]:
    document: dict[str, Any] = {"directory": str(entry.directory), "state": entry.state}
    manifest = entry.manifest
    if manifest is None:
        return document | {"error": entry.error}
    return document | {
        "created": to_json(manifest.created),
        "machine": manifest.machine,
        "vm_name": manifest.vm_name,
        "vm_uuid": manifest.vm_uuid,
        "was_running": manifest.was_running,
        "memory_bytes": sum(block.size for block in manifest.ram_blocks),
        "bytes": sum(digest.bytes for digest in manifest.files.values()),
        "downtime_seconds": manifest.downtime and manifest.downtime.total_seconds,
        "duration_seconds": manifest.duration_seconds,
        "base": manifest.base and manifest.base.path,
        "pairing": "broken" if entry.problems else "ok",
        "disks": [
            {
                "node": disk.node,
                "device": disk.device,
                "frozen": disk.frozen.path,
                "overlay": disk.overlay.path,
                "checked": is_file_path(disk.frozen.path),
                "ok": is_disk_whole(disk),
            }
            for disk in manifest.disks
        ],
        "problems": [to_json(problem) for problem in entry.problems],
    }
