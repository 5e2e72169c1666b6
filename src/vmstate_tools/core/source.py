"""Where bytes come from: random access without a hidden position.

Readers ask for a *window*: as many bytes from an offset on as the source has at hand. A mapped
file and a pipe differ only in how long that window is, so the same code walks both.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import sys
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Protocol, Self

from vmstate_tools.core.errors import (
    FormatError,
    HostError,
    TruncatedError,
    UnsupportedError,
    UsageError,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

WINDOW_BYTES = 32 << 20
"""Length of the window that a mapped file hands out: long enough to make the cost per window
vanish, short enough that the pages it has touched do not count as our memory for long."""

PIPE_BYTES = 1 << 20
"""What a pipe is made to hold, if it may: the most that Linux allows everybody."""

CHUNK_BYTES = 256 << 10
"""What is asked of a pipe at once. More costs more: the buffer is allocated anew each time."""

MAX_TAIL_BYTES = 512 << 20
"""What a pipe may keep in memory behind the last page of RAM. Device state is tens of MiB at
most; the description that explains it comes after it, so it has to be kept until then."""


class ByteSource(Protocol):
    """Bytes by absolute offset.

    Every method raises TruncatedError, naming the offset, when the bytes are not there.
    """

    name: str
    """What error messages call it: a path, `-`, the name of a slice."""
    searchable: bool
    """Whether every offset can be read at any time; a pipe can only be read onwards."""

    def window(self, offset: int, minimum: int, field: str) -> memoryview:
        """Return the bytes from `offset` on: at least `minimum`, and what else is at hand.

        Args:
            minimum: Bytes that the caller cannot do without.
            field: What the caller is reading, for the error message.
        """

    def read_at(self, offset: int, length: int, field: str) -> memoryview:
        """Return exactly `length` bytes at `offset`, without copying where that is possible."""

    def at_end(self, offset: int) -> bool:
        """Tell whether no byte follows; on a pipe this may wait for one."""

    def release(self, offset: int) -> None:
        """Let go of everything before `offset`: it will not be asked for again in this pass."""

    def size_to_end(self) -> int:
        """Total length in bytes. A pipe is read to its end and kept from the last release on."""


class BytesSource:
    """Bytes in memory: a buffer, a slice of a map."""

    searchable = True

    def __init__(
        self,
        data: bytes | bytearray | memoryview | mmap.mmap,
        name: str,
        window_bytes: int = WINDOW_BYTES,
    ) -> None:
        self.name = name
        self._data = memoryview(data).cast("B")
        self._window_bytes = window_bytes

    def window(self, offset: int, minimum: int, field: str) -> memoryview:
        """See ByteSource."""
        if offset + minimum > len(self._data):
            raise _truncated(self.name, offset, minimum, len(self._data), field)
        return self._data[offset : offset + max(minimum, self._window_bytes)]

    def read_at(self, offset: int, length: int, field: str) -> memoryview:
        """See ByteSource."""
        return self.window(offset, length, field)[:length]

    def at_end(self, offset: int) -> bool:
        """See ByteSource."""
        return offset >= len(self._data)

    def release(self, offset: int) -> None:
        """Nothing to let go of."""

    def size_to_end(self) -> int:
        """See ByteSource."""
        return len(self._data)


class FileSource(BytesSource):
    """A file or block device, mapped; what was passed stays in the page cache only."""

    def __init__(self, path: Path) -> None:
        """Map it.

        Raises:
            UsageError: it cannot be opened.
        """
        self._map: mmap.mmap | None = None
        self._released = 0
        try:
            with path.open("rb") as file:
                size = file.seek(0, os.SEEK_END)  # a block device has no st_size
                if size:  # mmap refuses an empty file; it is not an error of this layer
                    self._map = mmap.mmap(file.fileno(), size, access=mmap.ACCESS_READ)
        except OSError as error:
            raise UsageError(f"{path}: {error.strerror}") from error
        super().__init__(self._map or b"", str(path))

    def release(self, offset: int) -> None:
        """Unmap what lies before `offset`, so that it does not count as our memory."""
        end = offset - offset % mmap.ALLOCATIONGRANULARITY
        if self._map is not None and end > self._released:
            self._map.madvise(mmap.MADV_DONTNEED, self._released, end - self._released)
            self._released = end

    def close(self) -> None:
        """Unmap the file. Views that were handed out keep it alive until they go."""
        self._data.release()
        if self._map is not None:
            try:
                self._map.close()
            except BufferError:  # a view is still out; the map goes with it
                self._map = None

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Unmap the file."""
        self.close()


class ForwardSource:
    """A pipe, or anything that yields its bytes once and in order."""

    searchable = False

    def __init__(self, next_chunk: Callable[[], bytes], name: str) -> None:
        """Make one.

        Args:
            next_chunk: Returns the next bytes, at least one; an empty buffer at the end.
            name: What error messages call it.
        """
        self.name = name
        self._next_chunk = next_chunk
        self._kept = memoryview(b"")  # immutable, so that views of it may live on
        self._kept_offset = 0
        self._released = 0
        self._ended = False

    @property
    def _end(self) -> int:
        return self._kept_offset + len(self._kept)

    def window(self, offset: int, minimum: int, field: str) -> memoryview:
        """See ByteSource.

        Raises:
            UnsupportedError: `offset` lies before the last release: a device that comes before
                guest memory has passed when its description comes.
        """
        self._fill(offset + minimum)
        if offset < self._kept_offset:
            problem = "this has passed: a pipe cannot be read again (give a file)"
            raise UnsupportedError(problem, source=self.name, offset=offset, field=field)
        if self._end < offset + minimum:
            raise _truncated(self.name, offset, minimum, self._end, field)
        return self._kept[offset - self._kept_offset :]

    def read_at(self, offset: int, length: int, field: str) -> memoryview:
        """See ByteSource."""
        return self.window(offset, length, field)[:length]

    def at_end(self, offset: int) -> bool:
        """See ByteSource."""
        self._fill(offset + 1)
        return self._end <= offset

    def release(self, offset: int) -> None:
        """See ByteSource. May lie ahead: the bytes until there are dropped as they come."""
        self._released = max(self._released, offset)

    def size_to_end(self) -> int:
        """See ByteSource.

        Raises:
            FormatError: more than MAX_TAIL_BYTES would have to be kept.
        """
        limit = self._released + MAX_TAIL_BYTES
        if not self.at_end(limit):
            problem = f"more than {MAX_TAIL_BYTES} bytes follow that only their end explains"
            raise FormatError(problem, source=self.name, offset=self._released)
        return self._end

    def _fill(self, end: int) -> None:
        """Read until the byte before `end` has come, or nothing comes any more."""
        got = self._end
        if got >= end or self._ended:
            return
        start = max(self._kept_offset, min(self._released, got))
        pieces: list[bytes | memoryview] = [self._kept[start - self._kept_offset :]]
        while got < end and not self._ended:
            chunk = self._next_chunk()
            self._ended = not chunk
            pieces.append(chunk)
            got += len(chunk)
            if got <= self._released:
                pieces.clear()
                start = got
        self._kept = memoryview(b"".join(pieces))
        self._kept_offset = start


@contextmanager
def open_source(path: Path) -> Iterator[ByteSource]:
    """Open a path by what it is: a file or block device is mapped, a FIFO is read onwards.

    Args:
        path: `-` is standard input.

    Raises:
        UsageError: it cannot be opened.
        HostError: a pipe failed while it was read.
    """
    if str(path) == "-":
        yield pipe_source(sys.stdin.fileno(), "-")
    elif path.is_fifo():
        with path.open("rb", buffering=0) as file:
            yield pipe_source(file.fileno(), str(path))
    else:
        with FileSource(path) as source:
            yield source


def pipe_source(descriptor: int, name: str) -> ForwardSource:
    """Read a pipe, or anything else that has a descriptor, from where it stands to its end.

    The source raises HostError when the pipe fails.
    """
    # Only a pipe can be widened, and the user's pipes may be too many: then it stays as it is.
    with suppress(OSError):
        fcntl.fcntl(descriptor, fcntl.F_SETPIPE_SZ, PIPE_BYTES)

    def next_chunk() -> bytes:
        try:
            return os.read(descriptor, CHUNK_BYTES)
        except OSError as error:
            raise HostError(f"{name}: {error.strerror}") from error

    return ForwardSource(next_chunk, name)


def _truncated(name: str, offset: int, wanted: int, size: int, field: str) -> TruncatedError:
    problem = f"the data ends {offset + wanted - size} bytes too early (expected {wanted} bytes)"
    return TruncatedError(problem, source=name, offset=min(offset, size), field=field)
