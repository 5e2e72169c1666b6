"""Restore by loading: QEMU reads the whole state before the guest runs.

Works with every QEMU and every stream. QEMU is handed an open descriptor, so that no shell, no
quoting and no file permission of another user stands between it and the state.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import time
from contextlib import contextmanager
from dataclasses import dataclass
from math import inf
from typing import TYPE_CHECKING

from vmstate_tools.core.errors import QemuError, UsageError
from vmstate_tools.core.qemu_img import run_qemu_img
from vmstate_tools.live.signals import ending_signals
from vmstate_tools.qemu.process import QemuProcess
from vmstate_tools.qemu.session import QmpLostError, Session

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from vmstate_tools.live.plan import Plan

START_SECONDS = 120.0
"""QEMU listens within 50 ms; one that allocates all of its memory beforehand takes far longer."""

STALL_SECONDS = 120.0
"""A load that has not read a byte for this long hangs."""

END_SECONDS = 5.0
"""QEMU ends by itself after a failed load."""

CONNECT_POLL_SECONDS = 0.002
LOAD_POLL_SECONDS = 0.1

STATE_NAME = "vmstate"
"""What the state's descriptor is called inside QEMU."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Restored:
    """A running (or paused) VM."""

    process: QemuProcess
    plan: Plan
    is_paused: bool
    seconds_to_running: float
    """From the start of the process until the guest ran, or until its state was loaded."""


def restore_eager(plan: Plan, *, paused: bool, on_progress: Callable[[int], object]) -> Restored:
    """Start QEMU, load the state, and let the guest run. If this raises, nothing is left of it.

    Args:
        paused: Leave the guest stopped.
        on_progress: Called with the number of bytes that QEMU has read since the last call.

    Raises:
        UsageError: the binary is not there, or the run directory cannot be made.
        QemuError: QEMU died, refused or did not load the state; in its own words.
        HostError: an overlay cannot be made.
        KeyboardInterrupt: a signal asked us to give up.
    """
    try:
        return asyncio.run(_restore(plan, paused=paused, on_progress=on_progress))
    except asyncio.CancelledError:
        raise KeyboardInterrupt from None


async def _restore(plan: Plan, *, paused: bool, on_progress: Callable[[int], object]) -> Restored:
    task = asyncio.current_task()
    assert task is not None
    # Cancelled, it takes the QEMU that it has started with it.
    with ending_signals(task.cancel), _run_directories(plan):
        for overlay in plan.overlays:
            run_qemu_img(*overlay.create_arguments())
        started = time.monotonic()
        with _started(plan) as process:
            try:
                async with await _connect(process, plan.qmp_socket) as session:
                    await _load(session, plan, on_progress)
                    if not paused:
                        await _run(session)
            except QmpLostError as error:
                raise await _explain_loss(process, error) from error
        return Restored(
            process=process,
            plan=plan,
            is_paused=paused,
            seconds_to_running=time.monotonic() - started,
        )


@contextmanager
def _run_directories(plan: Plan) -> Iterator[None]:
    """Make the folders of the run; if the block fails, remove them with all that is in them."""
    made: list[Path] = []
    try:
        for folder in dict.fromkeys([plan.places.files, plan.places.sockets]):
            try:
                folder.mkdir(mode=0o700)
            except OSError as error:
                hint = "" if isinstance(error, FileExistsError) else " (--work-dir names another)"
                raise UsageError(f"{folder}: {error.strerror}{hint}") from error
            made.append(folder)
        yield
    except BaseException:
        for folder in made:
            shutil.rmtree(folder, ignore_errors=True)
        raise


@contextmanager
def _started(plan: Plan) -> Iterator[QemuProcess]:
    """Start QEMU; if the block fails, end it."""
    process = QemuProcess.start(
        plan.to_argv(incoming="defer", stopped=True),
        directory=plan.places.files,
        working_directory=plan.working_directory,
    )
    try:
        yield process
    except BaseException:
        process.kill()
        plan.qmp_socket.unlink(missing_ok=True)
        raise


async def _connect(process: QemuProcess, socket: Path) -> Session:
    """Connect as soon as QEMU listens."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        process.check_alive()
        try:
            return await Session.connect(socket)
        except UsageError:
            await asyncio.sleep(CONNECT_POLL_SECONDS)  # it does not listen yet
        except QemuError:
            continue  # it listens, but is still busy with its memory, or has just died
    raise QmpLostError(f"QEMU does not answer on {socket} after {START_SECONDS:g} s")


async def _load(session: Session, plan: Plan, on_progress: Callable[[int], object]) -> None:
    """Hand the state to QEMU and wait until it is loaded."""
    answer = await session.execute("query-migrate-capabilities")
    known = {entry["capability"] for entry in answer}
    wanted = sorted({"events", *plan.capabilities} & known)
    states = [{"capability": name, "state": True} for name in wanted]
    await session.execute("migrate-set-capabilities", {"capabilities": states})
    with plan.state.open("rb", buffering=0) as state:
        uri = await _pass_state(session, state.fileno(), knows_files="mapped-ram" in known)
        loading = asyncio.create_task(_load_from(session, uri))
        try:
            await _watch(loading, state.fileno(), on_progress)
        finally:
            loading.cancel()


async def _pass_state(session: Session, descriptor: int, *, knows_files: bool) -> str:
    """Give QEMU the open file and return the URI that means it.

    Args:
        knows_files: QEMU has the migration transport `file:` (it came with 8.2, `mapped-ram` with
            9.0); 9.1 deprecated plain files behind `fd:`.
    """
    session.send_descriptor(descriptor)
    if knows_files:
        numbers = await session.execute("add-fd")
        return f"file:/dev/fdset/{numbers['fdset-id']}"
    await session.execute("getfd", {"fdname": STATE_NAME})
    return f"fd:{STATE_NAME}"


async def _load_from(session: Session, uri: str) -> None:
    first_event = len(session.events)
    # QEMU reads the state in its main loop: it may not answer before the last byte is read.
    await session.execute("migrate-incoming", {"uri": uri}, wait_seconds=inf)
    ended = await session.wait_for_event(
        lambda event: (
            event.name == "MIGRATION" and event.data.get("status") in {"completed", "failed"}
        ),
        start=first_event,
        wait_seconds=inf,
    )
    if ended.data["status"] == "failed":
        raise QmpLostError("QEMU failed to load the state")


async def _watch(
    loading: asyncio.Task[None], descriptor: int, on_progress: Callable[[int], object]
) -> None:
    """Wait for the end; QEMU shares the position of our descriptor, which tells how far it is."""
    position, moved_at = 0, time.monotonic()
    while not loading.done():
        await asyncio.wait({loading}, timeout=LOAD_POLL_SECONDS)
        before, position = position, os.lseek(descriptor, 0, os.SEEK_CUR)
        if position != before:
            on_progress(position - before)
            moved_at = time.monotonic()
        if time.monotonic() - moved_at > STALL_SECONDS:
            problem = f"QEMU has not read on for {STALL_SECONDS:g} s"
            raise QmpLostError(f"{problem} (at byte {position:#x} of the state)")
    await loading


async def _run(session: Session) -> None:
    """Let the guest run, and make sure that it does."""
    await session.execute("cont")
    status = await session.execute("query-status")
    if not status["running"]:
        raise QemuError(f"the guest does not run after it was restored: it is {status['status']}")


async def _explain_loss(process: QemuProcess, error: QmpLostError) -> QemuError:
    """Prefer what QEMU said when it died to what we missed from it."""
    deadline = time.monotonic() + END_SECONDS
    while time.monotonic() < deadline:
        try:
            process.check_alive()
        except QemuError as death:
            return death
        await asyncio.sleep(CONNECT_POLL_SECONDS)
    return error
