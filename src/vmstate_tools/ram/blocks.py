"""The list of RAM blocks at the beginning of the `ram` section."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from vmstate_tools.core.errors import FormatError
from vmstate_tools.core.parse import parse_struct
from vmstate_tools.ram.mapped import MappedPages, is_mapped_header, read_mapped_pages
from vmstate_tools.ram.wire import BLOCK, BLOCK_ADDRESS, BLOCK_PAGE_SIZE, WORD, Flag

if TYPE_CHECKING:
    from collections.abc import Collection

    from vmstate_tools.core.source import ByteSource

MAX_BLOCKS = 4096
"""Real machines have a few dozen: memory, ROMs, video memory; DIMM slots end at 256."""

MAX_RAM_BYTES = 1 << 46
"""64 TiB, several times the largest machine that QEMU runs on; its page table has 128 GiB of
address space, of which only what is used becomes memory."""

MAX_BLOCK_PAGE_BYTES = 1 << 34
"""16 GiB, the largest page that a host backs memory with (hugetlbfs on ppc64)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RamBlock:
    """A RAM block as the stream lists it."""

    name: str
    size: int
    """Used length in bytes, a multiple of the target page size."""
    first_page: int
    """Number of its first page, counted through all blocks."""
    page_count: int
    """In target pages."""
    page_size: int | None
    """Size in bytes of the host's pages under it, where the stream says so."""
    address: int | None
    """Guest-physical address, where the stream says so (capability x-ignore-shared)."""
    mapped: MappedPages | None = None
    """Where its pages are, if they have fixed places (capability mapped-ram)."""


def read_blocks(
    source: ByteSource, offset: int, page_size: int, capabilities: Collection[str]
) -> tuple[tuple[RamBlock, ...], int]:
    """Read the list of blocks; return it and the offset of its end.

    Args:
        offset: Of the word that holds the sum of all lengths.
        page_size: Target page size in bytes.
        capabilities: As the configuration lists them; they change the layout.

    Raises:
        FormatError: lengths that do not add up, a name that occurs twice, an absurd size.
        UnsupportedError: a kind of mapped-ram file that QEMU 10.0 does not write.
    """
    total = _read_total(source, offset, page_size)
    offset += WORD.size
    blocks: dict[str, RamBlock] = {}
    listed = 0
    while listed < total:
        block, end = _read_block(source, offset, page_size, listed, capabilities)
        listed += block.size
        _check_block(source, offset, block, page_size)
        if block.name in blocks:
            raise _damaged(source, offset, f"block {block.name!r} is listed twice")
        if listed > total or len(blocks) == MAX_BLOCKS:
            problem = f"more than {total} bytes or {MAX_BLOCKS} blocks are listed"
            raise _damaged(source, offset, problem)
        blocks[block.name] = block
        offset = end
    return tuple(blocks.values()), offset


def _read_total(source: ByteSource, offset: int, page_size: int) -> int:
    (word,) = WORD.unpack(source.read_at(offset, WORD.size, "ram.word"))
    total = word & -page_size
    if word != total | Flag.MEM_SIZE:
        problem = f"{word:#x} (expected the total size of memory, flag {int(Flag.MEM_SIZE)})"
        raise FormatError(problem, source=source.name, offset=offset, field="ram.word")
    if total > MAX_RAM_BYTES:
        problem = f"{total} bytes of memory (at most {MAX_RAM_BYTES})"
        raise FormatError(problem, source=source.name, offset=offset, field="ram.word")
    return int(total)


def _read_block(
    source: ByteSource, offset: int, page_size: int, listed: int, capabilities: Collection[str]
) -> tuple[RamBlock, int]:
    head = parse_struct(BLOCK, source, offset)
    end = offset + head.end
    address = block_page_size = mapped = None
    is_mapped = "mapped-ram" in capabilities
    if "x-ignore-shared" in capabilities:
        # QEMU 10.0.2 writes the address before the header of mapped pages, but does not expect it.
        if not is_mapped or not is_mapped_header(source, end, page_size):
            address = parse_struct(BLOCK_ADDRESS, source, end)
            end += BLOCK_ADDRESS.sizeof()
    elif not is_mapped:
        block_page_size = _find_block_page_size(source, end, page_size)
        if block_page_size is not None:
            end += BLOCK_PAGE_SIZE.sizeof()
    if is_mapped:
        mapped, end = read_mapped_pages(source, end, page_size, head.size // page_size)
    block = RamBlock(
        name=head.name,
        size=head.size,
        first_page=listed // page_size,
        page_count=head.size // page_size,
        page_size=block_page_size,
        address=address,
        mapped=mapped,
    )
    return block, end


def _find_block_page_size(source: ByteSource, offset: int, page_size: int) -> int | None:
    """Return the page size that may follow a block's length; nothing announces it.

    A block's name never begins with a zero byte (its length) and a record's word always has a
    flag, so that a power of two in place of them can only be a page size.
    """
    value = int(parse_struct(BLOCK_PAGE_SIZE, source, offset))
    if value.bit_count() == 1 and page_size < value <= MAX_BLOCK_PAGE_BYTES:
        return value
    return None


def _check_block(source: ByteSource, offset: int, block: RamBlock, page_size: int) -> None:
    if not block.name:
        raise _damaged(source, offset, "a block without a name")
    if block.size % page_size:
        problem = f"block {block.name!r} has {block.size} bytes, not a multiple of {page_size}"
        raise _damaged(source, offset, problem)


def _damaged(source: ByteSource, offset: int, problem: str) -> FormatError:
    return FormatError(problem, source=source.name, offset=offset, field="ram.block")
