"""Memory as the built-in guest writes it, word by word, from docs/guest.md."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

STATE_ADDRESS = 0x9000
REGION_ADDRESS = 0x200000
PROGRAM_ADDRESS = 0x7C00
FILL_START, FILL_END = 0x7E60, 0x7F00
WORDS_PER_PAGE = 128


def disk_record(writing: int, written: int, status: int = 0) -> bytes:
    return struct.pack("<2QI12x", writing, written, status)


def page_stores(page: int, counter: int) -> Iterator[tuple[int, int]]:
    """Yield (offset in the page, u32) in the order in which the guest stores them."""
    filler = (counter * 0x85EBCA6B + page * 0xC2B2AE35) % 2**32
    for line in range(8):
        for word in range(16):
            if word < 3:
                value = (counter % 2**32, counter >> 32, page)[word]
            else:
                value = filler
                filler = (filler + 0x9E3779B9) % 2**32
            yield line * 512 + word * 4, value


@dataclass(slots=True, kw_only=True)
class GuestMemory:
    """The memory of a machine in which the guest has got so far."""

    counter: int = 5
    completed: int | None = None
    position: int = 0
    page_count: int = 8
    region_start: int = REGION_ADDRESS
    magic: bytes = b"VMSGSTAT"
    disks: Sequence[bytes] = ()
    disk_count: int | None = None
    border_words: int = 0
    """Words of page `position` that are written."""
    data: bytearray = field(init=False)

    def __post_init__(self) -> None:
        self.data = bytearray(REGION_ADDRESS + 4096 * min(self.page_count, 10000))
        completed = self.counter - 1 if self.completed is None else self.completed
        state = struct.pack(
            "<8s2Q4I",
            self.magic,
            self.counter,
            completed,
            self.position,
            self.page_count,
            self.region_start,
            len(self.disks) if self.disk_count is None else self.disk_count,
        )
        self.put(STATE_ADDRESS, state)
        self.put(STATE_ADDRESS + 0x40, b"".join(self.disks))
        self.put(PROGRAM_ADDRESS + 0x1C, struct.pack("<2H", FILL_START, FILL_END))
        for page in range(min(self.page_count, 10000)):
            old = page >= self.position and self.counter != completed
            self.write_page(page, self.counter - old)
        if self.border_words:
            self.write_page(self.position, self.counter, words=self.border_words)

    def write_page(self, page: int, counter: int, *, words: int = WORDS_PER_PAGE) -> None:
        if counter == 0:
            return
        for number, (offset, value) in enumerate(page_stores(page, counter)):
            if number < words:
                self.put(REGION_ADDRESS + page * 4096 + offset, struct.pack("<I", value))

    def put(self, address: int, content: bytes) -> None:
        self.data[address : address + len(content)] = content

    def read(self, address: int, length: int) -> bytes:
        return bytes(self.data[address : address + length])
