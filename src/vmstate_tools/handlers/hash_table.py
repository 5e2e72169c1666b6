"""The hash table of a pseries guest's MMU (`spapr/htab`)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from vmstate_tools.handlers.wire import (
    HASH_ENTRY_BYTES,
    HASH_TABLE_HEADER,
    HASH_TABLE_RUN,
    HASH_TABLE_SHIFTS,
    NO_HASH_TABLE,
)

if TYPE_CHECKING:
    from vmstate_tools.handlers.cursor import Cursor


@dataclass(frozen=True, slots=True, kw_only=True)
class HashTableContent:
    """What the stream holds of the table. An entry may have been sent more than once."""

    table_bytes: int | None
    """None: the guest has none, since it uses radix trees."""
    stored_entries: int
    """Of 16 bytes each."""
    invalid_entries: int
    """Entries that the stream says are not in use."""


class HashTableReader:
    """Reads the size of the table and passes its entries."""

    def __init__(self) -> None:
        self._table_bytes: int | None = None
        self._stored_entries = 0
        self._invalid_entries = 0

    @property
    def content(self) -> HashTableContent:
        """What has been read until now."""
        return HashTableContent(
            table_bytes=self._table_bytes,
            stored_entries=self._stored_entries,
            invalid_entries=self._invalid_entries,
        )

    def read(self, cursor: Cursor) -> None:
        """Read one section: a size, or runs of entries.

        Raises:
            TruncatedError: the data ends before the end of the runs.
            FormatError: a size that no table has, or entries outside of the table.
        """
        (header,) = cursor.take(HASH_TABLE_HEADER)
        if header == NO_HASH_TABLE:
            self._table_bytes = None
        elif header in HASH_TABLE_SHIFTS:
            self._table_bytes = 1 << header
        elif header:
            raise cursor.damaged(f"a hash table of 2^{header} bytes")
        else:
            self._read_runs(cursor)

    def _read_runs(self, cursor: Cursor) -> None:
        entry_count = (self._table_bytes or 0) // HASH_ENTRY_BYTES
        while any(run := cursor.take(HASH_TABLE_RUN)):
            first, stored, invalid = run
            if first + stored + invalid > entry_count:
                end = first + stored + invalid
                raise cursor.damaged(f"entries up to {end}, in a table of {entry_count}")
            self._stored_entries += stored
            self._invalid_entries += invalid
            cursor.skip(stored * HASH_ENTRY_BYTES)
