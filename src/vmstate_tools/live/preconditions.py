"""What must hold before a VM is touched; every obstacle is named, in words."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vmstate_tools.core.errors import QemuError, UsageError
from vmstate_tools.qemu.blocks import overlay_obstacle, read_disks
from vmstate_tools.qemu.identity import read_identity, read_untracked_devices
from vmstate_tools.qemu.migrate import ACTIVE, plan_background_snapshot, read_status

if TYPE_CHECKING:
    from pathlib import Path

    from vmstate_tools.qemu.blocks import Disk
    from vmstate_tools.qemu.identity import Identity
    from vmstate_tools.qemu.migrate import CapabilityChange
    from vmstate_tools.qemu.session import Session

STATE_MARGIN_BYTES = 128 << 20
"""Room for what is not main memory: video memory, ROMs, device state, the page headers."""

SUITABLE_STATES = {"running": True, "paused": False}
"""Run states in which QEMU can take a background snapshot, and whether the guest runs in them."""

STATE_REASONS = {
    "prelaunch": "it never ran, and QEMU would abort: let it run first",
    "inmigrate": "it waits for an incoming migration",
    "postmigrate": "it was migrated away: its disks belong to the destination",
    "suspended": "it sleeps, and QEMU would wake it",
    "guest-panicked": "its kernel panicked: use dump-guest-memory",
    "shutdown": "it has shut down",
    "io-error": "a disk failed: solve that and let it run first",
}
"""Why not in the others (QEMU 7.2 and 10.0 softmmu/runstate.c: transitions to `paused`)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DiskChoice:
    """Which disks get an overlay."""

    chosen: tuple[Disk, ...]
    left_out: tuple[tuple[Disk, str], ...]
    """Disks that get none, and why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What was found out about the VM; nothing of it has been changed yet."""

    identity: Identity
    was_running: bool
    capabilities: CapabilityChange
    disks: DiskChoice


async def make_plan(session: Session, directory: Path, *, disks: str, check_space: bool) -> Plan:
    """Look at the VM and find every obstacle.

    Args:
        directory: The snapshot directory to be; its parent must exist.
        disks: `all`, `none`, or the node names or device ids of some, with commas.

    Raises:
        QemuError: the VM, its QEMU or its host cannot do it; all obstacles are named.
        UsageError: `disks` names one that is not there.
    """
    identity = await read_identity(session)
    capabilities = await plan_background_snapshot(session)
    choice = choose_disks(await read_disks(session, identity.process_id), disks)
    state = (await session.execute("query-status"))["status"]
    obstacles = [
        *_state_obstacles(state),
        *await _migration_obstacles(session),
        *[
            f"{device}: writes guest memory behind QEMU's back"
            for device in await read_untracked_devices(session)
        ],
        *await _disk_obstacles(session, choice),
    ]
    if check_space:
        obstacles += _space_obstacles(directory, identity.memory_bytes)
    if obstacles:
        raise QemuError(f"no snapshot is possible: {'; '.join(obstacles)}")
    return Plan(
        identity=identity,
        was_running=SUITABLE_STATES[state],
        capabilities=capabilities,
        disks=choice,
    )


def choose_disks(disks: list[Disk], wanted: str) -> DiskChoice:
    """Say which disks get an overlay.

    Raises:
        UsageError: a name that no disk has, or a disk that is read-only.
    """
    if wanted not in {"all", "none"}:
        return _choose_named(disks, wanted.split(","))
    chosen, left_out = [], []
    for disk in disks:
        if disk.read_only:
            left_out.append((disk, "read-only"))
        elif wanted == "none":
            left_out.append((disk, "--disks none"))
        else:
            chosen.append(disk)
    return DiskChoice(chosen=tuple(chosen), left_out=tuple(left_out))


def _choose_named(disks: list[Disk], names: list[str]) -> DiskChoice:
    for name in names:
        found = [disk for disk in disks if name in {disk.node, disk.device}]
        if not found:
            known = ", ".join(sorted(disk.device or disk.node for disk in disks)) or "none"
            raise UsageError(f"--disks {name}: the VM has no such disk (it has: {known})")
        if found[0].read_only:
            raise UsageError(f"--disks {name}: the disk is read-only")
    chosen = [disk for disk in disks if {disk.node, disk.device} & set(names)]
    left_out = [(disk, "not named by --disks") for disk in disks if disk not in chosen]
    return DiskChoice(chosen=tuple(chosen), left_out=tuple(left_out))


def _state_obstacles(state: str) -> list[str]:
    if state in SUITABLE_STATES:
        return []
    return [f"the VM is in state {state}: {STATE_REASONS.get(state, 'QEMU cannot stop it now')}"]


async def _migration_obstacles(session: Session) -> list[str]:
    status = await read_status(session)
    obstacles = [reason.rstrip(".") for reason in status.blockers]
    if status.state in ACTIVE:
        obstacles.append(f"a migration is under way ({status.state})")
    return obstacles


async def _disk_obstacles(session: Session, choice: DiskChoice) -> list[str]:
    obstacles = [
        f"{disk.label}: {obstacle} (or leave its disk out: --disks)"
        for disk in choice.chosen
        if (obstacle := overlay_obstacle(disk))
    ]
    if choice.chosen:
        jobs = await session.execute("query-block-jobs")
        obstacles += [f"block job {job['device']} ({job['type']}) is running" for job in jobs]
    return obstacles


def _space_obstacles(directory: Path, memory_bytes: int) -> list[str]:
    needed = memory_bytes + memory_bytes // 512 + STATE_MARGIN_BYTES
    free = shutil.disk_usage(directory.parent).free
    if free >= needed:
        return []
    need, have = needed >> 20, free >> 20
    problem = f"{directory.parent} has {have} MiB free, and the state may need {need} MiB"
    return [f"{problem} (--ignore-space goes ahead)"]
