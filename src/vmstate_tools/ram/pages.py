"""Find page records in a window of the stream: the hot loop of every reader.

Only the first word of each record is looked at one by one, and where page follows page (their
words are then an arithmetic sequence at a fixed stride) not even that: numpy checks a run at once.
Everything else about the records of a batch is computed from their words together.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from vmstate_tools.core.errors import FormatError, LocatedError, UnsupportedError
from vmstate_tools.ram.encodings import (
    COMPRESSED,
    FILLED,
    PATCHED,
    ZERO_PAGE,
    find_size_problem,
)
from vmstate_tools.ram.wire import COMPRESSED_LENGTH, PATCH_HEADER, WORD, Flag

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy.typing as npt

    from vmstate_tools.ram.blocks import RamBlock

MAX_BATCH_PAGES = 1 << 16
"""Pages found at once: enough to make the cost per batch vanish, few enough that the arrays of a
batch stay in the cache of the processor."""

_STEP_RECORDS = 32
"""Records read one by one before looking whether they are a run: numpy's calls cost as much."""

_GALLOP_RECORDS = 256
"""What numpy looks at first in a run; four times as much each time that it goes on."""

# Plain integers: operators of IntFlag take a microsecond each.
_CONTINUE = int(Flag.CONTINUE)
_PAGE = int(Flag.PAGE) | _CONTINUE
_ZERO = int(Flag.ZERO) | _CONTINUE
_PATCH = int(Flag.XBZRLE) | _CONTINUE
_COMPRESSED = int(Flag.COMPRESS_PAGE) | _CONTINUE
_EOS = int(Flag.EOS)
_ZERO_BYTES = WORD.size + 1
_WORD_MASK = (1 << 64) - 1
_NO_PAGES = (np.empty(0, np.int64), np.empty(0, np.uint64))

_REASONS = {
    Flag.FULL: "an ancient page record",
    Flag.MEM_SIZE: "a second list of blocks",
    Flag.HOOK: "pages that went past the stream (RDMA)",
    Flag.MULTIFD_FLUSH: "pages that went through other channels (capability multifd)",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class PageBatch:
    """Page records in stream order. Arrays have shape (n,)."""

    page: npt.NDArray[np.int64]
    """Number of the page, counted through all blocks."""
    data_offset: npt.NDArray[np.uint64]
    """Byte offset of the content in the stream, with its encoding (see encodings.py) in the
    highest bits; of a patch that of its header. ZERO_PAGE for a zero page, which has none."""
    end: int
    """Byte offset of the first record that is not in this batch."""
    needed: int
    """Bytes from `end` on that the next call cannot do without."""
    last: bool
    """The end-of-section record has been passed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _BlockChange:
    """A record that names its block, which holds for those that follow."""

    record: int
    """Number of the record in the batch."""
    block: RamBlock | None
    """None before the first name."""
    name_bytes: int
    """Length of the name in the stream, with the byte that says so."""


@dataclass(slots=True, kw_only=True)
class _Found:
    """Records found so far at the beginning of a window."""

    window: memoryview
    offset: int
    """Of the window in the stream."""
    changes: list[_BlockChange]
    position: int = 0
    """In the window, behind the last record found."""
    needed: int = WORD.size
    """Bytes from there on without which the next record cannot be found."""
    last: bool = False
    """The end-of-section record has been found, and nothing behind it will be."""
    words: list[int] = field(default_factory=list)
    """The first words of the latest page records, as if all of them had CONTINUE."""
    earlier_words: list[npt.NDArray[np.uint64]] = field(default_factory=list)
    earlier_count: int = 0
    sized: list[tuple[int, int]] = field(default_factory=list)
    """Records with a length of their own: number of the record, bytes from there to its end."""

    def __len__(self) -> int:
        return self.earlier_count + len(self.words)

    def add_run(self, words: npt.NDArray[np.uint64]) -> None:
        """Add the words of many records at once."""
        self.earlier_words += [np.array(self.words, np.uint64), words]
        self.earlier_count += len(self.words) + len(words)
        self.words = []

    def all_words(self) -> npt.NDArray[np.uint64]:
        """Return the words of all records; shape (n,)."""
        return np.concatenate([*self.earlier_words, np.array(self.words, np.uint64)])


class PageScanner:
    """Finds page records; remembers the block of the last one, as QEMU does across sections."""

    def __init__(self, blocks: Mapping[str, RamBlock], page_size: int, source_name: str) -> None:
        """Make one.

        Args:
            blocks: By name.
            page_size: Target page size in bytes.
            source_name: What error messages call the stream.
        """
        self._blocks = blocks
        self._page_size = page_size
        self._flags_mask = page_size - 1
        self._page_bytes = WORD.size + page_size
        self._ramp = np.arange(MAX_BATCH_PAGES, dtype=np.uint64) * np.uint64(page_size)
        self._source_name = source_name
        self._block: RamBlock | None = None

    def scan(self, window: memoryview, offset: int) -> PageBatch:
        """Find the records at the beginning of `window`, whole ones only.

        Args:
            window: Bytes of the stream; what follows the end-of-section record is ignored.
            offset: Of the window in the stream.

        Raises:
            FormatError: flags that make no sense, an unknown block, a page outside of its block.
            UnsupportedError: a kind of record that we do not read.
        """
        start = _BlockChange(record=0, block=self._block, name_bytes=0)
        found = _Found(window=window, offset=offset, changes=[start])
        try:
            self._find_records(found)
        except LocatedError:
            # It will be raised again when the next window begins there, and by then whoever
            # wants to know what came before has got it.
            if not len(found):
                raise
        page, data_offset = self._pages(found)
        return PageBatch(
            page=page,
            data_offset=data_offset,
            end=offset + found.position,
            needed=found.needed,
            last=found.last,
        )

    def _find_records(self, found: _Found) -> None:
        while len(found) < MAX_BATCH_PAGES:
            self._follow(found)
            word, length = self._measure(found)
            if found.position + length > len(found.window):
                found.needed = length
                return
            if word == _EOS:
                found.position += length
                found.last = True
                return
            sized = word & (_PATCH | _COMPRESSED) & ~_CONTINUE & self._flags_mask
            if word & _CONTINUE and not sized:
                continue  # it is the first of a step
            name_bytes = 0 if word & _CONTINUE else self._enter_block(found)
            if sized:
                found.sized.append((len(found), length - WORD.size - name_bytes))
            found.words.append(word | _CONTINUE)
            found.position += length

    def _follow(self, found: _Found) -> None:
        """Add records that continue in their block, a few or a long run."""
        unpack_from = WORD.unpack_from
        flags_mask = self._flags_mask
        page_bytes = self._page_bytes
        window = found.window
        words = found.words
        first = len(words)
        position = found.position
        limit = len(window) - WORD.size
        length = 0
        for _ in range(_STEP_RECORDS):
            if position > limit:
                break
            (word,) = unpack_from(window, position)
            flags = word & flags_mask
            if flags == _PAGE:
                length = page_bytes
            elif flags == _ZERO:
                length = _ZERO_BYTES
            else:
                break
            position += length
            words.append(word)
        if position > len(window):  # the last one is not all there
            position -= length
            words.pop()
        found.position = position
        span = (_STEP_RECORDS - 1) * self._page_size
        if len(words) - first == _STEP_RECORDS and words[-1] - words[first] == span:
            run = self._find_run(window, position, length, words[-1] + self._page_size)
            found.add_run(run)
            found.position += len(run) * length

    def _find_run(
        self, window: memoryview, position: int, stride: int, word: int
    ) -> npt.NDArray[np.uint64]:
        """Return the words, beginning with `word`, of the page after page from `position` on."""
        most = min((len(window) - position) // stride, MAX_BATCH_PAGES)
        words = np.ndarray((most,), ">u8", window, position, (stride,))
        ramp = self._ramp[:most]
        base = np.uint64(word & _WORD_MASK)
        start, count = 0, _GALLOP_RECORDS
        while start < most:
            differs = words[start : start + count] != ramp[start : start + count] + base
            first = int(differs.argmax())
            if differs[first]:
                return ramp[: start + first] + base
            start, count = start + count, count * 4
        return ramp + base

    def _measure(self, found: _Found) -> tuple[int, int]:
        """Return word and length of the record that comes next, as far as it can be seen."""
        window, position = found.window, found.position
        at_hand = len(window) - position
        if at_hand < WORD.size:
            return 0, WORD.size
        (word,) = WORD.unpack_from(window, position)
        if word == _EOS:
            return word, WORD.size
        flags = word & self._flags_mask
        name_bytes = 0
        if not flags & _CONTINUE:
            name_bytes = 1 + (window[position + WORD.size] if at_hand > WORD.size else 0)
        if flags | _CONTINUE == _PAGE:
            return word, self._page_bytes + name_bytes
        if flags | _CONTINUE == _ZERO:
            return word, _ZERO_BYTES + name_bytes
        if flags | _CONTINUE in {_PATCH, _COMPRESSED}:
            return word, self._measure_sized(found, word, WORD.size + name_bytes)
        raise self._refusal(word, found.offset + position)

    def _measure_sized(self, found: _Found, word: int, name_end: int) -> int:
        """Return the length of a record that says it itself, behind word and name."""
        patched = bool(word & Flag.XBZRLE)
        header = PATCH_HEADER if patched else COMPRESSED_LENGTH
        size_end = name_end + header.size
        if found.position + size_end > len(found.window):
            return size_end
        values = header.unpack_from(found.window, found.position + name_end)
        problem = find_size_problem(
            patched=patched, method=values[0], length=values[-1], page_size=self._page_size
        )
        if problem is not None:
            raise self._damaged(problem, found.offset + found.position)
        return size_end + int(values[-1])

    def _enter_block(self, found: _Found) -> int:
        """Take the name out of the record that comes next, for it and those behind it.

        Returns:
            The bytes that it takes.
        """
        start = found.position + WORD.size + 1
        end = start + found.window[start - 1]
        name = bytes(found.window[start:end]).decode("latin-1")
        block = self._blocks.get(name)
        if block is None:
            raise self._damaged(f"no block is named {name!r}", found.offset + start)
        self._block = block
        name_bytes = end - start + 1
        found.changes.append(_BlockChange(record=len(found), block=block, name_bytes=name_bytes))
        return name_bytes

    def _pages(self, found: _Found) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.uint64]]:
        """Return number and data offset of the page of each record."""
        if not len(found):
            return _NO_PAGES
        words = found.all_words()
        zero = (words & np.uint64(self._flags_mask)) == _ZERO
        body_bytes = np.where(zero, 1, self._page_size)
        sized, sizes = np.array(found.sized, np.int64).reshape(-1, 2).T
        body_bytes[sized] = sizes
        name_bytes = np.zeros(len(words), np.int64)
        for change in found.changes:
            name_bytes[change.record] = change.name_bytes
        record_bytes = WORD.size + name_bytes + body_bytes
        end = np.cumsum(record_bytes)
        data = end - body_bytes

        page = (words >> np.uint64(self._page_size.bit_length() - 1)).astype(np.int64)
        first_page, page_count = _blocks_of_records(found.changes, len(words))
        outside = page >= page_count
        if outside.any():
            number = int(outside.argmax())
            where = found.offset + int(end[number] - record_bytes[number])
            raise self._outside(int(page[number]), int(page_count[number]), where)
        place = (data + found.offset).astype(np.uint64)
        data_offset = np.where(zero, np.uint64(ZERO_PAGE), place)
        filled = zero & (np.frombuffer(found.window, np.uint8)[data] != 0)
        if filled.any():
            data_offset[filled] = place[filled] | np.uint64(FILLED)
        if len(sized):
            patched = words[sized] & np.uint64(Flag.XBZRLE) != 0
            data_offset[sized] |= np.where(patched, np.uint64(PATCHED), np.uint64(COMPRESSED))
        return page + first_page, data_offset

    def _outside(self, page: int, page_count: int, offset: int) -> FormatError:
        if self._block is None:
            return self._damaged("a page of the block before, and there is none", offset)
        address = page * self._page_size
        size = page_count * self._page_size
        return self._damaged(f"a page at {address:#x} in a block of {size:#x} bytes", offset)

    def _refusal(self, word: int, offset: int) -> LocatedError:
        """Return the error for a word that begins no record that we read."""
        flags = word & self._flags_mask
        kind = flags & ~_CONTINUE
        reason = _REASONS.get(Flag(kind))
        if reason is None:
            return self._damaged(f"flags {flags:#x} in {word:#x} make no sense", offset)
        return UnsupportedError(
            f"{reason}, flags {flags:#x}", source=self._source_name, offset=offset, field="ram.word"
        )

    def _damaged(self, problem: str, offset: int) -> FormatError:
        return FormatError(problem, source=self._source_name, offset=offset, field="ram.word")


def _blocks_of_records(
    changes: list[_BlockChange], count: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return first page and page count of the block of each record; shape (count,)."""
    bounds = [*(change.record for change in changes), count]
    record_counts = [end - start for start, end in pairwise(bounds)]
    first_page = [change.block.first_page if change.block else 0 for change in changes]
    page_count = [change.block.page_count if change.block else 0 for change in changes]
    return np.repeat(first_page, record_counts), np.repeat(page_count, record_counts)
