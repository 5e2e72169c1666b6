"""Writes memory at fixed places in the file, as the capability mapped-ram does.

Written from mapped_ram_setup_ramblock() and ram_save_file_bmap() in QEMU 10.0.2 migration/ram.c.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from builders import stream as build

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

HEADER_BYTES = 28


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """What a header says, where it is not the truth."""

    page_size: int = build.PAGE_SIZE
    alignment: int = build.PAGE_SIZE
    """Of the pages; 1 MiB in files of QEMU."""
    version: int = 1
    said_page_size: int | None = None
    bitmap_shift: int = 0
    pages_shift: int = 0
    marked: bool = True
    """Whether the bitmaps were written."""
    big_endian: bool = False
    addresses: bool = False
    """Whether the address of a block stands before the header."""


def mapped_setup(
    start: int, blocks: Mapping[str, Sequence[bytes]], layout: Layout | None = None
) -> bytes:
    """The block list with all pages, for a file in which it begins at `start`.

    Args:
        blocks: Name of a RAM block to its pages: content, or b"" for zero.
    """
    layout = layout or Layout()
    page_size = layout.page_size
    total = sum(len(pages) for pages in blocks.values()) * page_size
    out = build.be64(total | build.RAM_MEM_SIZE)
    for name, pages in blocks.items():
        out += build.str8(name) + build.be64(len(pages) * page_size)
        out += build.be64(0) if layout.addresses else b""
        bitmap_offset = start + len(out) + HEADER_BYTES
        bitmap = bitmap_of(pages, layout)
        pages_offset = -(-(bitmap_offset + len(bitmap)) // layout.alignment) * layout.alignment
        out += build.be32(layout.version) + build.be64(layout.said_page_size or page_size)
        out += build.be64(bitmap_offset + layout.bitmap_shift)
        out += build.be64(pages_offset + layout.pages_shift)
        out = (out + bitmap).ljust(pages_offset - start, b"\0")
        out += b"".join(data or bytes(page_size) for data in pages)
    return out


def bitmap_of(pages: Sequence[bytes], layout: Layout) -> bytes:
    out = b""
    for first in range(0, len(pages), 64):
        stored = [bool(data) and layout.marked for data in pages[first : first + 64]]
        word = sum(1 << number for number, bit in enumerate(stored) if bit)
        out += word.to_bytes(8, "big" if layout.big_endian else "little")
    return out


def mapped_stream(
    blocks: Mapping[str, Sequence[bytes]], layout: Layout | None = None, *, end: bool = True
) -> bytes:
    """A whole file; without `end` that of a background snapshot."""
    layout = layout or Layout()
    names = ["mapped-ram", *(["x-ignore-shared"] if layout.addresses else [])]
    bits = build.page_bits(layout.page_size.bit_length() - 1)
    out = build.header() + build.configuration(subsections=bits + build.capabilities(*names))
    out += build.section(build.START, footers=False)
    out += mapped_setup(len(out), blocks, layout) + build.ram_eos()
    out += build.footer(build.RAM_SECTION_ID)
    kinds = [build.PART, *([build.END] if end else [])]
    out += b"".join(build.section(kind, build.ram_eos()) for kind in kinds)
    device = build.Device()
    return out + device.section() + build.eof() + build.description(build.vmdesc([device]))
