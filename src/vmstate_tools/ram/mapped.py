"""Memory at fixed places in the file (capability mapped-ram, since QEMU 9.0).

Behind the entry of a block in the list of blocks there are a header, a bitmap of the pages that are
stored, and room for all pages; then the list goes on. QEMU 10.0.2 migration/ram.c,
mapped_ram_setup_ramblock() and ram_save_file_bmap().
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from vmstate_tools.core.errors import FormatError, UnsupportedError
from vmstate_tools.core.parse import parse_struct
from vmstate_tools.ram.wire import MAPPED_HEADER, MAPPED_VERSION

if TYPE_CHECKING:
    from collections.abc import Iterable

    import numpy.typing as npt

    from vmstate_tools.core.source import ByteSource

WORD_BITS = 64
"""Of the bitmap's words, on hosts that QEMU still runs on."""

STEP_BYTES = 4 << 20
"""Looked at together when pages are searched for content."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MappedPages:
    """Where the pages of a block are."""

    bitmap_offset: int
    pages_offset: int
    """Byte offset of its first page in the file."""
    bitmap: bytes = field(repr=False)
    """A bit for each page that is stored, in words of the host's byte order; any other page is
    zero, whatever is found in its place."""


def is_mapped_header(source: ByteSource, offset: int, page_size: int) -> bool:
    """Tell whether a header of a mapped block is at `offset`, not something before it."""
    header = parse_struct(MAPPED_HEADER, source, offset)
    return bool(header.version == MAPPED_VERSION and header.page_size == page_size)


def read_mapped_pages(
    source: ByteSource, offset: int, page_size: int, page_count: int
) -> tuple[MappedPages, int]:
    """Read the header and bitmap of a block; return them and the offset behind its pages.

    Args:
        offset: Of the header.

    Raises:
        FormatError: bitmap or pages overlap what is before them, or are not all there.
        UnsupportedError: another version, or a file whose offsets do not count from its beginning.
    """
    header = parse_struct(MAPPED_HEADER, source, offset)
    if header.version != MAPPED_VERSION:
        problem = f"version {header.version} of memory at fixed places (expected {MAPPED_VERSION})"
        raise UnsupportedError(problem, source=source.name, offset=offset, field="ram.block.mapped")
    if header.page_size != page_size:
        problem = f"pages of {header.page_size} bytes (expected {page_size})"
        raise _damaged(source, offset, problem)
    bitmap_bytes = -(-page_count // WORD_BITS) * (WORD_BITS // 8)
    _check_order(source, offset, header.bitmap_offset, header.pages_offset, bitmap_bytes)
    end = header.pages_offset + page_count * page_size
    if source.searchable:
        source.window(end, 1, "ram.block.mapped")  # before anything of that size is allocated
    bitmap = bytes(source.read_at(header.bitmap_offset, bitmap_bytes, "ram.block.bitmap"))
    source.release(end)
    mapped = MappedPages(
        bitmap_offset=header.bitmap_offset, pages_offset=header.pages_offset, bitmap=bitmap
    )
    return mapped, end


def _check_order(
    source: ByteSource, offset: int, bitmap_offset: int, pages_offset: int, bitmap_bytes: int
) -> None:
    end = offset + MAPPED_HEADER.sizeof()
    if bitmap_offset < end or pages_offset < bitmap_offset + bitmap_bytes:
        problem = (
            f"a bitmap of {bitmap_bytes} bytes at {bitmap_offset:#x} and pages at "
            f"{pages_offset:#x} (expected one behind the other from {end:#x} on)"
        )
        raise _damaged(source, offset, problem)


def stored_pages(
    blocks: Iterable[tuple[MappedPages, int]],
) -> list[npt.NDArray[np.bool_]]:
    """Return of each block which of its pages are stored; shape (page_count,).

    Nothing says which byte order the bitmaps have. Their last words do, unless all blocks have a
    multiple of 64 pages: bits behind the last page are never set.

    Args:
        blocks: What was read of it, and its number of pages.
    """
    found = [(np.frombuffer(mapped.bitmap, np.uint8), count) for mapped, count in blocks]
    bits = [np.unpackbits(data, bitorder="little") for data, _ in found]
    if any(stored[count:].any() for stored, (_, count) in zip(bits, found, strict=True)):
        swapped = (data.view(">u8").astype("<u8").view(np.uint8) for data, _ in found)
        bits = [np.unpackbits(data, bitorder="little") for data in swapped]
    return [stored[:count].astype(np.bool_) for stored, (_, count) in zip(bits, found, strict=True)]


def nonzero_pages(
    source: ByteSource, mapped: MappedPages, page_size: int, page_count: int
) -> npt.NDArray[np.bool_]:
    """Return which pages of a block hold anything but zeros, whatever the bitmap says of them.

    Args:
        source: Must be searchable.

    Returns:
        Shape (page_count,).
    """
    found = np.zeros(page_count, np.bool_)
    step = max(1, STEP_BYTES // page_size)
    for first in range(0, page_count, step):
        count = min(step, page_count - first)
        offset = mapped.pages_offset + first * page_size
        data = source.read_at(offset, count * page_size, "page")
        words = np.frombuffer(data, np.uint64).reshape(count, -1)
        found[first : first + count] = words.any(axis=1)
    return found


def _damaged(source: ByteSource, offset: int, problem: str) -> FormatError:
    return FormatError(problem, source=source.name, offset=offset, field="ram.block.mapped")
