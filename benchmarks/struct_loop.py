"""A plain loop over the page headers of a stream: what anybody would write first.

usage: struct_loop.py FILE

Just enough for what QEMU writes of a PC guest; no check of anything, and no index either.
"""

from __future__ import annotations

import json
import mmap
import struct
import sys
from pathlib import Path

START, PART, CONFIGURATION, FOOTER = 1, 2, 7, 0x7E
ZERO, MEM_SIZE, PAGE, EOS, CONTINUE = 0x02, 0x04, 0x08, 0x10, 0x20
PAGE_BYTES = 4096
HEADER_BYTES = 8


def count_pages(path: Path) -> dict[str, int]:
    """Return how many pages the stream stores, and how many it says are zero."""
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        return _count(data)


def _count(data: mmap.mmap) -> dict[str, int]:
    counts = {"stored": 0, "zero": 0}
    at = HEADER_BYTES
    if data[at] == CONFIGURATION:
        at += 5 + struct.unpack_from(">I", data, at + 1)[0]
    while data[at] in {START, PART}:
        at += 5 if data[at] == PART else 14 + data[at + 5]
        at = _count_section(data, at, counts)
        if data[at] == FOOTER:
            at += 5
    return counts


def _count_section(data: mmap.mmap, at: int, counts: dict[str, int]) -> int:
    """Count the pages of a section; return where its footer is."""
    unpack_from = struct.Struct(">Q").unpack_from
    stored = zero = 0
    while True:
        (word,) = unpack_from(data, at)
        at += 8
        if not word & (CONTINUE | MEM_SIZE | EOS):
            at += 1 + data[at]
        if word & PAGE:
            stored += 1
            at += PAGE_BYTES
        elif word & ZERO:
            zero += 1
            at += 1
        elif word & MEM_SIZE:
            at = _skip_blocks(data, at, word - MEM_SIZE)
        else:
            counts["stored"] += stored
            counts["zero"] += zero
            return at


def _skip_blocks(data: mmap.mmap, at: int, total_bytes: int) -> int:
    while total_bytes > 0:
        at += 1 + data[at]
        total_bytes -= struct.unpack_from(">Q", data, at)[0]
        at += 8
    return at


if __name__ == "__main__":
    print(json.dumps(count_pages(Path(sys.argv[1]))))
