"""What came of a snapshot: is it whole, how long was the pause, what goes into the manifest."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from vmstate_tools.core.errors import QemuError
from vmstate_tools.snapshot import manifest as written

if TYPE_CHECKING:
    from vmstate_tools.live.moment import Moment
    from vmstate_tools.live.preconditions import Plan
    from vmstate_tools.qemu.overlays import Overlay
    from vmstate_tools.qemu.session import Event
    from vmstate_tools.snapshot.open import Snapshot


def measure_downtime(moment: Moment, events: list[Event]) -> written.Downtime | None:
    """Read the pause off the time stamps of QEMU's events: STOP to RESUME.

    `setup` is QEMU touching all of memory, `device state` saves the devices and protects memory.
    Without an outer stop, QEMU does the first before it stops the guest. None if the VM was paused.
    """
    if not moment.was_running:
        return None
    ours = events[moment.first_event :]
    stop = _when(ours, "STOP")
    resume = _when(ours, "RESUME")
    # QEMU reports `setup` when it begins with `migrate`, which is when the transaction is done.
    setup = max(_when(ours, "MIGRATION", "setup"), stop)
    active = max(_when(ours, "MIGRATION", "active"), setup)
    return written.Downtime(
        total_seconds=_seconds(resume - stop),
        overlays_seconds=_seconds(setup - stop),
        setup_seconds=_seconds(active - setup),
        device_state_seconds=_seconds(resume - active),
    )


def measure_run(moment: Moment, events: list[Event]) -> float | None:
    """Say how long QEMU let a VM run that was paused; None if it did not, or was not."""
    if moment.was_running:
        return None
    ours = events[moment.first_event :]
    resume = _when(ours, "RESUME")
    return _seconds(_when(ours, "STOP") - resume) if resume else None


def check_whole(snapshot: Snapshot) -> None:
    """Make sure that the stream which QEMU completed can be restored.

    Raises:
        QemuError: something is missing from it.
    """
    # The unplugged part of a virtio-mem device is not saved: QEMU 7.2 hw/virtio/virtio-mem.c.
    plugged = not any("virtio-mem" in device.name for device in snapshot.devices)
    for block in snapshot.ram.blocks:
        absent = snapshot.ram.counts(block.name).absent
        if absent and plugged:
            problem = f"QEMU left out {absent} pages of RAM block {block.name}"
            raise QemuError(problem)
    if snapshot.description is None:
        raise QemuError("QEMU wrote no description of the devices")


def build_manifest(
    *,
    plan: Plan,
    overlays: list[Overlay],
    snapshot: Snapshot,
    state: tuple[str, written.FileDigest],
    downtime: written.Downtime | None,
    duration_seconds: float,
) -> written.Manifest:
    """Write down what was snapshotted, when and how.

    Args:
        state: Name of the state file and its digest.
    """
    identity = plan.identity
    name, digest = state
    return written.Manifest(
        created=datetime.now(UTC),
        state=written.StateFile(name=name, format="stream"),
        files={name: digest},
        qemu=written.Qemu(
            version=identity.version,
            package=identity.package,
            binary=identity.binary,
            argv=identity.arguments,
            working_directory=identity.working_directory,
        ),
        machine=identity.machine,
        accelerator=identity.accelerator,
        cpu_model=identity.cpu_model,
        page_size=snapshot.ram.page_size,
        ram_blocks=tuple(
            written.RamBlock(name=block.name, size=block.size) for block in snapshot.ram.blocks
        ),
        vm_name=identity.name,
        vm_uuid=identity.uuid,
        was_running=plan.was_running,
        downtime=downtime,
        duration_seconds=_seconds(duration_seconds),
        totals=_totals(snapshot),
        disks=tuple(_disk(overlay) for overlay in overlays),
        skipped_disks=tuple(
            written.SkippedDisk(node=disk.node, reason=reason)
            for disk, reason in plan.disks.left_out
        ),
    )


def _totals(snapshot: Snapshot) -> written.Totals:
    counts = [snapshot.ram.counts(block.name) for block in snapshot.ram.blocks]
    return written.Totals(
        pages_stored=sum(block.stored for block in counts),
        pages_zero=sum(block.zero for block in counts),
        device_bytes=snapshot.device_bytes,
    )


def _disk(overlay: Overlay) -> written.Disk:
    disk = overlay.disk
    frozen, *below = disk.chain
    size = disk.virtual_size_bytes
    return written.Disk(
        node=disk.node,
        device=disk.device,
        frozen=written.Layer(path=frozen.path, format=disk.format, virtual_size=size),
        overlay=written.Overlay(path=str(overlay.path), node=overlay.node),
        backing_chain=tuple(written.Layer(path=layer.path, format=layer.format) for layer in below),
    )


def _when(events: list[Event], name: str, status: str | None = None) -> float:
    """Host time of the first such event; 0 when there is none."""
    for event in events:
        if event.name == name and status in {None, event.data.get("status")}:
            return event.host_seconds
    return 0.0


def _seconds(value: float) -> float:
    """Microseconds are what QEMU's time stamps have."""
    return round(max(value, 0.0), 6)
