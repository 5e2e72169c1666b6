"""How long a guest stood still, by QEMU's own time stamps: the same for everybody."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from plain_qmp import QmpEvent


@dataclass(frozen=True, slots=True, kw_only=True)
class Pause:
    """From STOP to RESUME, and what of it was what; in milliseconds."""

    total: float
    overlays: float
    """Until QEMU begins with `migrate`: switching the disks, and waiting for commands."""
    setup: float
    """QEMU touches all memory; before STOP if QEMU stops the guest by itself."""
    rest: float
    """Device state, write protection, and waiting for `cont`."""


def read_pause(events: Sequence[QmpEvent]) -> Pause:
    """Read it off the events of one snapshot."""
    stop = _when(events, "STOP")
    resume = _when(events, "RESUME")
    setup = max(stop, _when(events, "MIGRATION", "setup"))
    active = max(setup, _when(events, "MIGRATION", "active"))
    return Pause(
        total=(resume - stop) * 1e3,
        overlays=(setup - stop) * 1e3,
        setup=(active - setup) * 1e3,
        rest=(resume - active) * 1e3,
    )


def explain(pauses: Sequence[Pause]) -> str:
    """Say what the pauses consisted of, by medians."""
    overlays = median(pause.overlays for pause in pauses)
    setup = median(pause.setup for pause in pauses)
    rest = median(pause.rest for pause in pauses)
    return f"disks {overlays:.1f}, touching memory {setup:.1f}, state and protection {rest:.1f}"


def _when(events: Sequence[QmpEvent], name: str, status: str | None = None) -> float:
    return next(
        event.seconds
        for event in events
        if event.name == name and (status is None or event.data.get("status") == status)
    )
