"""What `vmstate snapshot` says when it is done."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vmstate_tools.reports.text import count_text, printable, seconds_text, size_text, table

if TYPE_CHECKING:
    from vmstate_tools.live.capture import Capture
    from vmstate_tools.snapshot.manifest import Downtime, Manifest

SCHEMA = "vmstate/snapshot/1"


def as_json(capture: Capture) -> dict[str, Any]:
    """Make the JSON document."""
    manifest = capture.manifest
    return {
        "schema": SCHEMA,
        "directory": str(capture.directory),
        "downtime_seconds": manifest.downtime.total_seconds if manifest.downtime else 0.0,
        "downtime": _downtime_json(manifest.downtime),
        "ran_while_paused_seconds": capture.ran_while_paused_seconds,
        "duration_seconds": manifest.duration_seconds,
        "bytes": _state_bytes(manifest),
        "bytes_per_second": round(_state_bytes(manifest) / manifest.duration_seconds),
        "spilled_bytes": capture.spilled_bytes,
        "pages_stored": manifest.totals.pages_stored,
        "pages_zero": manifest.totals.pages_zero,
        "device_bytes": manifest.totals.device_bytes,
        "disks": [
            {"node": disk.node, "frozen": disk.frozen.path, "overlay": disk.overlay.path}
            for disk in manifest.disks
        ],
        "skipped_disks": [
            {"node": disk.node, "reason": disk.reason} for disk in manifest.skipped_disks
        ],
    }


def as_text(capture: Capture) -> str:
    """Make a few aligned lines."""
    manifest = capture.manifest
    state_bytes = _state_bytes(manifest)
    rate = size_text(round(state_bytes / manifest.duration_seconds))
    totals = manifest.totals
    memory = (
        f"{count_text(totals.pages_stored, 'page')} stored, "
        f"{count_text(totals.pages_zero, 'page')} zero"
    )
    rows = [
        ["snapshot", printable(str(capture.directory))],
        ["pause", _pause_text(manifest.downtime)],
        ["duration", f"{seconds_text(manifest.duration_seconds)} ({rate}/s)"],
        ["size", size_text(state_bytes)],
        ["memory", memory],
        ["devices", size_text(totals.device_bytes)],
    ]
    for disk in manifest.disks:
        rows.append(["frozen", printable(disk.frozen.path)])
        rows.append(["overlay", printable(disk.overlay.path)])
    rows += [
        ["left out", f"{printable(disk.node)}: {printable(disk.reason)}"]
        for disk in manifest.skipped_disks
    ]
    return "\n".join([*table(rows, ["<", "<"]), *_remarks(capture)])


def _pause_text(downtime: Downtime | None) -> str:
    if downtime is None:
        return "none of ours (the VM was paused, and is)"
    parts = [
        (downtime.overlays_seconds, "overlays"),
        (downtime.setup_seconds, "setup"),
        (downtime.device_state_seconds, "device state"),
    ]
    named = ", ".join(f"{name} {seconds_text(seconds)}" for seconds, name in parts if seconds)
    return f"{seconds_text(downtime.total_seconds)} ({named})"


def _remarks(capture: Capture) -> list[str]:
    remarks = []
    if capture.ran_while_paused_seconds:
        span = seconds_text(capture.ran_while_paused_seconds)
        remarks.append(f"note: this QEMU let the paused VM run for {span} before we stopped it")
    if capture.spilled_bytes:
        size = size_text(capture.spilled_bytes)
        remarks.append(f"note: the target was slower than QEMU; {size} waited in a temporary file")
    return remarks


def _downtime_json(downtime: Downtime | None) -> dict[str, float] | None:
    if downtime is None:
        return None
    return {
        "total_seconds": downtime.total_seconds,
        "overlays_seconds": downtime.overlays_seconds,
        "setup_seconds": downtime.setup_seconds,
        "device_state_seconds": downtime.device_state_seconds,
    }


def _state_bytes(manifest: Manifest) -> int:
    return manifest.files[manifest.state.name].bytes
