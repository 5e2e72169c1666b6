"""Migration of one QEMU: capabilities that are put back afterwards, and where it stands."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from vmstate_tools.core.errors import QemuError
from vmstate_tools.qemu.session import QmpCommandError

if TYPE_CHECKING:
    from vmstate_tools.qemu.session import Session

BACKGROUND_SNAPSHOT = "background-snapshot"

INCOMPATIBLE = frozenset(
    {
        "auto-converge",
        "compress",
        "dirty-bitmaps",
        "late-block-activate",
        "mapped-ram",
        "multifd",
        "pause-before-switchover",
        "postcopy-blocktime",
        "postcopy-preempt",
        "postcopy-ram",
        "rdma-pin-all",
        "release-ram",
        "return-path",
        "switchover-ack",
        "validate-uuid",
        "x-colo",
        "x-ignore-shared",
        "xbzrle",
        "zero-copy-send",
    }
)
"""Capabilities that do not go with a background snapshot: QEMU 7.2 and 10.0 migration/options.c
INCOMPATIBLE_SET refuses most. `mapped-ram` it accepts, and writes a file that restores to zeros;
with `x-ignore-shared` it leaves shared memory out of the snapshot."""

ACTIVE = frozenset(
    {
        "active",
        "cancelling",
        "colo",
        "device",
        "postcopy-active",
        "postcopy-paused",
        "postcopy-recover",
        "postcopy-recover-setup",
        "pre-switchover",
        "setup",
        "wait-unplug",
    }
)
"""States of a migration that is under way: QEMU 10.0 qapi/migration.json, MigrationStatus."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CapabilityChange:
    """What was switched, and what to send to have it as it was."""

    wanted: list[dict[str, Any]]
    before: list[dict[str, Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class MigrationStatus:
    """An answer to query-migrate."""

    state: str
    """`none` when there was no migration yet."""
    page_count: int
    """Page records that have been sent: zero until memory is protected."""
    total_bytes: int
    """Guest memory in all RAM blocks."""
    remaining_bytes: int
    """What of it has not been sent."""
    error: str | None
    blockers: tuple[str, ...]


async def plan_background_snapshot(session: Session) -> CapabilityChange:
    """Compare the capabilities that a background snapshot needs with those that are set.

    Raises:
        QemuError: this QEMU has no background snapshots.
    """
    answer = await session.execute("query-migrate-capabilities")
    states = {entry["capability"]: entry["state"] for entry in answer}
    if BACKGROUND_SNAPSHOT not in states:
        problem = "this QEMU has no migration capability background-snapshot (it came with 6.0)"
        raise QemuError(f"{session.path}: {problem}")
    wanted = dict.fromkeys(sorted(INCOMPATIBLE & states.keys()), False)
    wanted |= {BACKGROUND_SNAPSHOT: True, "events": True}
    changes = [name for name, state in wanted.items() if states[name] != state]
    return CapabilityChange(
        wanted=[{"capability": name, "state": wanted[name]} for name in changes],
        before=[{"capability": name, "state": states[name]} for name in changes],
    )


async def apply_capabilities(session: Session, change: CapabilityChange) -> None:
    """Switch the capabilities; setting background-snapshot makes QEMU probe kernel and memory.

    Raises:
        QemuError: QEMU refused; the message says what that means for the user.
    """
    try:
        await set_capabilities(session, change.wanted)
    except QmpCommandError as error:
        raise QemuError(_explain_refusal(error.reason)) from error


async def set_capabilities(session: Session, capabilities: list[dict[str, Any]]) -> None:
    """Send migrate-set-capabilities."""
    await session.execute("migrate-set-capabilities", {"capabilities": capabilities})


async def read_status(session: Session) -> MigrationStatus:
    """Ask how the migration goes."""
    answer = await session.execute("query-migrate")
    ram = answer.get("ram", {})
    return MigrationStatus(
        state=answer.get("status", "none"),
        page_count=ram.get("normal", 0) + ram.get("duplicate", 0),
        total_bytes=ram.get("total", 0),
        remaining_bytes=ram.get("remaining", 0),
        error=answer.get("error-desc"),
        blockers=tuple(answer.get("blocked-reasons", ())),
    )


def _explain_refusal(reason: str) -> str:
    """Say in words what a refused capability means (QEMU 7.2 and 10.0 migration/options.c)."""
    if "host kernel" in reason:
        hint = (
            "write protection by userfaultfd is not permitted to QEMU: run it as root, or set "
            "sysctl vm.unprivileged_userfaultfd=1, or give it access to /dev/userfaultfd; "
            "the kernel must be 5.7 or newer, and a seccomp sandbox must let it pass"
        )
    elif "memory configuration" in reason:
        hint = (
            "a memory backend of this VM cannot be write-protected: memory shared through a "
            "file, huge pages or shared memory on a kernel before 5.19, or pinned by a device"
        )
    else:
        return f"QEMU refuses a background snapshot: {reason}"
    return f"QEMU refuses a background snapshot ({reason.rstrip('.')}): {hint}"
