"""What `vmstate restore` says when the VM is there, or what it would do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vmstate_tools.reports.text import printable, seconds_text, table

if TYPE_CHECKING:
    from vmstate_tools.live.eager import Restored
    from vmstate_tools.live.plan import Plan

SCHEMA = "vmstate/restore/1"


def as_json(restored: Restored) -> dict[str, Any]:
    """Make the JSON document of a restored VM."""
    return _document(restored.plan) | {
        "pid": restored.process.process_id,
        "paused": restored.is_paused,
        "seconds_to_running": round(restored.seconds_to_running, 6),
    }


def plan_as_json(plan: Plan, *, paused: bool) -> dict[str, Any]:
    """Make the JSON document of a restore that is not carried out."""
    return _document(plan) | {"pid": None, "paused": paused, "seconds_to_running": None}


def as_text(restored: Restored) -> str:
    """Make a few aligned lines."""
    plan = restored.plan
    state = "paused" if restored.is_paused else "running"
    rows = [
        [state, f"{seconds_text(restored.seconds_to_running)} after the start of QEMU"],
        ["process", str(restored.process.process_id)],
        ["qmp", printable(str(plan.qmp_socket))],
        ["files", printable(str(plan.places.files))],
    ]
    for overlay in plan.overlays:
        rows.append(["overlay", printable(str(overlay.path))])
        rows.append(["frozen", printable(overlay.frozen)])
    return "\n".join(table(rows, ["<", "<"]))


def plan_as_text(plan: Plan, *, paused: bool) -> str:
    """Make shell commands that do the same by hand."""
    return "\n".join(plan.to_shell(paused=paused))


def _document(plan: Plan) -> dict[str, Any]:
    return {
        "schema": SCHEMA,
        "mode": "eager",
        "qmp": str(plan.qmp_socket),
        "directory": str(plan.places.files),
        "argv": plan.to_argv(incoming="defer", stopped=True),
        "overlays": [
            {"overlay": str(overlay.path), "frozen": overlay.frozen} for overlay in plan.overlays
        ],
        "notes": list(plan.notes),
    }
