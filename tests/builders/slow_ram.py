"""Reads page records one by one, as simply as can be: what the fast reader is held against."""

from __future__ import annotations

import struct
from collections import Counter
from dataclasses import dataclass, field


@dataclass(slots=True)
class SlowRam:
    """What page records say of memory."""

    page_size: int = 4096
    entries: dict[tuple[str, int], int] = field(default_factory=dict)
    """By block and number of page: 1 for a zero page, or the offset of the data."""
    repeated: Counter[str] = field(default_factory=Counter)
    block: str = ""

    def read(self, data: bytes, offset: int) -> int:
        """Read the records from `offset` on; return the end of the end-of-section record."""
        while True:
            (word,) = struct.unpack_from(">Q", data, offset)
            offset += 8
            flags, address = word % self.page_size, word - word % self.page_size
            if flags == 0x10:
                return offset
            if not flags & 0x20:
                length = data[offset]
                self.block = data[offset + 1 : offset + 1 + length].decode("latin-1")
                offset += 1 + length
            key = self.block, address // self.page_size
            self.repeated[self.block] += key in self.entries
            if flags & 0x08:
                self.entries[key] = offset
                offset += self.page_size
            else:
                self.entries[key] = 1
                offset += 1
