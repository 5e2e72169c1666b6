"""See the bytes of a source go by while somebody else reads it: a digest in the same pass."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from vmstate_tools.core.source import ByteSource


class PassingSource:
    """A ByteSource that shows every byte once, in order, when its reader has let go of it."""

    def __init__(self, source: ByteSource, on_bytes: Callable[[memoryview], object]) -> None:
        """Make one.

        Args:
            source: Searchable, so that bytes may be shown that nobody has read.
            on_bytes: Called with the next bytes.
        """
        assert source.searchable, "what a pipe has released is gone"
        self.name = source.name
        self.searchable = True
        self._source = source
        self._on_bytes = on_bytes
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
        self._pass(min(offset, self._source.size_to_end()))
        self._source.release(offset)

    def pass_rest(self) -> None:
        """Show what has not been released yet."""
        self._pass(self._source.size_to_end())

    def _pass(self, end: int) -> None:
        while self._passed < end:
            window = self._source.window(self._passed, 1, "file")[: end - self._passed]
            self._on_bytes(window)
            self._passed += len(window)
