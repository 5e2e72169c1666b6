"""See how far the reader of a source is: for a digest in the same pass, and for progress."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from vmstate_tools.core.source import ByteSource

    OnPassed = Callable[[ByteSource, int, int], object]
    """Called with the source, and the range that was passed: its start, and its end (excluded)."""


class PassingSource:
    """A ByteSource that tells what its reader has passed: every byte once, and in order."""

    def __init__(self, source: ByteSource, on_passed: OnPassed) -> None:
        """Make one.

        Args:
            on_passed: Called just before the source lets go of bytes.
        """
        self.name = source.name
        self.searchable = source.searchable
        self._source = source
        self._on_passed = on_passed
        self._passed = 0

    def window(self, offset: int, minimum: int, field: str) -> memoryview:
        """See ByteSource."""
        return self._source.window(offset, minimum, field)

    def read_at(self, offset: int, length: int, field: str) -> memoryview:
        """See ByteSource."""
        return self._source.read_at(offset, length, field)

    def at_end(self, offset: int) -> bool:
        """See ByteSource."""
        return self._source.at_end(offset)

    def size_to_end(self) -> int:
        """See ByteSource."""
        return self._source.size_to_end()

    def release(self, offset: int) -> None:
        """See ByteSource."""
        # A file may be told to let go of more than there is; of a pipe, nobody knows its end yet.
        self._pass(min(offset, self._source.size_to_end()) if self.searchable else offset)
        self._source.release(offset)

    def pass_rest(self) -> None:
        """Tell of what has not been released: the tail, where devices are."""
        self._pass(self._source.size_to_end())

    def _pass(self, end: int) -> None:
        if end > self._passed:
            self._on_passed(self._source, self._passed, end)
            self._passed = end
