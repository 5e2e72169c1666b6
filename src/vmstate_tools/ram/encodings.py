"""How the content of a page is stored, where that is not simply byte for byte.

An entry of the page index is a place in the stream, and how to read what is there is in its two
highest bits: no stream is that long.

Layouts: QEMU 7.2 migration/ram.c (save_compressed_page(), ram_handle_compressed()) and 10.0.2
migration/xbzrle.c.
"""

from __future__ import annotations

import zlib
from array import array
from typing import TYPE_CHECKING

from vmstate_tools.core.errors import FormatError
from vmstate_tools.ram.wire import COMPRESSED_LENGTH, PATCH_HEADER, PATCH_METHOD

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from vmstate_tools.core.source import ByteSource

ABSENT_PAGE = 0
ZERO_PAGE = 1
"""What stands for a zero page where others have the offset of their data, which is never below 8
because the header of the stream is there."""

ENCODING_SHIFT = 62
OFFSET_MASK = (1 << ENCODING_SHIFT) - 1
PLAIN, COMPRESSED, FILLED, PATCHED = (number << ENCODING_SHIFT for number in range(4))
"""COMPRESSED: the offset is that of the length before a zlib stream. FILLED: of the one byte that
fills the page. PATCHED: no offset but a number in Patches."""

_SECOND_BYTE = 0x80
"""Bit of the first byte of a count in a patch: the higher bits are in a second one."""

_COUNT_BYTES = 2
"""What QEMU wants to be there for every count, needed or not."""


class Patches:
    """What XBZRLE records change: each the content that its page had before.

    A chain from the last record of a page to its first, so that a record costs 16 bytes.
    """

    def __init__(self) -> None:
        self._offsets = array("Q")
        self._before = array("Q")

    def __len__(self) -> int:
        """Return the number of patches."""
        return len(self._offsets)

    def extend(self, offsets: npt.NDArray[np.uint64], before: npt.NDArray[np.uint64]) -> None:
        """Add patches: offsets of their headers in the stream, and the entries they change."""
        self._offsets.frombytes(offsets.tobytes())
        self._before.frombytes(before.tobytes())

    def chain(self, entry: int) -> tuple[int, list[int]]:
        """Return the entry below all patches, and their offsets in the order to apply them."""
        offsets = []
        while entry >= PATCHED:
            number = entry & OFFSET_MASK
            offsets.append(self._offsets[number])
            entry = self._before[number]
        return entry, offsets[::-1]


def longest_compressed(page_size: int) -> int:
    """Return how many bytes a compressed page can have: zlib's compressBound()."""
    return page_size + (page_size >> 12) + (page_size >> 14) + 13


def inflate_page(source: ByteSource, offset: int, page_size: int) -> bytes:
    """Return the content of a compressed page whose length is at `offset`.

    Raises:
        FormatError: it is damaged, or is not one page.
    """
    (length,) = COMPRESSED_LENGTH.unpack(source.read_at(offset, COMPRESSED_LENGTH.size, "page"))
    data_offset = offset + COMPRESSED_LENGTH.size
    inflater = zlib.decompressobj()
    try:
        page = inflater.decompress(source.read_at(data_offset, length, "page"), page_size + 1)
    except zlib.error as error:
        problem = f"a compressed page: {error}"
        raise _damaged(source, data_offset, problem) from error
    if len(page) != page_size or not inflater.eof:
        more = "" if inflater.eof else " or more"
        problem = f"a compressed page of {len(page)} bytes{more} (expected {page_size})"
        raise _damaged(source, data_offset, problem)
    return page


def patch_page(source: ByteSource, offset: int, page: bytearray) -> None:
    """Change the page as the XBZRLE record says whose header is at `offset`.

    Unchanged and literal bytes take turns; the length of each is before it.

    Raises:
        FormatError: it leads out of the page or itself, or has a length of zero where QEMU
            allows none.
    """
    _, length = PATCH_HEADER.unpack(source.read_at(offset, PATCH_HEADER.size, "page"))
    start = offset + PATCH_HEADER.size
    patch = source.read_at(start, length, "page")
    position = place = 0
    while position < length:
        before = position
        skipped, position = _read_count(patch, position)
        copied, position = _read_count(patch, position)
        end = place + skipped + copied
        if not copied or position + copied > length or end > len(page) or (before and not skipped):
            problem = f"a difference of {skipped} unchanged and {copied} new bytes makes no sense"
            raise _damaged(source, start + before, problem)
        page[end - copied : end] = patch[position : position + copied]
        place = end
        position += copied


def _read_count(patch: memoryview, position: int) -> tuple[int, int]:
    """Return a count and the position behind it; a count of 0, and the end, where there is none."""
    pair = patch[position : position + _COUNT_BYTES]
    if len(pair) < _COUNT_BYTES:
        return 0, len(patch)
    low, high = pair
    if low < _SECOND_BYTE:
        return low, position + 1
    if high < _SECOND_BYTE:
        return low - _SECOND_BYTE | high << 7, position + 2
    return 0, len(patch)


def find_size_problem(*, patched: bool, method: int, length: int, page_size: int) -> str | None:
    """Tell what is wrong with the size of a compressed page or a patch; None if nothing is.

    Args:
        method: Of a patch.
    """
    limit = page_size if patched else longest_compressed(page_size)
    if patched and method != PATCH_METHOD:
        return f"a difference by method {method} (expected {PATCH_METHOD})"
    if length > limit:
        return f"a page in {length} bytes (at most {limit})"
    return None


def _damaged(source: ByteSource, offset: int, problem: str) -> FormatError:
    return FormatError(problem, source=source.name, offset=offset, field="page")
