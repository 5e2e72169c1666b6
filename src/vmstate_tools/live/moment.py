"""The moment of a snapshot: the only time that the guest stands still.

With disks, `stop`, the overlays' `transaction` and `migrate` go out back to back, so that QEMU
carries them out without waiting for us. The guest may go on when its memory is write-protected,
not before: it would change memory that is newer than its disks. QEMU says so by sending page
records, which it does only after protection (QEMU 7.2 and 10.0 migration/migration.c,
bg_migration_thread). QEMU 7.2 then resumes the guest by itself, whatever it was before; 10.0
leaves it as it found it. Sending what we want to both makes them alike.

Without disks QEMU's own stop is enough, and there is nothing for us to do but watch.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from vmstate_tools.core.errors import QemuError
from vmstate_tools.qemu.migrate import ACTIVE, read_status
from vmstate_tools.qemu.overlays import overlay_transaction

if TYPE_CHECKING:
    from vmstate_tools.qemu.overlays import Overlay
    from vmstate_tools.qemu.session import Event, Session

WATCH_SECONDS = 0.02
"""How often to ask where nothing depends on us: each question takes time from QEMU's main thread,
which is what resumes the guest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """How the moment went."""

    was_running: bool
    disks_switched: bool
    """Whether the guest writes to the overlays now."""
    failure: QemuError | None
    """Why the stream that still comes is worth nothing; None if it is good so far."""
    first_event: int
    """Index in the session's events of the first that belongs to this snapshot."""


async def freeze(
    session: Session,
    *,
    uri: str,
    overlays: list[Overlay],
    was_running: bool,
    first_page: asyncio.Event,
) -> Moment:
    """Take disks and memory of one instant and let the guest go on.

    Args:
        first_page: Set by whoever reads the stream when the first page record has come.

    Raises:
        QemuError: QEMU is gone or does not answer; the guardian has to take over.
    """
    first_event = len(session.events)
    outer_stop = was_running and bool(overlays)
    stop = session.submit("stop") if outer_stop else None
    switch = session.submit("transaction", overlay_transaction(overlays)) if overlays else None
    migrate = session.submit("migrate", {"uri": uri})
    if stop is not None:
        await stop
    switch_failure = await _failure(switch)
    migrate_failure = await _failure(migrate)
    failure = switch_failure or migrate_failure
    if migrate_failure is None:
        # Without the disks too: QEMU is about to stop the VM, and only then can it go on for good.
        if was_running and not outer_stop:
            await _watch_from_afar(session, first_page)
        unprotected = await _wait_until_protected(session, first_page, was_running=was_running)
        failure = failure or unprotected
    if outer_stop:
        failure = failure or _torn(session.events[first_event:])
    await _put_back(session, was_running=was_running, first_event=first_event)
    return Moment(
        was_running=was_running,
        disks_switched=bool(overlays) and switch_failure is None,
        failure=failure,
        first_event=first_event,
    )


async def _failure(task: asyncio.Task[Any] | None) -> QemuError | None:
    """Wait for an answer; return the refusal, if it is one."""
    if task is None:
        return None
    try:
        await task
    except QemuError as error:
        return error
    return None


async def _watch_from_afar(session: Session, first_page: asyncio.Event) -> None:
    """Wait until pages are saved, or never will be, where QEMU resumes the guest by itself."""
    while not first_page.is_set() and (await read_status(session)).state in ACTIVE:
        with suppress(TimeoutError):
            await asyncio.wait_for(first_page.wait(), WATCH_SECONDS)


async def _wait_until_protected(
    session: Session, first_page: asyncio.Event, *, was_running: bool
) -> QemuError | None:
    """Ask until pages are being saved; return why they never will be, if so.

    To a VM that is to stay paused a `stop` is always under way: QEMU 7.2 carries it out right
    behind its own resume, before a vCPU has done much.
    """
    while not first_page.is_set():
        stop = None if was_running else session.submit("stop")
        status = await read_status(session)
        if stop is not None:
            await stop
        if status.page_count:
            break
        if status.state not in ACTIVE:
            return QemuError(f"QEMU could not save: {status.error or status.state}")
    return None


def _torn(events: list[Event]) -> QemuError | None:
    """Tell whether the guest ran between our `stop` and the protection of its memory.

    QEMU's own stop reports STOP only if the guest was running, so a second one says that.
    """
    stops = [event for event in events if event.name == "STOP"]
    if len(stops) == 1:
        return None
    problem = "the VM was resumed before its memory was protected, which is newer than its disks"
    return QemuError(problem)


async def _put_back(session: Session, *, was_running: bool, first_event: int) -> None:
    """Have the guest run, or not run, as it did before."""
    if was_running and _resumed(session.events[first_event:]):
        return  # QEMU 7.2 did it
    await session.execute("cont" if was_running else "stop")
    status = await session.execute("query-status")
    if status["running"] is not was_running:
        raise QemuError(f"the VM is {status['status']}, and QEMU would not change that")


def _resumed(events: list[Event]) -> bool:
    return any(event.name == "RESUME" for event in events)
