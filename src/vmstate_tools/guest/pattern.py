"""Judge the memory of the built-in guest: is it of one moment, or torn?

The guest writes its pages in ascending order, pass after pass, and says how far it is. Memory of
one moment holds pass N in as many pages as the state page says, pass N - 1 in the others; the
one page at the border may be written in part. Every page says its own pass, so a page of any
other moment stands out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from vmstate_tools.core.errors import TruncatedError
from vmstate_tools.guest.layout import (
    COUNTER_FACTOR,
    FILL_RANGE,
    FILL_RANGE_OFFSET,
    FILLER_STEP,
    FILLER_WORDS,
    LINE_WORDS,
    LINES,
    PAGE_BYTES,
    PAGE_FACTOR,
    PROGRAM_ADDRESS,
    STRIDE_WORDS,
)
from vmstate_tools.guest.state import GuestState, ReadMemory, read_guest_state

if TYPE_CHECKING:
    import numpy.typing as npt

NO_PASS = 2**64 - 1
"""Stands for the pass of a page that no pass has written like that."""

CHUNK_PAGES = 4096
MAX_RUNS_SHOWN = 8
HEADER_WORDS = LINE_WORDS - FILLER_WORDS
PAGE_WORDS = LINES * LINE_WORDS
"""Words (u32) that a pass writes in a page, counted in the order in which it writes them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryVerdict:
    """How the region compares with what the state page says of it."""

    state: GuestState
    wrong_pages: npt.NDArray[np.uint32]
    """Pages that are not what the state says, ascending; shape (n,)."""
    wrong_passes: npt.NDArray[np.uint64]
    """The pass that each of them holds, whole; NO_PASS for one that is damaged. Shape (n,)."""
    border_words: tuple[int, int]
    """Least and greatest number of words written in the page at the border that explain it."""

    @property
    def one_moment(self) -> bool:
        """Tell whether state page and region are of the same instant."""
        return not self.wrong_pages.size

    def __str__(self) -> str:
        """Say it in one line."""
        state = self.state
        progress = f"pass {state.counter}, {state.pages_written} of {state.page_count} pages"
        if self.one_moment:
            return f"one moment ({progress})"
        runs = _runs(self.wrong_pages, self.wrong_passes)
        shown = "; ".join(_run_text(*run) for run in runs[:MAX_RUNS_SHOWN])
        more = f"; {len(runs) - MAX_RUNS_SHOWN} more runs" if len(runs) > MAX_RUNS_SHOWN else ""
        count = self.wrong_pages.size
        return f"torn: {count} pages disagree with the state ({progress}): {shown}{more}"


def check_memory(read: ReadMemory, source: str = "guest memory") -> MemoryVerdict:
    """Compare every byte of the region with what the state page says.

    A machine that was reset keeps old pages until its first pass is over, and is torn until then.

    Args:
        source: What error messages call the memory.

    Raises:
        FormatError: no guest has set itself up there.
        TruncatedError: `read` returned less than it was asked for.
    """
    state = read_guest_state(read, source)
    wrong_pages = []
    wrong_passes = []
    border_words = (0, 0)
    for first in range(0, state.page_count, CHUNK_PAGES):
        pages = np.arange(first, min(first + CHUNK_PAGES, state.page_count), dtype=np.uint32)
        written, gaps_empty = _read_pages(read, state, pages, source)
        passes = np.where(pages < state.pages_written, state.counter, max(state.counter - 1, 0))
        right = gaps_empty & (written == page_words(pages, passes.astype(np.uint64))).all(axis=1)
        border = state.pages_written - first
        if 0 <= border < len(pages):
            border_words = _border_words(written[border], state)
            right[border] = gaps_empty[border] and border_words[0] <= border_words[1]
        wrong = np.flatnonzero(~right)
        wrong_pages.append(pages[wrong])
        wrong_passes.append(_find_passes(pages[wrong], written[wrong], gaps_empty[wrong]))
    return MemoryVerdict(
        state=state,
        wrong_pages=np.concatenate([np.empty(0, np.uint32), *wrong_pages]),
        wrong_passes=np.concatenate([np.empty(0, np.uint64), *wrong_passes]),
        border_words=border_words,
    )


def registers_agree(read: ReadMemory, verdict: MemoryVerdict, *, eip: int, edi: int) -> bool | None:
    """Tell whether a CPU that stands at `eip` is of the same instant as the memory.

    While the guest writes a page, EDI is the address of its next store: the words before it must
    be there, the others must not.

    Returns:
        None if the CPU is elsewhere, where its registers say nothing.
    """
    start, end = FILL_RANGE.unpack(
        bytes(read(PROGRAM_ADDRESS + FILL_RANGE_OFFSET, FILL_RANGE.size))
    )
    if not start <= eip < end:
        return None
    offset = edi - verdict.state.page_address(verdict.state.pages_written)
    line, word = divmod(offset // 4, STRIDE_WORDS)
    least, most = verdict.border_words
    return least <= line * LINE_WORDS + min(word, LINE_WORDS) <= most


def page_words(
    pages: npt.NDArray[np.uint32], passes: npt.NDArray[np.uint64]
) -> npt.NDArray[np.uint32]:
    """Return what each page holds after the pass given for it; shape (n, PAGE_WORDS).

    Pass 0 is memory that was never written: zeros.
    """
    low = passes.astype(np.uint32)
    seeds = low * np.uint32(COUNTER_FACTOR) + pages * np.uint32(PAGE_FACTOR)
    steps = np.arange(LINES * FILLER_WORDS, dtype=np.uint32) * np.uint32(FILLER_STEP)
    words = np.empty((len(pages), LINES, LINE_WORDS), np.uint32)
    words[:, :, 0] = low[:, None]
    words[:, :, 1] = (passes >> np.uint64(32)).astype(np.uint32)[:, None]
    words[:, :, 2] = pages[:, None]
    words[:, :, HEADER_WORDS:] = seeds[:, None, None] + steps.reshape(LINES, FILLER_WORDS)
    words[passes == 0] = 0
    return words.reshape(len(pages), PAGE_WORDS)


def _read_pages(
    read: ReadMemory, state: GuestState, pages: npt.NDArray[np.uint32], source: str
) -> tuple[npt.NDArray[np.uint32], npt.NDArray[np.bool_]]:
    """Return the words that passes write, shape (n, PAGE_WORDS), and whether the rest is zero."""
    address = state.page_address(int(pages[0]))
    length = len(pages) * PAGE_BYTES
    data = read(address, length)
    if len(data) < length:
        problem = f"the data ends {length - len(data)} bytes too early (expected {length} bytes)"
        raise TruncatedError(problem, source=source, offset=address, field="guest.region")
    words = np.frombuffer(data, np.dtype("<u4")).reshape(len(pages), LINES, STRIDE_WORDS)
    gaps = words[:, :, LINE_WORDS:]
    written = words[:, :, :LINE_WORDS].reshape(len(pages), PAGE_WORDS)
    return written.astype(np.uint32, copy=False), np.logical_not(gaps.any(axis=(1, 2)))


def _border_words(written: npt.NDArray[np.uint32], state: GuestState) -> tuple[int, int]:
    """Return how many words of the border page may be new; least > greatest if none fits."""
    page = np.array([state.pages_written], np.uint32)
    new, old = (
        page_words(page, np.array([number], np.uint64))[0]
        for number in (state.counter, max(state.counter - 1, 0))
    )
    not_new = np.flatnonzero(written != new)
    not_old = np.flatnonzero(written != old)
    greatest = int(not_new[0]) if not_new.size else PAGE_WORDS
    least = int(not_old[-1]) + 1 if not_old.size else 0
    return least, greatest


def _find_passes(
    pages: npt.NDArray[np.uint32],
    written: npt.NDArray[np.uint32],
    gaps_empty: npt.NDArray[np.bool_],
) -> npt.NDArray[np.uint64]:
    """Return the pass that wrote each page, NO_PASS where that is not one; shape (n,)."""
    passes = written[:, 0] | written[:, 1].astype(np.uint64) << np.uint64(32)
    whole = gaps_empty & (written == page_words(pages, passes)).all(axis=1)
    return np.where(whole, passes, np.uint64(NO_PASS))


def _runs(
    pages: npt.NDArray[np.uint32], passes: npt.NDArray[np.uint64]
) -> list[tuple[int, int, int]]:
    """Return (first page, last page, pass) of each run of neighbours of the same pass."""
    breaks = np.flatnonzero((np.diff(pages) != 1) | (passes[1:] != passes[:-1]))
    starts = [0, *(breaks + 1).tolist()]
    ends = [*breaks.tolist(), len(pages) - 1]
    return [
        (int(pages[start]), int(pages[end]), int(passes[start]))
        for start, end in zip(starts, ends, strict=True)
    ]


def _run_text(first: int, last: int, number: int) -> str:
    which = f"page {first} is" if first == last else f"pages {first} to {last} are"
    return f"{which} {'damaged' if number == NO_PASS else f'of pass {number}'}"
