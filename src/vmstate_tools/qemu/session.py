"""One QMP connection: commands with deadlines, events with the host's time stamps.

Commands that are submitted without being awaited reach QEMU back to back and are carried out in
that order (QEMU docs/interop/qmp-spec.rst, 2.3): the pause of a snapshot depends on it.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from qemu.qmp import (
    EventListener,
    ExecInterruptedError,
    ExecuteError,
    QMPClient,
    QMPError,
)
from qemu.qmp.protocol import ConnectError, Runstate, StateError
from qemu.qmp.qmp_client import NegotiationError

from vmstate_tools.core.errors import QemuError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from qemu.qmp.message import Message

GREETING_SECONDS = 5.0
"""QEMU greets within milliseconds; it says nothing at all while another client is connected."""

NEGOTIATION_ATTEMPTS = 3
"""An event that QEMU reports between our first command and its answer ends the library's
negotiation (qemu.qmp 0.0.6); the next attempt meets no event, as a rule."""

ANSWER_SECONDS = 60.0
"""No command that we send waits for the guest or for a disk; a QEMU that is silent for this long
hangs, and waiting for ever would help nobody."""

# The library logs what it also raises; the error line is ours to print.
logging.getLogger("qemu.qmp").setLevel(logging.CRITICAL)


class QmpCommandError(QemuError):
    """QEMU answered a command with an error.

    Attributes:
        command: The QMP command.
        reason: QEMU's own words.
    """

    def __init__(self, command: str, reason: str) -> None:
        self.command = command
        self.reason = reason
        super().__init__(f"QEMU refused {command}: {reason}")


class QmpLostError(QemuError):
    """The connection ended, or QEMU did not answer in time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """An event that QEMU reported."""

    name: str
    data: dict[str, Any]
    host_seconds: float
    """Host wall clock when it happened, in seconds since the epoch; microseconds are exact."""


class _Recorder(EventListener):
    """Hands every event on as it arrives, so that none is lost between two waits."""

    def __init__(self, record: Callable[[Message], None]) -> None:
        super().__init__()
        self._record = record

    def accept(self, event: Message) -> bool:
        self._record(event)
        return False  # nothing is queued here


class Session:
    """A negotiated QMP connection on a Unix socket.

    Attributes:
        path: The socket.
        events: Every event since the connection was made, in order.
    """

    def __init__(self, path: Path, connection: socket.socket) -> None:
        self.path = path
        self.events: list[Event] = []
        self._connection = connection
        self._client = QMPClient(str(path))
        self._client.register_listener(_Recorder(self._record_event))
        self._arrived = asyncio.Event()
        self._watch: asyncio.Task[None] | None = None

    @classmethod
    async def connect(cls, path: Path) -> Self:
        """Connect and negotiate.

        Raises:
            UsageError: nothing listens at `path`.
            QemuError: something listens, but does not greet as QMP does, or is busy.
        """
        for attempt in range(NEGOTIATION_ATTEMPTS):
            session = cls(path, _connect(path))
            try:
                await asyncio.wait_for(
                    session._client.connect(session._connection), GREETING_SECONDS
                )
            except TimeoutError as error:
                problem = f"no greeting within {GREETING_SECONDS:g} s: another client holds this "
                hint = "socket, or it is not QMP (give us a QMP socket of our own)"
                raise QemuError(f"{path}: {problem}{hint}") from error
            except (ConnectError, QMPError, OSError) as error:
                again = isinstance(error.__cause__, NegotiationError)
                if not again or attempt + 1 == NEGOTIATION_ATTEMPTS:
                    raise QemuError(f"{path}: does not speak QMP") from error
                continue
            session._watch = asyncio.create_task(session._wake_when_lost())
            return session
        raise AssertionError("unreachable")

    @property
    def lost(self) -> bool:
        """Whether the connection has ended."""
        return self._client.runstate is not Runstate.RUNNING

    def submit(self, command: str, arguments: dict[str, Any] | None = None) -> asyncio.Task[Any]:
        """Queue a command behind those submitted before; the task ends with its answer.

        The task raises what `execute` raises.
        """
        return asyncio.create_task(self.execute(command, arguments), name=command)

    async def execute(
        self,
        command: str,
        arguments: dict[str, Any] | None = None,
        *,
        wait_seconds: float = ANSWER_SECONDS,
    ) -> Any:  # noqa: ANN401 (what QEMU returns is JSON of any shape)
        """Carry out one command and return what QEMU returns.

        Raises:
            QmpCommandError: QEMU answered with an error.
            QmpLostError: the connection ended or QEMU stayed silent.
        """
        try:
            return await asyncio.wait_for(
                self._client.execute(command, arguments or {}), wait_seconds
            )
        except ExecuteError as error:
            raise QmpCommandError(command, str(error)) from error
        except TimeoutError as error:
            raise QmpLostError(f"QEMU did not answer {command} in {wait_seconds:g} s") from error
        except (ExecInterruptedError, StateError, QMPError, OSError) as error:
            raise QmpLostError(f"QEMU is gone: {command} was not answered") from error

    def send_descriptor(self, descriptor: int) -> None:
        """Pass a file descriptor along with the next command (`getfd`, `add-fd`)."""
        try:
            self._client.send_fd_scm(descriptor)
        except OSError as error:
            raise QmpLostError(f"QEMU is gone: no descriptor could be passed ({error})") from error

    async def wait_for_event(
        self, accept: Callable[[Event], bool], *, start: int = 0, wait_seconds: float
    ) -> Event:
        """Return the first event from index `start` of `events` on that `accept` takes.

        Raises:
            QmpLostError: none came in time, or the connection ended.
        """
        deadline = asyncio.get_running_loop().time() + wait_seconds
        while True:
            for event in self.events[start:]:
                if accept(event):
                    return event
            if self.lost:
                raise QmpLostError("QEMU is gone: the event that we waited for never came")
            start = len(self.events)
            self._arrived.clear()
            left = deadline - asyncio.get_running_loop().time()
            try:
                await asyncio.wait_for(self._arrived.wait(), left)
            except TimeoutError as error:
                problem = f"QEMU reported no such event in {wait_seconds:g} s"
                raise QmpLostError(problem) from error

    def duplicate_connection(self) -> socket.socket:
        """Return a second handle of the same connection, for a process that may outlive us."""
        return self._connection.dup()

    def peer_process_id(self) -> int | None:
        """Process id of the QEMU behind the socket; None where the kernel does not know it.

        That is the process which began to listen: gone when QEMU became a daemon after that.
        """
        packed = self._connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
        process_id: int = struct.unpack("3i", packed)[0]
        return process_id or None

    async def close(self) -> None:
        """End the connection; QEMU goes on."""
        if self._watch is not None:
            self._watch.cancel()
        try:
            await asyncio.wait_for(self._client.disconnect(), GREETING_SECONDS)
        except (QMPError, OSError, EOFError, TimeoutError):
            # The other side went first. There is nothing left to end.
            self._connection.close()

    async def __aenter__(self) -> Self:
        """Return itself."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """End the connection."""
        await self.close()

    async def _wake_when_lost(self) -> None:
        while not self.lost:
            await self._client.runstate_changed()
        self._arrived.set()

    def _record_event(self, message: Message) -> None:
        stamp = message.get("timestamp")
        seconds = 0.0
        if isinstance(stamp, dict):
            seconds = stamp.get("seconds", 0) + stamp.get("microseconds", 0) / 1e6
        data = message.get("data")
        self.events.append(
            Event(
                name=str(message.get("event")),
                data=data if isinstance(data, dict) else {},
                host_seconds=seconds,
            )
        )
        self._arrived.set()


def _connect(path: Path) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.settimeout(GREETING_SECONDS)
    try:
        connection.connect(str(path))
    except OSError as error:
        connection.close()
        reason = error.strerror or str(error)
        raise UsageError(f"{path}: no QMP socket answers there: {reason}") from error
    return connection
