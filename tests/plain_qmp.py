"""QMP for tests: blocking, with nothing of the package in it."""

from __future__ import annotations

import json
import queue
import socket
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

ANSWER_SECONDS = 60.0


class QmpRefusedError(Exception):
    """QEMU answered with an error; the message is QEMU's own."""


class QmpGoneError(Exception):
    """QEMU closed the connection, or was silent for too long."""


@dataclass(frozen=True, slots=True, kw_only=True)
class QmpEvent:
    """An event, with the host's wall clock at which it happened."""

    name: str
    data: dict[str, Any]
    seconds: float


class PlainQmp:
    """A QMP connection; a thread keeps every event that arrives."""

    def __init__(self, path: Path) -> None:
        """Connect and negotiate.

        Raises:
            OSError: nobody listens at `path` yet.
        """
        self.events: list[QmpEvent] = []
        self._answers: queue.Queue[dict[str, Any] | None] = queue.Queue()
        self._socket = socket.socket(socket.AF_UNIX)
        try:
            self._socket.connect(str(path))
        except OSError:
            self._socket.close()
            raise
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self.greeting = self._answer("greeting")["QMP"]
        self("qmp_capabilities")

    def __call__(self, command: str, /, **arguments: Any) -> Any:
        """Run a command; an underscore in an argument's name stands for a hyphen.

        Returns:
            What the answer's `return` holds.

        Raises:
            QmpRefusedError: QEMU answered with an error.
            QmpGoneError: there was no answer.
        """
        self.send(command, **arguments)
        return self.result(command)

    def send(self, command: str, /, fd: int | None = None, **arguments: Any) -> None:
        """Send a command without waiting, and with it a file descriptor."""
        words = {name.replace("_", "-"): value for name, value in arguments.items()}
        message = json.dumps({"execute": command, "arguments": words}).encode() + b"\n"
        socket.send_fds(self._socket, [message], [] if fd is None else [fd])

    def result(self, command: str) -> Any:
        """Wait for the answer to the oldest command that was sent and not waited for."""
        answer = self._answer(command)
        if "error" in answer:
            raise QmpRefusedError(answer["error"]["desc"])
        return answer["return"]

    def wait_for_event(self, name: str, *, count: int = 1, seconds: float = 30.0) -> QmpEvent:
        """Return the `count`-th event of that name, waiting for it if it has not come."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            found = [event for event in list(self.events) if event.name == name]
            if len(found) >= count:
                return found[count - 1]
            time.sleep(0.002)
        names = [event.name for event in self.events]
        raise TimeoutError(f"no {name} (the {count}th) within {seconds} s, but {names}")

    def close(self) -> None:
        """Close the connection."""
        self._socket.close()

    def _answer(self, command: str) -> dict[str, Any]:
        try:
            answer = self._answers.get(timeout=ANSWER_SECONDS)
        except queue.Empty:
            raise QmpGoneError(f"no answer to {command} within {ANSWER_SECONDS} s") from None
        if answer is None:
            self._answers.put(None)  # for whoever asks next
            raise QmpGoneError(f"QEMU closed the connection; no answer to {command}")
        return answer

    def _read(self) -> None:
        try:
            with self._socket.makefile("rb") as lines:
                for line in lines:
                    message = json.loads(line)
                    if "event" in message:
                        self.events.append(_event(message))
                    else:
                        self._answers.put(message)
        except OSError:
            pass  # closed on our side, or QEMU was killed
        self._answers.put(None)


def _event(message: dict[str, Any]) -> QmpEvent:
    stamp = message["timestamp"]
    seconds = stamp["seconds"] + stamp["microseconds"] / 1e6
    return QmpEvent(name=message["event"], data=message.get("data", {}), seconds=seconds)
