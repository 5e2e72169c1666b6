"""Empties the pipe that QEMU writes its stream into, at QEMU's own speed.

A guest that touches a page which is not saved yet waits until QEMU has written it, and QEMU
waits for whoever reads the pipe. So reading must never wait for the disk: one thread does nothing
but read, into a queue that is held in memory up to a limit and spills into a temporary file
beyond it. If even that fails, what comes is thrown away: the guest matters more than its snapshot.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import tempfile
import threading
from collections import deque
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Self

from vmstate_tools.core.errors import HostError

if TYPE_CHECKING:
    from pathlib import Path

READ_BYTES = 1 << 20
"""Largest pipe that the kernel gives to an unprivileged user (/proc/sys/fs/pipe-max-size)."""

MEMORY_LIMIT_BYTES = 256 << 20
"""Queued in memory before it spills: a second or less of what QEMU writes."""


class Pipe:
    """A pipe, as large as the kernel allows.

    Attributes:
        reading: File descriptor of the end that we read.
        writing: That of the end which QEMU gets.
    """

    def __init__(self) -> None:
        self.reading, self.writing = os.pipe()
        self._writing_open = True
        # A user with many pipes gets no large one; a small one works too.
        with contextlib.suppress(PermissionError):
            fcntl.fcntl(self.writing, fcntl.F_SETPIPE_SZ, READ_BYTES)

    def close_writing(self) -> None:
        """Close our handle of the writing end."""
        if self._writing_open:
            self._writing_open = False
            os.close(self.writing)

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close our handles; QEMU, the guardian and a queue have theirs."""
        self.close_writing()
        os.close(self.reading)


@dataclass(frozen=True, slots=True)
class _Spilled:
    """A chunk that lies in the spill file."""

    offset: int
    length: int


class StreamQueue:
    """Chunks of the stream in order, from one thread that reads a pipe to one that asks for them.

    Attributes:
        received_bytes: What has come out of the pipe so far.
        spilled_bytes: What of it went through the spill file.
    """

    def __init__(
        self, pipe: int, spill_folder: Path, memory_limit_bytes: int = MEMORY_LIMIT_BYTES
    ) -> None:
        """Start to empty a pipe.

        Args:
            pipe: Its reading end.
            spill_folder: Where the spill file goes; it has no name and dies with us.
        """
        self.received_bytes = 0
        self.spilled_bytes = 0
        self._pipe = os.dup(pipe)
        self._spill_folder = spill_folder
        self._spill: IO[bytes] | None = None
        self._spill_end = 0
        self._spill_queued = 0
        self._memory_left = memory_limit_bytes
        self._chunks: deque[bytes | _Spilled] = deque()
        self._changed = threading.Condition()
        self._ended = False
        self._failure: OSError | None = None
        self._discarding = False
        self._thread = threading.Thread(target=self._empty_pipe, name="drain", daemon=True)
        self._thread.start()

    def next_chunk(self) -> bytes:
        """Wait for the next chunk and return it; empty when the stream has ended.

        Raises:
            HostError: the queue overflowed and the spill file could not take it.
        """
        with self._changed:
            while not self._chunks and not self._ended:
                self._changed.wait()
            if self._failure is not None:
                problem = f"the target is too slow, and {self._spill_folder} cannot take the rest"
                raise HostError(f"{problem}: {self._failure.strerror}")
            if not self._chunks:
                self._forget()
                return b""
            chunk = self._chunks.popleft()
            if isinstance(chunk, bytes):
                self._memory_left += len(chunk)
                return chunk
            return self._read_spilled(chunk)

    def discard(self) -> None:
        """Throw away what is queued and what still comes; the pipe is emptied all the same."""
        with self._changed:
            self._forget()
            self._changed.notify()

    def _empty_pipe(self) -> None:
        while True:
            try:
                chunk = os.read(self._pipe, READ_BYTES)
            except OSError:  # a pipe gives no other error than that it is not there any more
                chunk = b""
            with self._changed:
                self.received_bytes += len(chunk)
                self._ended = not chunk
                if chunk and not self._discarding:
                    self._store(chunk)
                self._changed.notify()
            if not chunk:
                os.close(self._pipe)
                return

    def _store(self, chunk: bytes) -> None:
        if len(chunk) <= self._memory_left:
            self._memory_left -= len(chunk)
            self._chunks.append(chunk)
            return
        try:
            self._chunks.append(self._write_spilled(chunk))
        except OSError as error:
            self._failure = error
            self._forget()

    def _forget(self) -> None:
        self._discarding = True
        self._chunks.clear()
        if self._spill is not None:
            self._spill.close()

    def _write_spilled(self, chunk: bytes) -> _Spilled:
        if self._spill is None:
            self._spill = tempfile.TemporaryFile(dir=self._spill_folder, buffering=0)  # noqa: SIM115
        if not self._spill_queued:
            self._spill.truncate(0)
            self._spill_end = 0
        spilled = _Spilled(self._spill_end, len(chunk))
        if os.pwrite(self._spill.fileno(), chunk, spilled.offset) < len(chunk):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self._spill_end += len(chunk)
        self._spill_queued += 1
        self.spilled_bytes += len(chunk)
        return spilled

    def _read_spilled(self, chunk: _Spilled) -> bytes:
        assert self._spill is not None
        self._spill_queued -= 1
        return os.pread(self._spill.fileno(), chunk.length, chunk.offset)
