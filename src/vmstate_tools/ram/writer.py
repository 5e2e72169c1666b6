"""Guest memory to the payload of a `ram` section: the list of blocks, and page records.

QEMU 10.0.2 migration/ram.c, ram_save_setup(), save_page_header() and save_zero_page().
"""

from __future__ import annotations

from itertools import groupby, islice, pairwise
from typing import TYPE_CHECKING

import numpy as np

from vmstate_tools.ram.index import PageKind
from vmstate_tools.ram.wire import BLOCK, BLOCK_ADDRESS, WORD, Flag
from vmstate_tools.stream.writer import Extent

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import numpy.typing as npt

    from vmstate_tools.core.source import ByteSource
    from vmstate_tools.ram.image import RamImage
    from vmstate_tools.ram.index import PageRun
    from vmstate_tools.stream.writer import Piece

STEP_BYTES = 1 << 20
"""Content that is made into records at once: it fits into the cache of a processor."""

SCATTERED_PAGES = 16
"""Runs that are shorter are brought together before they are written: a run costs as much as the
copying of several pages."""

END_OF_SECTION = WORD.pack(Flag.EOS)

_CONTINUE = int(Flag.CONTINUE)
_PAGE = int(Flag.PAGE)
_ZERO = int(Flag.ZERO)


def block_list(blocks: Iterable[tuple[str, int, int | None]]) -> bytes:
    """Return the list of blocks, which stands at the beginning of START.

    Args:
        blocks: Name, size in bytes, and guest-physical address where the stream has the
            capability x-ignore-shared (otherwise None).
    """
    total = 0
    entries = []
    for name, size, address in blocks:
        total += size
        entries.append(bytes(BLOCK.build({"name": name, "size": size})))
        if address is not None:
            entries.append(bytes(BLOCK_ADDRESS.build(address)))
    return WORD.pack(total | Flag.MEM_SIZE) + b"".join(entries)


class PageWriter:
    """Makes page records; like their reader, it remembers the block of the last one.

    Attributes:
        page_size: Target page size in bytes.
    """

    def __init__(self, page_size: int) -> None:
        self.page_size = page_size
        self._block: str | None = None

    def pages(
        self, block: str, offset: int, data: bytes | memoryview
    ) -> Iterator[bytes | memoryview]:
        """Yield the records of pages; those that are full of zeros become zero pages.

        Args:
            offset: Of the first page in the block, in bytes.
            data: Whole pages.
        """
        for address, part in self._steps(offset, data):
            is_zero = _zero_pages(part)
            bounds = [0, *(np.flatnonzero(np.diff(is_zero)) + 1).tolist(), len(part)]
            for first, end in pairwise(bounds):
                start = address + first * self.page_size
                if is_zero[first]:
                    yield self.zero(block, start, end - first)
                else:
                    yield from self._records(block, start, part[first:end])

    def stored(
        self, block: str, offset: int, data: bytes | memoryview
    ) -> Iterator[bytes | memoryview]:
        """Yield the records of pages as they are, zeros or not; see pages()."""
        for address, part in self._steps(offset, data):
            yield from self._records(block, address, part)

    def zero(self, block: str, offset: int, page_count: int) -> bytes:
        """Return the records of pages that are zero, each with its fill byte."""
        head = self._head(block, offset, _ZERO) + b"\0"
        records = np.zeros((page_count - 1, WORD.size + 1), np.uint8)
        records[:, : WORD.size] = self._words(offset, page_count, _ZERO)
        return head + records.tobytes()

    def copied(self, block: str, offset: int, records: Extent) -> Iterator[Piece]:
        """Yield records that another stream has one behind the other, of page after page.

        Args:
            records: From the content of the first one to the end of the last one.
        """
        yield self._head(block, offset, _PAGE)
        yield records

    def _steps(
        self, offset: int, data: bytes | memoryview
    ) -> Iterator[tuple[int, npt.NDArray[np.uint8]]]:
        """Yield offset and pages, shape (n, page_size), of about STEP_BYTES each."""
        page_size = self.page_size
        pages = np.frombuffer(data, np.uint8).reshape(-1, page_size)
        step = max(1, STEP_BYTES // page_size)
        for first in range(0, len(pages), step):
            yield offset + first * page_size, pages[first : first + step]

    def _records(
        self, block: str, offset: int, pages: npt.NDArray[np.uint8]
    ) -> Iterator[bytes | memoryview]:
        yield self._head(block, offset, _PAGE)
        yield pages[0].data
        records = np.empty((len(pages) - 1, WORD.size + self.page_size), np.uint8)
        records[:, : WORD.size] = self._words(offset, len(pages), _PAGE)
        records[:, WORD.size :] = pages[1:]
        yield records.reshape(-1).data

    def _head(self, block: str, offset: int, kind: int) -> bytes:
        """Return word and name of a record, after which others can continue."""
        if block == self._block:
            return WORD.pack(offset | kind | _CONTINUE)
        self._block = block
        name = block.encode("latin-1")
        return WORD.pack(offset | kind) + bytes([len(name)]) + name

    def _words(self, offset: int, page_count: int, kind: int) -> npt.NDArray[np.uint8]:
        """Return the words of all records but the first; shape (page_count - 1, 8)."""
        numbers = np.arange(1, page_count, dtype=np.uint64) * np.uint64(self.page_size)
        words = (numbers + np.uint64(offset)) | np.uint64(kind | _CONTINUE)
        return words.astype(">u8").view(np.uint8).reshape(-1, WORD.size)


def iter_page_records(source: ByteSource, image: RamImage) -> Iterator[Piece]:
    """Yield all of memory as records: every page that the stream has, once, by address.

    Args:
        source: What `image` reads.
    """
    writer = PageWriter(image.index.page_size)
    data = source.read_at(0, source.size_to_end(), "page")
    for block in image.index.blocks:
        runs = image.index.iter_runs(block.name)
        # Every page is in one run, so runs that follow each other are pages that do.
        for is_scattered, group in groupby(runs, _is_scattered):
            if is_scattered:
                yield from _scattered_records(data, writer, block.name, group)
            else:
                for run in group:
                    yield from _run_records(data, image, writer, block.name, run)


def _is_scattered(run: PageRun) -> bool:
    return run.kind is PageKind.STORED and run.page_count < SCATTERED_PAGES


def _scattered_records(
    data: memoryview, writer: PageWriter, block: str, runs: Iterator[PageRun]
) -> Iterator[Piece]:
    """Yield the records of short runs, whose pages are brought together first."""
    page_size = writer.page_size
    while batch := list(islice(runs, max(1, STEP_BYTES // page_size))):
        contents = [
            data[offset : offset + page_size]
            for run in batch
            for offset in range(
                run.data_offset,
                run.data_offset + run.page_count * run.data_stride,
                run.data_stride,
            )
        ]
        yield from writer.stored(block, batch[0].first_page * page_size, b"".join(contents))


def _run_records(
    data: memoryview, image: RamImage, writer: PageWriter, block: str, run: PageRun
) -> Iterator[Piece]:
    page_size = writer.page_size
    offset = run.first_page * page_size
    if run.kind is PageKind.ZERO:
        yield writer.zero(block, offset, run.page_count)
    elif run.kind is PageKind.STORED:
        end = run.data_offset + (run.page_count - 1) * run.data_stride + page_size
        if run.data_stride == page_size:
            yield from writer.stored(block, offset, data[run.data_offset : end])
        else:
            yield from writer.copied(block, offset, Extent(start=run.data_offset, end=end))
    elif run.kind is not PageKind.ABSENT:
        for page in range(run.first_page, run.first_page + run.page_count):
            yield from writer.stored(block, page * page_size, image.read_page(block, page))


def _zero_pages(pages: npt.NDArray[np.uint8]) -> npt.NDArray[np.bool_]:
    """Return which pages are full of zeros; shape (n,)."""
    words = pages.view(np.uint64)
    is_zero: npt.NDArray[np.bool_] = words[:, 0] == 0
    # Most pages that are not zero have shown it by now.
    candidates = np.flatnonzero(is_zero)
    is_zero[candidates] = ~words[candidates].any(axis=1)
    return is_zero
