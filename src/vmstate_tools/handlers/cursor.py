"""A place in a payload that moves on as the payload is read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vmstate_tools.core.errors import FormatError, TruncatedError, UnsupportedError
from vmstate_tools.handlers.wire import BYTE

if TYPE_CHECKING:
    from struct import Struct as Packed

    from vmstate_tools.core.source import ByteSource


class Cursor:
    """Reads items one after the other, and passes bulk data without touching it.

    Attributes:
        offset: Of the next item, absolute in the source.
    """

    __slots__ = ("_field", "_item_offset", "_source", "offset")

    def __init__(self, source: ByteSource, offset: int, field: str) -> None:
        """Make one.

        Args:
            field: What error messages say is being read.
        """
        self.offset = offset
        self._item_offset = offset
        self._source = source
        self._field = field

    def take(self, declaration: Packed) -> tuple[Any, ...]:
        """Read one item.

        Raises:
            TruncatedError: the data ends inside it.
        """
        data = self._source.read_at(self.offset, declaration.size, self._field)
        self._item_offset = self.offset
        self.offset += declaration.size
        return declaration.unpack(data)

    def take_name(self) -> str:
        """Read a byte with a length and so many characters; latin-1 can show any byte.

        Raises:
            TruncatedError: the data ends inside it.
        """
        (length,) = self.take(BYTE)
        name = bytes(self._source.read_at(self.offset, length, self._field))
        self.offset += length
        return name.decode("latin-1")

    def skip(self, length: int) -> None:
        """Pass `length` bytes, which a pipe need not keep.

        Raises:
            TruncatedError: there are less.
        """
        start, self.offset = self.offset, self.offset + length
        self._source.release(self.offset)
        if length and self._source.at_end(self.offset - 1):
            problem = f"the data ends too early (expected {length} bytes)"
            raise TruncatedError(problem, source=self._source.name, offset=start, field=self._field)

    def damaged(self, problem: str) -> FormatError:
        """Make the error that says so of the item taken last."""
        return FormatError(
            problem, source=self._source.name, offset=self._item_offset, field=self._field
        )

    def unsupported(self, problem: str) -> UnsupportedError:
        """Make the error that says so of the item taken last."""
        return UnsupportedError(
            problem, source=self._source.name, offset=self._item_offset, field=self._field
        )
