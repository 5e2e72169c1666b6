"""Find the end of a payload that nobody can read: by the footer behind it.

A footer repeats the id of its section, and a header that makes sense follows it; together they
are a strong sign. Streams without footers have nothing of the kind.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from vmstate_tools.core.errors import FormatError
from vmstate_tools.core.parse import parse_struct
from vmstate_tools.stream import wire
from vmstate_tools.stream.records import CommandCode, SectionKind, SectionStart
from vmstate_tools.stream.trailer import MAX_DESCRIPTION_BYTES

if TYPE_CHECKING:
    from collections.abc import Container

    from vmstate_tools.core.source import ByteSource

MAX_RESYNC_BYTES = 1 << 30
"""How far a footer is looked for: far beyond any device, and passed within a second or so. The
largest known are the resources of virtio-gpu and the last round of a disk migration."""

MAX_LOOKALIKES = 10_000
"""Places that look like a footer at first. Real payloads have none or a handful; only one that
was made to waste time has more, and each costs some microseconds."""

_PADDING_BYTES = 64
"""So many zeros behind EOF are taken for the padding of a container."""


def find_footer(
    source: ByteSource, section: SectionStart, live_ids: Container[int], *, keep: bool
) -> int | None:
    """Return the offset of the footer of `section`, whose payload could not be read.

    Args:
        live_ids: Ids of the iterative sections so far, which PART and END may name.
        keep: Do not release what was passed: somebody will want the payload again.
    """
    footer = wire.FOOTER_RECORD.pack(wire.FOOTER, section.section_id)
    pattern = re.compile(re.escape(footer) + rb"[\x00-\x04\x08]")
    overlap = len(footer)
    offset = section.payload_offset
    limit = offset + MAX_RESYNC_BYTES
    lookalikes = 0
    while limit - offset > overlap and not source.at_end(offset + overlap):
        window = source.window(offset, overlap + 1, "payload")[: limit - offset]
        for match in pattern.finditer(window):
            if _makes_sense(source, offset + match.end() - 1, live_ids):
                return offset + match.start()
            lookalikes += 1
            if lookalikes > MAX_LOOKALIKES:
                return None
        offset += len(window) - overlap
        if not keep:
            source.release(offset)
    return None


def _makes_sense(source: ByteSource, offset: int, live_ids: Container[int]) -> bool:
    """Tell whether a record may begin at `offset`, which holds a type byte that fits."""
    kind = source.read_at(offset, 1, "section type")[0]
    try:
        if kind == wire.EOF:
            return _ends_well(source, offset + 1)
        if kind == wire.COMMAND:
            command = parse_struct(wire.COMMAND_HEADER, source, offset + 1)
            return command.code in set(CommandCode)
        if kind in {SectionKind.PART, SectionKind.END}:
            header = source.read_at(offset + 1, wire.PART_HEADER.size, "section header")
            return wire.PART_HEADER.unpack(header)[0] in live_ids
        idstr = parse_struct(wire.SECTION_HEADER, source, offset + 1).idstr
    except FormatError:  # cut off, that is
        return False
    return bool(idstr) and idstr.isascii() and idstr.isprintable()


def _ends_well(source: ByteSource, offset: int) -> bool:
    """Tell whether the stream ends at `offset`, or a description or padding follows."""
    if source.at_end(offset):
        return True
    if source.read_at(offset, 1, "section type")[0] == wire.DESCRIPTION:
        length = parse_struct(wire.DESCRIPTION_LENGTH, source, offset + 1)
        json_offset = offset + 1 + wire.DESCRIPTION_LENGTH.sizeof()
        opening = source.read_at(json_offset, 1, "description")[0]
        return length <= MAX_DESCRIPTION_BYTES and opening == ord("{")
    padding = source.window(offset, 0, "padding")[:_PADDING_BYTES]
    return not any(padding)
