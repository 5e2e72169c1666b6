"""Guest memory by RAM block, read when somebody asks for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vmstate_tools.ram.encodings import (
    COMPRESSED,
    FILLED,
    OFFSET_MASK,
    PATCHED,
    ZERO_PAGE,
    inflate_page,
    patch_page,
)

if TYPE_CHECKING:
    from vmstate_tools.core.source import ByteSource
    from vmstate_tools.ram.index import RamIndex


class RamImage:
    """The memory that an index describes. Pages that are zero or absent read as zeros.

    Attributes:
        index: Tells which blocks there are, and what is known of their pages.
    """

    def __init__(self, source: ByteSource, index: RamIndex) -> None:
        """Make one.

        Args:
            source: Holds the stream that the index was made from; it must be searchable.
            index: Made by RamReader.
        """
        assert source.searchable, "pages are read in any order"
        self.index = index
        self._source = source
        self._zero_page = memoryview(bytes(index.page_size))

    def read_page(self, block: str, page: int) -> memoryview:
        """Return a page, without copying it where it is stored byte for byte.

        Args:
            block: Name of a block.
            page: Number of the page in it.

        Raises:
            KeyError: there is no such block.
            IndexError: the block has no such page.
            FormatError: it is compressed or patched, and that is damaged.
        """
        if page < 0:
            raise IndexError(page)
        entry = int(self.index.entries(block)[page])
        if entry <= ZERO_PAGE:
            return self._zero_page
        if entry <= OFFSET_MASK:
            return self._source.read_at(entry, self.index.page_size, "page")
        return self._decode(entry)

    def _decode(self, entry: int) -> memoryview:
        """Return a page that is not stored byte for byte."""
        if entry >= PATCHED:
            entry, offsets = self.index.patches.chain(entry)
            page = bytearray(self._read_unpatched(entry))
            for offset in offsets:
                patch_page(self._source, offset, page)
            return memoryview(page).toreadonly()
        return self._read_unpatched(entry)

    def _read_unpatched(self, entry: int) -> memoryview:
        offset, encoding = entry & OFFSET_MASK, entry & ~OFFSET_MASK
        page_size = self.index.page_size
        if entry <= ZERO_PAGE:
            return self._zero_page
        if encoding == FILLED:
            return memoryview(bytes(self._source.read_at(offset, 1, "page")) * page_size)
        if encoding == COMPRESSED:
            return memoryview(inflate_page(self._source, offset, page_size))
        return self._source.read_at(offset, page_size, "page")

    def read(self, block: str, offset: int, length: int) -> bytes:
        """Return `length` bytes of a block, from byte `offset` on.

        Raises:
            KeyError: there is no such block.
            IndexError: the range is not inside of it.
            FormatError: see read_page.
        """
        size = self.index.block(block).size
        if offset < 0 or length < 0 or offset + length > size:
            problem = f"{length} bytes at {offset:#x} of block {block!r}, which has {size}"
            raise IndexError(problem)
        page_size = self.index.page_size
        first = offset // page_size
        pages = (
            self.read_page(block, page) for page in range(first, -(-(offset + length) // page_size))
        )
        start = offset - first * page_size
        return b"".join(pages)[start : start + length]
