"""A process that makes the VM run again when the one that paused it dies.

It is started before the VM is touched, holds a second handle of the QMP connection and of the
pipe that the stream comes through, and sleeps on its standard input. When that ends without a
farewell, whoever paused the VM is dead (`kill -9` included), and the guardian

1. resumes the VM if it was paused at that moment and had been running before,
2. drains the pipe, because a guest that touches a page that is not saved yet waits for its reader,
3. puts the migration capabilities back and removes overlays that no disk uses, once QEMU has
   finished.

The handle matters: a QMP socket serves one client, and this one cannot be taken by another in
between. The snapshot of the dead process has no manifest, so nothing takes it for a whole one.

This module is the program that the guardian runs, so it imports nothing but the standard library.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

DRAIN_BYTES = 1 << 20
SETTLE_SECONDS = 600.0
"""How long QEMU may take to finish a migration that is drained; then the guardian gives up."""

POLL_SECONDS = 0.05
READY = b"ready\n"

UNDER_WAY = frozenset({"setup", "active", "device", "cancelling", "wait-unplug"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Orders:
    """What the guardian has to know beforehand."""

    was_running: bool
    """Whether the VM is to run in the end."""
    capabilities_before: list[dict[str, Any]]
    """Arguments of the migrate-set-capabilities that puts things back."""
    overlays: list[dict[str, str]]
    """`node`, `file_node` and `path` of each overlay that may have been made."""
    pause_limit_seconds: float
    """A pause longer than this counts as a death: its owner is stopped, or hangs."""


class Guardian:
    """The handle that the process which pauses a VM has on its guardian."""

    def __init__(self, orders: Orders, connection: socket.socket, pipe: int) -> None:
        """Start the guardian and wait until it is on guard.

        Args:
            connection: A handle of the QMP connection; it is closed here.
            pipe: Reading end of the pipe that the stream comes through.
        """
        # A session of its own: Ctrl-C in the terminal is for us, not for the guardian.
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-m", __name__, str(connection.fileno()), str(pipe)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            pass_fds=(connection.fileno(), pipe),
            start_new_session=True,
        )
        connection.close()
        self._say(json.dumps(asdict(orders)))
        assert self._process.stdout is not None
        if self._process.stdout.readline() != READY:
            raise ChildProcessError(f"the guardian did not start (exit {self._process.wait()})")

    @property
    def process_id(self) -> int:
        """Process id of the guardian."""
        return self._process.pid

    def arm(self) -> None:
        """From now on the VM may be paused."""
        self._say("armed")

    def disarm(self) -> None:
        """The VM is as it was before."""
        self._say("disarmed")

    def dismiss(self) -> None:
        """Everything is in order; the guardian goes."""
        with contextlib.suppress(BrokenPipeError):  # it went with its QEMU
            self._say("farewell")
        self.abandon()
        self._process.wait()

    def abandon(self) -> None:
        """Leave the rest to the guardian, as if we had died: we have lost QEMU, it may not."""
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            with contextlib.suppress(BrokenPipeError):
                pipe.close()

    def _say(self, line: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(line.encode() + b"\n")
        self._process.stdin.flush()


class _Monitor:
    """Just enough QMP for a process that must not fail for want of a library."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._received = b""
        self._count = 0
        connection.setblocking(True)
        connection.settimeout(SETTLE_SECONDS)

    def execute(self, command: str, arguments: dict[str, Any] | None = None) -> Any:  # noqa: ANN401
        """Send a command and return its answer, passing over everything before that.

        Raises:
            OSError: QEMU is gone or silent.
        """
        self._count += 1
        name = f"vmstate-guardian-{self._count}"
        message = {"execute": command, "arguments": arguments or {}, "id": name}
        self._connection.sendall(json.dumps(message).encode() + b"\n")
        while True:
            answer = self._line()
            if answer.get("id") == name:
                return answer.get("return")

    def _line(self) -> Any:  # noqa: ANN401
        while b"\n" not in self._received:
            data = self._connection.recv(DRAIN_BYTES)
            if not data:
                raise ConnectionResetError
            self._received += data
        line, _, self._received = self._received.partition(b"\n")
        try:
            return json.loads(line)
        except ValueError:  # the second half of what our late owner had begun to read
            return {}


def main(arguments: list[str]) -> None:
    """Be the guardian."""
    for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGTSTP"):
        signal.signal(getattr(signal, name), signal.SIG_IGN)
    connection, pipe = socket.socket(fileno=int(arguments[0])), int(arguments[1])
    orders = Orders(**json.loads(sys.stdin.buffer.readline()))
    sys.stdout.buffer.write(READY)
    sys.stdout.buffer.flush()
    armed = _watch(sys.stdin.fileno(), connection, pipe, orders)
    if armed is not None:
        # An OSError means that QEMU is gone, and the VM with it: nobody is left to help.
        with contextlib.suppress(OSError):
            _take_over(_Monitor(connection), pipe, orders, armed=armed)


def _watch(line_of_life: int, connection: socket.socket, pipe: int, orders: Orders) -> bool | None:
    """Wait for the end; None after a farewell, else whether the VM may be paused."""
    armed, limit_seconds, watched = False, None, [line_of_life]
    while True:
        ready, _, _ = select.select(watched, [], [], limit_seconds)
        if not ready:
            # The owner lives but does not move. When it comes to, it finds a VM that ran on and
            # a stream with a gap, and knows that there is no snapshot.
            _resume_blindly(connection, orders)
            limit_seconds = None
            watched.append(pipe)
        if pipe in ready and not os.read(pipe, DRAIN_BYTES):
            watched.remove(pipe)
        if line_of_life not in ready:
            continue
        words = os.read(line_of_life, 4096).split()
        if not words:
            return armed
        if words[-1] == b"farewell":
            return None
        armed = words[-1] == b"armed"
        limit_seconds = orders.pause_limit_seconds if armed else None


def _resume_blindly(connection: socket.socket, orders: Orders) -> None:
    """Send `cont` without waiting: the answer goes to the owner, who reads the connection."""
    if orders.was_running:
        connection.send(b'{"execute": "cont", "id": "vmstate-guardian"}\n')


def _take_over(monitor: _Monitor, pipe: int, orders: Orders, *, armed: bool) -> None:
    # At once and all the time: until the pipe is emptied QEMU may be unable to answer anything,
    # because a device of the guest waits for a page that is not saved yet.
    threading.Thread(target=_drain, args=[pipe], daemon=True).start()
    if armed:
        monitor.execute("cont" if orders.was_running else "stop")
    deadline = time.monotonic() + SETTLE_SECONDS
    while (monitor.execute("query-migrate") or {}).get("status") in UNDER_WAY:
        if time.monotonic() > deadline:
            break
        time.sleep(POLL_SECONDS)
    # QEMU 10.0 leaves the VM paused when it fails between its own stop and the protection.
    status = monitor.execute("query-status") or {}
    if armed and status.get("running") is not orders.was_running:
        monitor.execute("cont" if orders.was_running else "stop")
    if orders.capabilities_before:
        changes = {"capabilities": orders.capabilities_before}
        monitor.execute("migrate-set-capabilities", changes)
    for overlay in orders.overlays:
        _remove_if_unused(monitor, overlay)


def _drain(pipe: int) -> None:
    """Throw the stream away."""
    while os.read(pipe, DRAIN_BYTES):
        pass


def _remove_if_unused(monitor: _Monitor, overlay: dict[str, str]) -> None:
    """Close and delete an overlay; QEMU refuses to close the one that a disk writes to."""
    monitor.execute("blockdev-del", {"node-name": overlay["node"]})
    monitor.execute("blockdev-del", {"node-name": overlay["file_node"]})
    nodes = monitor.execute("query-named-block-nodes", {"flat": True}) or []
    if overlay["file_node"] not in {node["node-name"] for node in nodes}:
        with contextlib.suppress(OSError):
            Path(overlay["path"]).unlink()


if __name__ == "__main__":
    main(sys.argv[1:])
