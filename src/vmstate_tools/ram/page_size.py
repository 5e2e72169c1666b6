"""The size of a page where the stream does not say it before memory comes.

That is so for boards that use the smallest page of their CPU family (arm: 1 KiB, avr: 256 bytes):
only the description at the end has it, which is too late on a pipe, and may be missing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vmstate_tools.core.errors import LocatedError
from vmstate_tools.core.parse import parse_struct
from vmstate_tools.ram.blocks import MAX_BLOCKS
from vmstate_tools.ram.wire import BLOCK, WORD, Flag
from vmstate_tools.stream import wire
from vmstate_tools.stream.preamble import DEFAULT_PAGE_BYTES, PAGE_BITS
from vmstate_tools.stream.records import SectionKind

if TYPE_CHECKING:
    from vmstate_tools.core.source import ByteSource

_SMALLEST_PAGE_BYTES = 1 << PAGE_BITS.start
_SMALLER_SIZES = [1 << bits for bits in PAGE_BITS if 1 << bits < DEFAULT_PAGE_BYTES]
# The usual size is tried first: what looks like a record may be content of the page.
_SIZES = [DEFAULT_PAGE_BYTES, *(1 << bits for bits in PAGE_BITS if 1 << bits != DEFAULT_PAGE_BYTES)]
_FLAGS_MASK = _SMALLEST_PAGE_BYTES - 1
_FOLLOWING = {Flag.CONTINUE | Flag.PAGE, Flag.CONTINUE | Flag.ZERO}
_SECTION_HEAD_BYTES = 1 + wire.PART_HEADER.size


def guess_page_size(source: ByteSource, offset: int) -> int | None:
    """Return the size in bytes of a page, or None if the first two pages do not show it.

    Memory is sent page after page at first, so the address of the second page is the size of one.

    Args:
        offset: Of the list of blocks, at the word that holds the sum of all lengths. A source that
            uses postcopy, mapped-ram or x-ignore-shared has more in that list.
    """
    try:
        return _second_address(source, _first_record(source, _list_end(source, offset)))
    except LocatedError:
        return None  # whoever reads it in earnest will say what is wrong


def _list_end(source: ByteSource, offset: int) -> int:
    missing = _word(source, offset) & ~_FLAGS_MASK
    offset += WORD.size
    for _ in range(MAX_BLOCKS):
        if missing <= 0:
            break
        block = parse_struct(BLOCK, source, offset)
        missing -= block.size
        offset += block.end
    return offset


def _first_record(source: ByteSource, offset: int) -> int:
    """Return where the first record of a page should be, in this section or in the next."""
    if _word(source, offset) != Flag.EOS:
        return offset
    offset += WORD.size
    if source.read_at(offset, 1, "footer")[0] == wire.FOOTER:
        offset += wire.FOOTER_RECORD.size
    is_part = source.read_at(offset, 1, "section type")[0] in {SectionKind.PART, SectionKind.END}
    return offset + _SECTION_HEAD_BYTES if is_part else offset


def _second_address(source: ByteSource, offset: int) -> int | None:
    """Return the address in the record behind the first one; None if it is no size of a page."""
    flags = _word(source, offset)
    name_bytes = source.read_at(offset + WORD.size, 1, "ram.record")[0]
    body = offset + WORD.size + 1 + name_bytes
    if flags == Flag.ZERO:
        address = _following_address(source, body + 1)
        # A higher one may be that of the third page, where the second was left out.
        return address if address in _SMALLER_SIZES else None
    if flags == Flag.PAGE:
        for page_size in _SIZES:
            if _following_address(source, body + page_size) == page_size:
                return page_size
    return None


def _following_address(source: ByteSource, offset: int) -> int | None:
    if source.at_end(offset + WORD.size - 1):
        return None
    word = _word(source, offset)
    return word & ~_FLAGS_MASK if word & _FLAGS_MASK in _FOLLOWING else None


def _word(source: ByteSource, offset: int) -> int:
    (word,) = WORD.unpack(source.read_at(offset, WORD.size, "ram.word"))
    return int(word)
