"""Read the `ram` section: the PayloadReader that fills the page index."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vmstate_tools.core.errors import FormatError, UnsupportedError
from vmstate_tools.ram.blocks import read_blocks
from vmstate_tools.ram.discard import read_discard
from vmstate_tools.ram.index import RamIndex
from vmstate_tools.ram.mapped import stored_pages
from vmstate_tools.ram.page_size import guess_page_size
from vmstate_tools.ram.pages import PageScanner
from vmstate_tools.ram.wire import VERSION, WORD
from vmstate_tools.stream.records import SectionKind

if TYPE_CHECKING:
    from collections.abc import Callable

    from vmstate_tools.core.source import ByteSource
    from vmstate_tools.stream.records import Command, Preamble, SectionStart

IDSTR = "ram"


class RamReader:
    """Reads START, PART and END of `ram`, one after the other, into one index.

    Attributes:
        index: None until the list of blocks has been read.
    """

    def __init__(
        self, preamble: Preamble, on_first_page: Callable[[], object] | None = None
    ) -> None:
        """Make one.

        Args:
            preamble: Of the stream that will be read.
            on_first_page: Called once, when the first record of a page has been found; on a pipe
                this is before anything that follows has been waited for.
        """
        self.index: RamIndex | None = None
        self._preamble = preamble
        self._on_first_page = on_first_page
        self._scanner: PageScanner | None = None
        self._mapped = False

    def read_payload(self, source: ByteSource, section: SectionStart) -> int:
        """See PayloadReader.

        Raises:
            FormatError: the section is damaged.
            UnsupportedError: it holds what we do not read: see ram/pages.py.
        """
        offset = section.payload_offset
        if section.kind is SectionKind.START:
            offset = self._read_setup(source, section)
        assert self._scanner is not None
        assert self.index is not None
        needed = WORD.size
        while True:
            batch = self._scanner.scan(source.window(offset, needed, "ram.record"), offset)
            self.index.apply(batch)
            if len(batch.page) and self._on_first_page is not None:
                self._on_first_page()
                self._on_first_page = None
            if len(batch.page) and self._mapped:
                problem = "page records where pages have fixed places (capability mapped-ram)"
                raise FormatError(problem, source=source.name, offset=offset, field="ram.record")
            offset = batch.end
            needed = batch.needed
            source.release(offset)
            if batch.last:
                return offset

    def discard(self, source: ByteSource, command: Command) -> None:
        """Take in POSTCOPY_RAM_DISCARD: what was sent of these pages before is void.

        Raises:
            FormatError: it is damaged, or is about pages that there are not.
            UnsupportedError: another version of the command.
        """
        found = read_discard(source, command)
        blocks = () if self.index is None else self.index.blocks
        block = next((block for block in blocks if block.name == found.block), None)
        page_size = self._preamble.page_size if self.index is None else self.index.page_size
        for start, length in zip(found.start.tolist(), found.length.tolist(), strict=True):
            if block is None or start + length > block.size or (start | length) % page_size:
                problem = f"{length:#x} bytes at {start:#x} of block {found.block!r} are taken back"
                where = command.payload_offset
                raise FormatError(problem, source=source.name, offset=where, field="discard")
            assert self.index is not None
            self.index.discard(block.name, start // page_size, length // page_size)

    def _read_setup(self, source: ByteSource, section: SectionStart) -> int:
        if section.version_id != VERSION:
            problem = f"version {section.version_id} of the ram section (expected {VERSION})"
            raise UnsupportedError(problem, source=source.name, offset=section.offset, field=IDSTR)
        if self.index is not None:
            problem = "a second list of blocks"
            raise UnsupportedError(problem, source=source.name, offset=section.offset, field=IDSTR)
        configuration = self._preamble.configuration
        capabilities = () if configuration is None else configuration.capabilities
        offset = section.payload_offset
        page_size = self._preamble.page_size
        # Whoever waits for the first page must have it before we wait for the second.
        if not self._preamble.page_size_stated and self._on_first_page is None:
            page_size = guess_page_size(source, offset) or page_size
        blocks, end = read_blocks(source, offset, page_size, capabilities)
        try:
            self.index = RamIndex(blocks, page_size)
        except MemoryError as error:
            total = sum(block.size for block in blocks)
            problem = f"{total} bytes of memory, too many for an index"
            raise FormatError(problem, source=source.name, offset=offset, field="ram") from error
        mapped = [(block, block.mapped) for block in blocks if block.mapped is not None]
        self._mapped = bool(mapped)
        stored = stored_pages((pages, block.page_count) for block, pages in mapped)
        for (block, pages), of_block in zip(mapped, stored, strict=True):
            self.index.place(block.name, pages.pages_offset, of_block)
        self._scanner = PageScanner({block.name: block for block in blocks}, page_size, source.name)
        return end
