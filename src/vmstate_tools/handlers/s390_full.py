"""What s390x guests have in FULL sections that no vmsd describes: storage keys and the clock."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from vmstate_tools.handlers.wire import (
    BYTE,
    CLOCK,
    CLOCK_MISSING,
    CLOCK_PRESENT,
    S390_FLAG_MASK,
    WORD,
    KeysFlag,
)

if TYPE_CHECKING:
    from vmstate_tools.handlers.cursor import Cursor


@dataclass(frozen=True, slots=True, kw_only=True)
class StorageKeysContent:
    """The storage keys of a guest."""

    page_count: int
    """Pages that have one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClockContent:
    """The time-of-day clock of a guest."""

    value: int | None
    """The extended clock value, 72 bits of units of 2^-12 us / 2^8 since 1900; None: missing."""


def read_storage_keys(cursor: Cursor) -> StorageKeysContent:
    """Pass the keys of all pages.

    Raises:
        TruncatedError: the data ends before the end of the keys.
        FormatError: QEMU says that it could not read them.
        UnsupportedError: flags that do not exist.
    """
    page_count = 0
    while True:
        (word,) = cursor.take(WORD)
        flags = word & S390_FLAG_MASK
        if flags == KeysFlag.EOS:
            return StorageKeysContent(page_count=page_count)
        if flags == KeysFlag.ERROR:
            raise cursor.damaged("QEMU says that the storage keys are incomplete")
        if flags != KeysFlag.SKEYS:
            raise cursor.unsupported(f"storage key flags {flags:#x}")
        (count,) = cursor.take(WORD)
        page_count += count
        cursor.skip(count)


def read_clock(cursor: Cursor) -> ClockContent:
    """Read the clock.

    Raises:
        TruncatedError: the data ends inside it.
        UnsupportedError: it is neither missing nor present.
    """
    (present,) = cursor.take(BYTE)
    if present == CLOCK_MISSING:
        return ClockContent(value=None)
    if present != CLOCK_PRESENT:
        raise cursor.unsupported(f"clock flag {present:#04x}")
    high, low = cursor.take(CLOCK)
    return ClockContent(value=high << 64 | low)
