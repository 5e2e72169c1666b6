"""Writes the stream to its file, and reads it on the way: once, in order, in one thread."""

from __future__ import annotations

import hashlib
import os
import threading
from typing import TYPE_CHECKING

from vmstate_tools.core.errors import HostError, LocatedError, QemuError
from vmstate_tools.core.source import ForwardSource
from vmstate_tools.snapshot.manifest import FileDigest
from vmstate_tools.snapshot.open import Snapshot, read_snapshot

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from vmstate_tools.live.drain import StreamQueue

REST_SECONDS = 0.1
"""A pause takes less, and whoever has not let us go on by then has failed."""


class Recording:
    """A stream on its way from the queue to a file."""

    def __init__(self, queue: StreamQueue, path: Path, on_first_page: Callable[[], object]) -> None:
        """Create `path`, which must not exist, and start; behind the first page it rests a little.

        Args:
            on_first_page: Called from the recording thread when the first page record has come.

        Raises:
            HostError: the file cannot be created.
        """
        self._queue = queue
        self._path = path
        self._on_first_page = on_first_page
        self._may_go_on = threading.Event()
        self._digest = hashlib.sha256()
        self._bytes = 0
        self._snapshot: Snapshot | None = None
        self._failure: HostError | None = None
        try:
            # Guest memory holds keys and passwords: nobody else may read it.
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise HostError(f"{path}: {error.strerror}") from error
        self._file = os.fdopen(descriptor, "wb", buffering=0)
        self._thread = threading.Thread(target=self._record, name="record", daemon=True)
        self._thread.start()

    @property
    def is_done(self) -> bool:
        """Whether the stream has ended and is on disk, or writing it has failed."""
        return not self._thread.is_alive()

    def go_on(self) -> None:
        """End the rest: the guest runs again.

        Until then all time is for the thread that answers QEMU. Python runs one thread at a time,
        and `cont` went out 2 to 5 ms after the first page instead of one.
        """
        self._may_go_on.set()

    def finish(self) -> tuple[Snapshot, FileDigest]:
        """Wait for the end of the stream; return what it holds, on disk and synced.

        Raises:
            HostError: the file could not be written.
            QemuError: what QEMU wrote is not a stream.
        """
        self._thread.join()
        if self._failure is not None:
            raise self._failure
        assert self._snapshot is not None
        return self._snapshot, FileDigest(bytes=self._bytes, sha256=self._digest.hexdigest())

    def discard(self) -> None:
        """Throw the rest of the stream away; the pipe is emptied all the same."""
        self._queue.discard()

    def _record(self) -> None:
        try:
            with self._file:
                source = ForwardSource(self._next_chunk, str(self._path))
                self._snapshot = read_snapshot(source, on_first_page=self._rest)
                os.fsync(self._file.fileno())
        except LocatedError as error:
            self._failure = QemuError(f"what QEMU wrote cannot be read: {error}")
        except HostError as error:
            self._failure = error
        except OSError as error:
            self._failure = HostError(f"{self._path}: {error.strerror}")
        finally:
            # The pipe is emptied to its end, whatever becomes of the snapshot.
            self._queue.discard()

    def _rest(self) -> None:
        self._on_first_page()
        self._may_go_on.wait(REST_SECONDS)

    def _next_chunk(self) -> bytes:
        chunk = self._queue.next_chunk()
        view = memoryview(chunk)
        while view:
            view = view[self._file.write(view) :]
        self._digest.update(chunk)
        self._bytes += len(chunk)
        return chunk
