"""Reads page records one by one and keeps all of memory: what a restored guest would have.

Written from migration/ram.c and migration/xbzrle.c of QEMU 7.2, sharing nothing with the reader.
"""

from __future__ import annotations

import struct
import zlib


class SlowMemory:
    """Memory by block, as page records make it, from zeros on."""

    def __init__(self, sizes: dict[str, int], page_size: int = 4096) -> None:
        self.page_size = page_size
        self.content = {name: bytearray(size) for name, size in sizes.items()}
        self.sent: dict[str, set[int]] = {name: set() for name in sizes}
        """Numbers of the pages that were sent."""
        self._block = ""

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
                self._block = data[offset + 1 : offset + 1 + length].decode("latin-1")
                offset += 1 + length
            self.sent[self._block].add(address // self.page_size)
            place = slice(address, address + self.page_size)
            content = self.content[self._block]
            content[place], offset = self._body(
                data, offset, flags - (flags & 0x20), content[place]
            )

    def _body(self, data: bytes, offset: int, kind: int, before: bytearray) -> tuple[bytes, int]:
        """Return the page, and the end of the record."""
        if kind == 0x02:
            return data[offset : offset + 1] * self.page_size, offset + 1
        if kind == 0x08:
            end = offset + self.page_size
            return data[offset:end], end
        if kind == 0x40:
            (length,) = struct.unpack_from(">xH", data, offset)
            end = offset + 3 + length
            return patched(bytes(before), list(data[offset + 3 : end])), end
        assert kind == 0x100
        (length,) = struct.unpack_from(">I", data, offset)
        end = offset + 4 + length
        return zlib.decompress(data[offset + 4 : end]), end


def patched(page: bytes, patch: list[int]) -> bytes:
    """Apply an XBZRLE patch, byte by byte."""
    out: list[int] = []
    while patch:
        skip = _take_count(patch)
        out += page[len(out) : len(out) + skip]
        for _ in range(_take_count(patch)):
            out.append(patch.pop(0))
    return bytes(out) + page[len(out) :]


def _take_count(patch: list[int]) -> int:
    low = patch.pop(0)
    return low if low < 0x80 else low % 0x80 + 0x80 * patch.pop(0)


def make_patch(old: bytes, new: bytes) -> bytes:
    """Make the XBZRLE patch from one page to another, as QEMU does."""
    patch = b""
    position = 0
    while old[position:] != new[position:]:
        skip = _run(old, new, position, equal=True)
        copy = _run(old, new, position + skip, equal=False)
        literal = new[position + skip : position + skip + copy]
        patch += _count(skip) + _count(copy) + literal
        position += skip + copy
    return patch


def _run(old: bytes, new: bytes, start: int, *, equal: bool) -> int:
    end = start
    while end < len(old) and (old[end] == new[end]) is equal:
        end += 1
    return end - start


def _count(number: int) -> bytes:
    return bytes([number]) if number < 0x80 else bytes([number % 0x80 + 0x80, number // 0x80])
