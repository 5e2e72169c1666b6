"""Dirty bitmaps of block nodes, migrated with the capability dirty-bitmaps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from vmstate_tools.handlers.wire import (
    BITMAP_BITS,
    BITMAP_START,
    BYTE,
    WORD,
    BitmapFlag,
    BitmapStartFlag,
)

if TYPE_CHECKING:
    from vmstate_tools.handlers.cursor import Cursor

MAX_BITMAPS = 1 << 16
"""They are kept. QEMU writes at most 65535 of them into a qcow2 image."""

KINDS = BitmapFlag.START | BitmapFlag.COMPLETE | BitmapFlag.BITS


@dataclass(frozen=True, slots=True, kw_only=True)
class DirtyBitmap:
    """A bitmap, under the names that source and destination agreed on."""

    node: str
    name: str
    granularity: int
    """Bytes of the disk that one bit stands for."""
    enabled: bool
    persistent: bool
    data_bytes: int
    """Of bits that are in the stream."""
    zero_sectors: int
    """Sectors of 512 bytes that the stream calls clean without holding bits for them."""
    complete: bool
    """Whether the stream holds all of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DirtyBitmapContent:
    """The bitmaps, in the order in which the stream announces them."""

    bitmaps: tuple[DirtyBitmap, ...]


@dataclass(slots=True, kw_only=True)
class _Progress:
    """What has been read of a bitmap."""

    granularity: int
    flags: int
    data_bytes: int = 0
    zero_sectors: int = 0
    complete: bool = False


class DirtyBitmapReader:
    """Reads bitmaps up to their bits."""

    def __init__(self) -> None:
        self._node: str | None = None
        self._name: str | None = None
        self._bitmaps: dict[tuple[str, str], _Progress] = {}

    @property
    def content(self) -> DirtyBitmapContent:
        """What has been read until now."""
        return DirtyBitmapContent(
            bitmaps=tuple(
                DirtyBitmap(
                    node=node,
                    name=name,
                    granularity=bitmap.granularity,
                    enabled=bool(bitmap.flags & BitmapStartFlag.ENABLED),
                    persistent=bool(bitmap.flags & BitmapStartFlag.PERSISTENT),
                    data_bytes=bitmap.data_bytes,
                    zero_sectors=bitmap.zero_sectors,
                    complete=bitmap.complete,
                )
                for (node, name), bitmap in self._bitmaps.items()
            )
        )

    def read(self, cursor: Cursor) -> None:
        """Read the records of one section.

        Raises:
            TruncatedError: the data ends before the end-of-section flag.
            FormatError: a bitmap that is announced twice, or that was not announced.
            UnsupportedError: flags that do not exist.
        """
        flags = 0
        while not flags & BitmapFlag.EOS:
            (flags,) = cursor.take(BYTE)
            if flags == BitmapFlag.EOS:
                return
            kind = flags & KINDS
            if flags & BitmapFlag.EXTRA_FLAGS or kind.bit_count() != 1:
                raise cursor.unsupported(f"dirty bitmap flags {flags:#04x}")
            bitmap = self._take_names(cursor, flags)
            if kind == BitmapFlag.START:
                self._start(cursor, bitmap)
            elif kind == BitmapFlag.COMPLETE:
                self._find(cursor, bitmap).complete = True
            else:
                self._pass_bits(cursor, self._find(cursor, bitmap), flags)

    def _take_names(self, cursor: Cursor, flags: int) -> tuple[str, str]:
        """Return names of node and bitmap; those of the record before where none are given."""
        if flags & BitmapFlag.DEVICE_NAME:
            self._node = cursor.take_name()
        if flags & BitmapFlag.BITMAP_NAME:
            self._name = cursor.take_name()
        if self._node is None or self._name is None:
            raise cursor.damaged("a record without the names of its node and bitmap")
        return self._node, self._name

    def _start(self, cursor: Cursor, bitmap: tuple[str, str]) -> None:
        granularity, flags = cursor.take(BITMAP_START)
        if bitmap in self._bitmaps:
            raise cursor.damaged(f"bitmap {'/'.join(bitmap)!r} is announced twice")
        if granularity.bit_count() != 1:
            raise cursor.damaged(f"a granularity of {granularity} (expected a power of two)")
        if len(self._bitmaps) == MAX_BITMAPS:
            raise cursor.unsupported(f"more than {MAX_BITMAPS} bitmaps")
        self._bitmaps[bitmap] = _Progress(granularity=granularity, flags=flags)

    def _find(self, cursor: Cursor, bitmap: tuple[str, str]) -> _Progress:
        found = self._bitmaps.get(bitmap)
        if found is None:
            raise cursor.damaged(f"bitmap {'/'.join(bitmap)!r} was not announced")
        return found

    @staticmethod
    def _pass_bits(cursor: Cursor, bitmap: _Progress, flags: int) -> None:
        _, sector_count = cursor.take(BITMAP_BITS)
        if flags & BitmapFlag.ZEROES:
            bitmap.zero_sectors += sector_count
            return
        (length,) = cursor.take(WORD)
        bitmap.data_bytes += length
        cursor.skip(length)
