"""The page index: for each page of each RAM block, where its last copy is."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

import numpy as np

from vmstate_tools.ram.encodings import (
    ABSENT_PAGE,
    COMPRESSED,
    ENCODING_SHIFT,
    FILLED,
    OFFSET_MASK,
    PATCHED,
    PLAIN,
    ZERO_PAGE,
    Patches,
)
from vmstate_tools.ram.wire import WORD

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy.typing as npt

    from vmstate_tools.ram.blocks import RamBlock
    from vmstate_tools.ram.pages import PageBatch

_STEP_PAGES = 1 << 16
"""Entries looked at together when runs are made, so that a table is never copied whole."""


class PageKind(Enum):
    """What the stream says of a page."""

    ABSENT = "absent"
    """Nothing: it was never sent."""
    ZERO = "zero"
    STORED = "stored"
    """Its content, byte for byte."""
    FILLED = "filled"
    """One byte, of which it is full (very old streams)."""
    COMPRESSED = "compressed"
    """With zlib, by itself (capability `compress`, up to QEMU 9.0)."""
    PATCHED = "patched"
    """What was sent before, and what has changed since (capability `xbzrle`)."""


@dataclass(slots=True, kw_only=True)
class PageCounts:
    """Numbers of pages of a block; total is the sum of stored, zero and absent."""

    total: int
    stored: int = 0
    """In whatever encoding."""
    zero: int = 0
    absent: int = 0
    repeated: int = 0
    """Page records beyond the first for the same page that were not taken back before."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PageRun:
    """Pages of a block that follow each other, of one kind."""

    kind: PageKind
    first_page: int
    """Number of the first page in the block."""
    page_count: int
    data_offset: int
    """STORED: byte offset of the first page's content in the stream, otherwise 0."""
    data_stride: int
    """STORED: bytes from one page's content to the next one's, otherwise 0."""


class RamIndex:
    """Which page is stored where; the last copy wins.

    Attributes:
        blocks: In the order of the stream.
        page_size: Target page size in bytes.
        patches: What the entries of patched pages are numbers in.
    """

    def __init__(self, blocks: Sequence[RamBlock], page_size: int) -> None:
        """Make an index without any page.

        Raises:
            MemoryError: the address space for one entry of 8 bytes per page is not to be had.
                Memory itself is taken page by page, as entries are set.
        """
        self.blocks = tuple(blocks)
        self.page_size = page_size
        self.patches = Patches()
        is_mapped = any(block.mapped is not None for block in blocks)
        self._stride = page_size if is_mapped else WORD.size + page_size  # of contents in a run
        self._by_name = {block.name: block for block in blocks}
        self._first_pages = np.array([block.first_page for block in blocks], np.int64)
        self._entries = np.zeros(sum(block.page_count for block in blocks), np.uint64)
        # Steps in which any entry may be set, so that the rest is never looked at.
        self._touched = np.zeros(len(self._entries) // _STEP_PAGES + 1, np.bool_)
        self._counts = {
            block.name: PageCounts(total=block.page_count, absent=block.page_count)
            for block in blocks
        }

    def block(self, name: str) -> RamBlock:
        """Return the block of this name; KeyError if there is none."""
        return self._by_name[name]

    def counts(self, name: str) -> PageCounts:
        """Return how many pages of a block are stored, zero, absent and repeated."""
        return self._counts[name]

    def entries(self, name: str) -> npt.NDArray[np.uint64]:
        """Return a view of a block's table, shape (page_count,).

        An entry is 0 for an absent page, 1 for a zero page, otherwise the byte offset of the
        page's content in the stream; pages that are not stored byte for byte are marked in its
        highest bits (see encodings.py).
        """
        block = self._by_name[name]
        return self._entries[block.first_page : block.first_page + block.page_count]

    def has_encoded(self, name: str) -> bool:
        """Tell whether a block has pages that are stored in another way than byte for byte."""
        return bool((self.entries(name) > OFFSET_MASK).any())

    def apply(self, batch: PageBatch) -> None:
        """Take in page records, in stream order; a later one for the same page wins."""
        if not len(batch.page):
            return
        ordered = batch.page
        distinct = ordered
        if not (ordered[1:] > ordered[:-1]).all():
            ordered = np.sort(ordered)
            distinct = ordered[np.append(True, ordered[1:] != ordered[:-1])]
        before = self._entries[distinct]
        entries = batch.data_offset
        patched = np.flatnonzero(entries >= PATCHED)
        if len(patched):
            entries = self._chain_patches(batch, patched)
        # Where a page occurs twice, numpy assigns in order: the last value stays.
        self._entries[batch.page] = entries
        self._touched[batch.page // _STEP_PAGES] = True
        after = self._entries[distinct]
        for block, records, pages in self._by_block(ordered, distinct):
            self._count(self._counts[block.name], records, before[pages], after[pages])

    def place(self, name: str, pages_offset: int, stored: npt.NDArray[np.bool_]) -> None:
        """Take in all pages of a block that has room for each of them; the others are zero.

        Args:
            pages_offset: Byte offset of its first page in the stream.
            stored: Shape (page_count,).
        """
        entries = self.entries(name)
        entries[:] = ZERO_PAGE
        numbers = np.flatnonzero(stored).astype(np.uint64)
        entries[stored] = numbers * np.uint64(self.page_size) + np.uint64(pages_offset)
        counts = self._counts[name]
        counts.absent = 0
        counts.stored = len(numbers)
        counts.zero = counts.total - counts.stored

    def discard(self, name: str, first_page: int, page_count: int) -> None:
        """Forget what was sent of these pages of a block."""
        counts = self._counts[name]
        first = self._by_name[name].first_page + first_page
        end = first + page_count
        steps = slice(first // _STEP_PAGES, -(-end // _STEP_PAGES))
        for step in (np.flatnonzero(self._touched[steps]) + steps.start).tolist():
            start = step * _STEP_PAGES
            entries = self._entries[max(first, start) : min(end, start + _STEP_PAGES)]
            zero = int(np.count_nonzero(entries == ZERO_PAGE))
            counts.zero -= zero
            counts.absent += int(np.count_nonzero(entries))
            entries[:] = ABSENT_PAGE
            self._touched[step] = len(entries) < _STEP_PAGES
        counts.stored = counts.total - counts.absent - counts.zero

    def _chain_patches(
        self, batch: PageBatch, patched: npt.NDArray[np.int64]
    ) -> npt.NDArray[np.uint64]:
        """Remember which entry each patch changes; return the entries of the batch."""
        entries = batch.data_offset.copy()
        numbers = np.arange(len(patched), dtype=np.uint64) + np.uint64(len(self.patches))
        entries[patched] = numbers | np.uint64(PATCHED)
        before = self._entries[batch.page]
        order = np.argsort(batch.page, kind="stable")
        again = np.diff(batch.page[order]) == 0
        before[order[1:][again]] = entries[order[:-1][again]]
        self.patches.extend(batch.data_offset[patched] & np.uint64(OFFSET_MASK), before[patched])
        return entries

    def _by_block(
        self, ordered: npt.NDArray[np.int64], distinct: npt.NDArray[np.int64]
    ) -> Iterator[tuple[RamBlock, int, slice]]:
        """Yield each block, its number of records, and where its pages are in `distinct`."""
        first, last = np.searchsorted(self._first_pages, ordered[[0, -1]], side="right") - 1
        if first == last:
            yield self.blocks[first], len(ordered), slice(None)
            return
        bounds = self._first_pages[first + 1 : last + 1]
        record_ends = [0, *np.searchsorted(ordered, bounds).tolist(), len(ordered)]
        page_ends = [0, *np.searchsorted(distinct, bounds).tolist(), len(distinct)]
        for number, block in enumerate(self.blocks[first : last + 1]):
            records = record_ends[number + 1] - record_ends[number]
            if records:
                yield block, records, slice(page_ends[number], page_ends[number + 1])

    @staticmethod
    def _count(
        counts: PageCounts,
        record_count: int,
        before: npt.NDArray[np.uint64],
        after: npt.NDArray[np.uint64],
    ) -> None:
        was_absent = len(before) - int(np.count_nonzero(before))
        was_zero = int(np.count_nonzero(before == ZERO_PAGE))
        is_zero = int(np.count_nonzero(after == ZERO_PAGE))
        counts.absent -= was_absent
        counts.zero += is_zero - was_zero
        counts.stored = counts.total - counts.absent - counts.zero
        counts.repeated += record_count - was_absent

    def iter_runs(self, name: str) -> Iterator[PageRun]:
        """Yield the pages of a block, in order of address, as runs that are as long as they get.

        Every page is in exactly one run. Pages that follow each other in memory and in the stream
        are one run, however many there are; encoded pages are so wherever they are stored.
        """
        entries = self.entries(name)
        starts = _run_starts(entries, self._stride)
        for part in range(0, len(starts), _STEP_PAGES):
            # One more than the part has, for the end of its last run.
            bounds = np.append(starts[part : part + _STEP_PAGES + 1], len(entries))
            first_pages = starts[part : part + _STEP_PAGES]
            page_counts = np.diff(bounds)[: len(first_pages)]
            columns = first_pages, page_counts, entries[first_pages]
            for first_page, page_count, entry in zip(*(c.tolist() for c in columns), strict=True):
                kind = _kind(entry)
                stored = kind is PageKind.STORED
                yield PageRun(
                    kind=kind,
                    first_page=first_page,
                    page_count=page_count,
                    data_offset=entry if stored else 0,
                    data_stride=self._stride if stored else 0,
                )


_KINDS = {
    PLAIN: PageKind.STORED,
    COMPRESSED: PageKind.COMPRESSED,
    FILLED: PageKind.FILLED,
    PATCHED: PageKind.PATCHED,
}


def _kind(entry: int) -> PageKind:
    if entry == ABSENT_PAGE:
        return PageKind.ABSENT
    return PageKind.ZERO if entry == ZERO_PAGE else _KINDS[entry & ~OFFSET_MASK]


def _run_starts(entries: npt.NDArray[np.uint64], stride: int) -> npt.NDArray[np.int64]:
    """Return the numbers of the pages that do not continue the run of the page before."""
    starts = [np.zeros(min(1, len(entries)), np.int64)]
    for page in range(1, len(entries), _STEP_PAGES):
        here = entries[page : page + _STEP_PAGES]
        before = entries[page - 1 : page - 1 + len(here)]
        in_stream = (before > ZERO_PAGE) & (here - before == stride)
        continues = np.where(here > ZERO_PAGE, in_stream, here == before)
        encoded = here > OFFSET_MASK
        if encoded.any():
            alike = here >> np.uint64(ENCODING_SHIFT) == before >> np.uint64(ENCODING_SHIFT)
            continues = np.where(encoded, alike, continues)
        starts.append(np.flatnonzero(~continues) + page)
    return np.concatenate(starts)
