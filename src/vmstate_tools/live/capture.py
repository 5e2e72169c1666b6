"""A background snapshot of a running VM, from the first question to the manifest.

Each step is a context that undoes itself when a later one fails, in the reverse order. What a
dead process cannot undo is the guardian's.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from vmstate_tools.core.errors import QemuError, UsageError
from vmstate_tools.live.drain import Pipe, StreamQueue
from vmstate_tools.live.guardian import Guardian, Orders
from vmstate_tools.live.layers import plan_overlays, prepared_layers
from vmstate_tools.live.moment import freeze
from vmstate_tools.live.outcome import build_manifest, check_whole, measure_downtime, measure_run
from vmstate_tools.live.preconditions import make_plan
from vmstate_tools.live.recording import Recording
from vmstate_tools.live.signals import ending_signals, no_suspension
from vmstate_tools.qemu.migrate import ACTIVE, apply_capabilities, read_status, set_capabilities
from vmstate_tools.qemu.session import QmpCommandError, QmpLostError, Session
from vmstate_tools.snapshot.manifest import is_finished, write_manifest

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from vmstate_tools.live.layers import Layers
    from vmstate_tools.live.moment import Moment
    from vmstate_tools.live.preconditions import Plan
    from vmstate_tools.qemu.migrate import CapabilityChange, MigrationStatus
    from vmstate_tools.qemu.overlays import Overlay
    from vmstate_tools.snapshot.manifest import Manifest

STATE_NAME = "vmstate.bin"

PIPE_NAME = "vmstate-pipe"
"""What the pipe is called inside QEMU (`getfd`, `migrate fd:`)."""

PAUSE_LIMIT_SECONDS = 10.0
PAUSE_LIMIT_SECONDS_PER_GIB = 0.5
"""After this the guardian lets the VM run: many times what QEMU needs to protect that much memory
(8 GiB: 0.5 s), plus what a loaded host may add."""

POLL_SECONDS = 0.05

SETTLE_SECONDS = 600.0
"""How long QEMU may take to end a migration that is thrown away; then it is the guardian's."""

SWITCH_INTERVAL_SECONDS = 0.0005
"""Python lets a thread keep the interpreter for 5 ms. The one that answers QEMU during the pause
must not wait that long for the one that reads the stream."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What the user asked for."""

    socket: Path
    directory: Path
    disks: str = "all"
    overlay_folder: Path | None = None
    """Where overlays go; None: each beside its disk."""
    spill_folder: Path | None = None
    """Where the backlog of a slow target goes; None: the system's temporary folder."""
    timeout_seconds: float | None = None
    check_space: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far it is."""

    saved_bytes: int
    """Guest memory that QEMU has written, zero pages included."""
    total_bytes: int
    """Guest memory in all."""
    giving_up: bool
    """Whether what is written now is only thrown away."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Capture:
    """A finished snapshot."""

    directory: Path
    manifest: Manifest
    spilled_bytes: int
    """How much the target could not take as fast as QEMU wrote it."""
    ran_while_paused_seconds: float | None
    """How long QEMU 7.2 let a paused VM run after its memory was protected; else None."""


class _GivenUpError(Exception):
    """The user pressed Ctrl-C, or the system asked us to end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Stream:
    """The stream on its way from QEMU to the state file."""

    queue: StreamQueue
    recording: Recording
    first_page: asyncio.Event


def capture(request: Request, on_progress: Callable[[Progress], object]) -> Capture:
    """Take a background snapshot. If this raises, the VM is as it was before.

    Args:
        on_progress: Called some twenty times a second while QEMU writes.

    Raises:
        UsageError: no such socket or disk, or the directory exists.
        QemuError: the VM cannot be snapshotted, or QEMU failed.
        HostError: the state could not be written.
        KeyboardInterrupt: a signal asked us to give up.
    """
    interval = sys.getswitchinterval()
    sys.setswitchinterval(SWITCH_INTERVAL_SECONDS)
    try:
        return asyncio.run(_capture(request, on_progress))
    except _GivenUpError:
        raise KeyboardInterrupt from None
    finally:
        sys.setswitchinterval(interval)


async def _capture(request: Request, on_progress: Callable[[Progress], object]) -> Capture:
    started = time.monotonic()
    async with AsyncExitStack() as steps:
        interrupted = asyncio.Event()  # looked at where it is safe to give up
        steps.enter_context(ending_signals(interrupted.set))
        # Suspended, we would not empty the pipe, and the guest would wait.
        steps.enter_context(no_suspension())
        session = await steps.enter_async_context(await Session.connect(request.socket))
        _check_directory(request.directory)
        plan = await make_plan(
            session, request.directory, disks=request.disks, check_space=request.check_space
        )
        overlays = plan_overlays(plan, request.directory, request.overlay_folder)
        steps.enter_context(_new_directory(request.directory))
        pipe = steps.enter_context(Pipe())
        guardian = steps.enter_context(_guard(session, plan, overlays, pipe))
        await steps.enter_async_context(_capabilities(session, plan.capabilities))
        layers = await steps.enter_async_context(prepared_layers(session, overlays))
        stream = await steps.enter_async_context(_stream(session, request, pipe, on_progress))
        if interrupted.is_set():
            raise _GivenUpError
        moment = await _take_moment(session, plan, layers, stream, guardian)
        await _wait_until_saved(session, request, stream.recording, interrupted, on_progress)
        snapshot, digest = stream.recording.finish()
        check_whole(snapshot)
        manifest = build_manifest(
            plan=plan,
            overlays=overlays,
            snapshot=snapshot,
            state=(STATE_NAME, digest),
            downtime=measure_downtime(moment, session.events),
            duration_seconds=time.monotonic() - started,
        )
        write_manifest(request.directory, manifest)
        return Capture(
            directory=request.directory,
            manifest=manifest,
            spilled_bytes=stream.queue.spilled_bytes,
            ran_while_paused_seconds=measure_run(moment, session.events),
        )


def _check_directory(directory: Path) -> None:
    if directory.exists():
        raise UsageError(f"{directory}: exists already")
    if not directory.parent.is_dir():
        raise UsageError(f"{directory.parent}: no such directory")


@contextmanager
def _new_directory(directory: Path) -> Iterator[None]:
    """Make the snapshot directory; if the block fails, take it away with what we put there."""
    try:
        directory.mkdir()
    except OSError as error:
        raise UsageError(f"{directory}: {error.strerror}") from error
    try:
        yield
    except BaseException:
        if not is_finished(directory):
            (directory / STATE_NAME).unlink(missing_ok=True)
            with suppress(OSError):  # an overlay that the VM still needs lies there
                directory.rmdir()
        raise


@contextmanager
def _guard(session: Session, plan: Plan, overlays: list[Overlay], pipe: Pipe) -> Iterator[Guardian]:
    """Have a guardian that takes over if we die, or if we lose QEMU while it may live."""
    gibibytes = plan.identity.memory_bytes / (1 << 30)
    orders = Orders(
        was_running=plan.was_running,
        capabilities_before=plan.capabilities.before,
        overlays=[
            {"node": overlay.node, "file_node": overlay.file_node, "path": str(overlay.path)}
            for overlay in overlays
        ],
        pause_limit_seconds=PAUSE_LIMIT_SECONDS + PAUSE_LIMIT_SECONDS_PER_GIB * gibibytes,
    )
    guardian = Guardian(orders, session.duplicate_connection(), pipe.reading)
    try:
        yield guardian
    finally:
        if session.lost:
            guardian.abandon()
        else:
            guardian.dismiss()


@asynccontextmanager
async def _capabilities(session: Session, change: CapabilityChange) -> AsyncIterator[None]:
    """Switch the migration capabilities, and back."""
    await apply_capabilities(session, change)
    try:
        yield
    finally:
        # If QEMU does not take them back now, what led to that is the error to be told.
        with suppress(QemuError):
            await set_capabilities(session, change.before)


@asynccontextmanager
async def _stream(
    session: Session, request: Request, pipe: Pipe, on_progress: Callable[[Progress], object]
) -> AsyncIterator[_Stream]:
    """Give QEMU the pipe and empty it into the state file; if the block fails, into nothing."""
    loop = asyncio.get_running_loop()
    first_page = asyncio.Event()
    session.send_descriptor(pipe.writing)
    await session.execute("getfd", {"fdname": PIPE_NAME})
    pipe.close_writing()  # or its end would never be seen
    queue = StreamQueue(pipe.reading, request.spill_folder or Path(tempfile.gettempdir()))
    recording = Recording(
        queue,
        request.directory / STATE_NAME,
        partial(loop.call_soon_threadsafe, first_page.set),
    )
    try:
        yield _Stream(queue=queue, recording=recording, first_page=first_page)
    except BaseException:
        await _let_end(session, recording, on_progress)
        raise


async def _let_end(
    session: Session, recording: Recording, on_progress: Callable[[Progress], object]
) -> None:
    """Let QEMU write its stream to the end, into nothing. To cancel is not safe.

    `migrate_cancel` made QEMU 7.2 hang in one of two tries; written to its end the stream harms
    nobody.
    """
    recording.discard()
    with suppress(QmpLostError):  # then the guardian goes on
        with suppress(QmpCommandError):  # QEMU has used it, as a rule
            await session.execute("closefd", {"fdname": PIPE_NAME})
        deadline = time.monotonic() + SETTLE_SECONDS
        while (status := await read_status(session)).state in ACTIVE:
            if time.monotonic() > deadline:
                break
            on_progress(_progress(status, giving_up=True))
            await asyncio.sleep(POLL_SECONDS)


def _progress(status: MigrationStatus, *, giving_up: bool) -> Progress:
    total = status.total_bytes
    saved = total - status.remaining_bytes
    return Progress(saved_bytes=saved, total_bytes=total, giving_up=giving_up)


async def _take_moment(
    session: Session, plan: Plan, layers: Layers, stream: _Stream, guardian: Guardian
) -> Moment:
    """Pause, switch the disks, protect memory, resume."""
    layers.switched = None
    guardian.arm()
    moment = await freeze(
        session,
        uri=f"fd:{PIPE_NAME}",
        overlays=layers.overlays,
        was_running=plan.was_running,
        first_page=stream.first_page,
    )
    stream.recording.go_on()
    layers.switched = moment.disks_switched
    guardian.disarm()
    if moment.failure is not None:
        raise moment.failure
    return moment


async def _wait_until_saved(
    session: Session,
    request: Request,
    recording: Recording,
    interrupted: asyncio.Event,
    on_progress: Callable[[Progress], object],
) -> None:
    """Wait until QEMU has written everything and we have too, or somebody has lost patience."""
    limit = request.timeout_seconds
    deadline = time.monotonic() + limit if limit is not None else float("inf")
    while (status := await read_status(session)).state in ACTIVE or not recording.is_done:
        if interrupted.is_set():
            raise _GivenUpError
        if time.monotonic() > deadline:
            raise QemuError(f"not finished within {limit:g} s (--timeout)")
        on_progress(_progress(status, giving_up=False))
        await asyncio.sleep(POLL_SECONDS)
    if status.state != "completed":
        raise QemuError(f"QEMU could not save: {status.error or status.state}")
