"""What stands behind EOF: the JSON description, and bytes that belong to no record."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from vmstate_tools.core.errors import FormatError
from vmstate_tools.core.parse import parse_struct
from vmstate_tools.stream import wire
from vmstate_tools.stream.records import Description, Trailing

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vmstate_tools.core.source import ByteSource

MAX_DESCRIPTION_BYTES = 64 << 20
"""Real ones have 8 to 110 KB; a parser of JSON takes some ten times that in memory."""

MAX_SEARCH_BYTES = 32 << 20
"""How far from the end a description is looked for: it, the padding of a container behind it, and
no more, because a stream without one would be searched through, guest memory and all."""

_STEP_BYTES = 1 << 20

# EOF, DESCRIPTION, length, then how QEMU 10.0 or 7.2 begins the text.
_DESCRIPTION = re.compile(rb'\x00\x06(.{4})\{"(?:configuration|page_size)"', re.DOTALL)
_PATTERN_BYTES = 64
"""More than the longest match has, so that none is lost where two steps meet."""

_HEAD_BYTES = 1 + wire.DESCRIPTION_LENGTH.sizeof()


def find_description(source: ByteSource, start: int) -> Description | None:
    """Search backwards from the end for the description; None if there is none.

    Guest memory may hold what looks like one (the page cache of a host in a guest, say). The last
    one whose length fits and whose text is closed is taken, wherever padding begins behind it.

    Args:
        source: Searched to its end, which on a pipe means to keep everything from the last
            release on.
        start: Offset before which it cannot be.
    """
    size = source.size_to_end()
    lowest = max(start, size - MAX_SEARCH_BYTES)
    end = size
    while end > lowest:
        begin = max(lowest, end - _STEP_BYTES)
        data = source.read_at(begin, min(end + _PATTERN_BYTES, size) - begin, "description")
        for match in reversed(list(_DESCRIPTION.finditer(data))):
            # A match starts at the EOF byte, one before the type byte.
            length = int.from_bytes(match[1], "big")
            found = _fitting_description(source, begin + match.start() + 1, length, size)
            if found is not None:
                return found
        end = begin
    return None


def _fitting_description(
    source: ByteSource, offset: int, length: int, size: int
) -> Description | None:
    json_offset = offset + _HEAD_BYTES
    end = json_offset + length
    if length > MAX_DESCRIPTION_BYTES or end > size:
        return None
    if source.read_at(end - 1, 1, "description")[0] != ord("}"):
        return None
    return Description(offset=offset, end=end, json_offset=json_offset)


def iter_trailer(
    source: ByteSource, offset: int, *, keep: bool
) -> Iterator[Description | Trailing]:
    """Yield what stands behind EOF, from `offset` on.

    Args:
        keep: Do not release what was passed: somebody will want the bytes again.

    Raises:
        FormatError: a description that is longer than MAX_DESCRIPTION_BYTES.
        TruncatedError: a description that is cut off.
    """
    if source.at_end(offset):
        return
    if source.read_at(offset, 1, "section type")[0] == wire.DESCRIPTION:
        description = read_description(source, offset)
        yield description
        offset = description.end
    if not source.at_end(offset):
        yield _read_trailing(source, offset, keep=keep)


def read_description(source: ByteSource, offset: int) -> Description:
    """Read the extent of the description whose type byte is at `offset`.

    Raises:
        FormatError: it is longer than MAX_DESCRIPTION_BYTES.
        TruncatedError: it is cut off.
    """
    length = parse_struct(wire.DESCRIPTION_LENGTH, source, offset + 1)
    if length > MAX_DESCRIPTION_BYTES:
        problem = f"{length} bytes (at most {MAX_DESCRIPTION_BYTES})"
        raise FormatError(problem, source=source.name, offset=offset + 1, field="description")
    json_offset = offset + _HEAD_BYTES
    source.window(json_offset, length, "description")
    return Description(offset=offset, end=json_offset + length, json_offset=json_offset)


def _read_trailing(source: ByteSource, offset: int, *, keep: bool) -> Trailing:
    all_zero = True
    end = offset
    while not source.at_end(end):
        piece = bytes(source.window(end, 1, "trailing bytes")[:_STEP_BYTES])
        all_zero = all_zero and piece == bytes(len(piece))
        end += len(piece)
        if not keep:
            source.release(end)
    return Trailing(offset=offset, end=end, all_zero=all_zero)
