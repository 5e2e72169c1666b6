"""Disks that were migrated with the guest (`migrate -b`), which QEMU could do until 9.0."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vmstate_tools.handlers.wire import BLOCK_BYTES, BLOCK_FLAG_MASK, WORD, BlockFlag

if TYPE_CHECKING:
    from vmstate_tools.handlers.cursor import Cursor

MAX_DISKS = 4096
"""Names are kept. Machines have a few dozen disks."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Disk:
    """What a stream holds of one disk. A block may have been sent more than once."""

    name: str
    """Empty for disks that were made with `-blockdev`; QEMU cannot load those again."""
    stored_bytes: int
    zero_bytes: int
    """Of blocks that were sent as a flag only (capability zero-blocks)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockContent:
    """The disks, in order of their first block."""

    disks: tuple[Disk, ...]


class BlockReader:
    """Counts the blocks of every disk."""

    def __init__(self) -> None:
        self._stored: Counter[str] = Counter()
        self._zero: Counter[str] = Counter()

    @property
    def content(self) -> BlockContent:
        """What has been read until now."""
        return BlockContent(
            disks=tuple(
                Disk(
                    name=name,
                    stored_bytes=self._stored[name] * BLOCK_BYTES,
                    zero_bytes=self._zero[name] * BLOCK_BYTES,
                )
                for name in self._stored
            )
        )

    def read(self, cursor: Cursor) -> None:
        """Read the records of one section.

        Raises:
            TruncatedError: the data ends before the end-of-section word.
            UnsupportedError: a word without a flag that exists, or too many disks.
        """
        flags = 0
        while not flags & BlockFlag.EOS:
            (word,) = cursor.take(WORD)
            flags = word & BLOCK_FLAG_MASK
            if flags & BlockFlag.DEVICE_BLOCK:
                self._read_block(cursor, flags)
            elif not flags & (BlockFlag.PROGRESS | BlockFlag.EOS):
                raise cursor.unsupported(f"block flags {flags:#x}")

    def _read_block(self, cursor: Cursor, flags: int) -> None:
        name = cursor.take_name()
        if name not in self._stored and len(self._stored) == MAX_DISKS:
            raise cursor.unsupported(f"more than {MAX_DISKS} disks")
        stored = not flags & BlockFlag.ZERO_BLOCK
        self._stored[name] += stored
        self._zero[name] += not stored
        if stored:
            cursor.skip(BLOCK_BYTES)
