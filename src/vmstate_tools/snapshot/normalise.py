"""A stream in which every page of memory is there once, plain, in order of address.

A live migration sends pages again and again while the guest writes to them, as differences or
compressed. Only the last copy counts; the others are left out. A mapped-ram file has each page once
already, but at a fixed place, and the places of zero pages too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vmstate_tools.core.errors import UnsupportedError
from vmstate_tools.device.description_json import parse_json
from vmstate_tools.device.description_text import to_text
from vmstate_tools.ram.mapped import nonzero_pages
from vmstate_tools.ram.reader import IDSTR as RAM
from vmstate_tools.ram.writer import END_OF_SECTION, block_list, iter_page_records
from vmstate_tools.snapshot.kind import Kind
from vmstate_tools.stream.records import (
    Command,
    CommandCode,
    Configuration,
    Description,
    Section,
    SectionKind,
    Trailing,
)
from vmstate_tools.stream.wire import SUBSECTION_CAPABILITIES
from vmstate_tools.stream.writer import (
    configuration_bytes,
    description_head,
    footer_of,
    pieces_of,
    section_continued,
    section_head,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vmstate_tools.snapshot.open import Snapshot
    from vmstate_tools.stream.records import Record
    from vmstate_tools.stream.writer import Piece

CONVERSATION = frozenset({CommandCode.OPEN_RETURN_PATH, CommandCode.PING})
"""Commands that want an answer. A file has nobody to send it to, and loading one that asks for a
return path fails (QEMU 10.0.2 migration/savevm.c, loadvm_process_command())."""

MAPPED = "mapped-ram"
"""Capability of streams whose pages have fixed places in the file. Nothing else can be listed with
it: QEMU 10.0.2 does not load its own files with `x-ignore-shared` too."""


def normalised_pieces(snapshot: Snapshot) -> Iterator[Piece]:
    """Yield the stream, to be written with stream.writer.write_pieces().

    Everything but memory stays as it is, except for commands that only a live migration needs and
    zeros behind the end. Pages of which the stream says nothing are left out as before.

    Raises:
        UnsupportedError: a kind of stream that has no such form, or that we cannot bring into it.
        FormatError: a page is compressed or a difference, and that is damaged.
    """
    if snapshot.kind is Kind.POSTCOPY:
        problem = "a postcopy stream, which was a conversation and cannot be loaded from a file"
        raise UnsupportedError(problem, source=snapshot.source.name)
    is_mapped = snapshot.kind is Kind.MAPPED_RAM
    if is_mapped:
        find_lost_pages(snapshot)
    for record in snapshot.records:
        if isinstance(record, Section) and record.idstr == RAM:
            yield from _ram_section(snapshot, record)
        elif is_mapped and isinstance(record, Configuration):
            yield _unmapped_configuration(snapshot, record)
        elif is_mapped and isinstance(record, Description):
            yield from _unmapped_description(snapshot, record)
        elif not _is_left_out(record):
            yield from pieces_of(record)


def find_lost_pages(snapshot: Snapshot) -> int:
    """Find the pages of a background snapshot into mapped-ram; return how many there are.

    QEMU 10.0.2 marks none of them as stored (see checks/mapped_bitmaps.py). The file was new, so
    that what is not zero has been written. Other snapshots stay as they are.
    """
    index = snapshot.ram
    ended = any(
        section.idstr == RAM and section.kind is SectionKind.END for section in snapshot.sections
    )
    mapped = [(block, block.mapped) for block in index.blocks if block.mapped is not None]
    if ended or any(index.counts(block.name).stored for block, _ in mapped):
        return 0
    for block, pages in mapped:
        found = nonzero_pages(snapshot.source, pages, index.page_size, block.page_count)
        index.place(block.name, pages.pages_offset, found)
    return sum(index.counts(block.name).stored for block, _ in mapped)


def _unmapped_configuration(snapshot: Snapshot, configuration: Configuration) -> bytes:
    if configuration.capabilities != (MAPPED,):
        problem = f"capabilities {', '.join(configuration.capabilities)} together"
        raise UnsupportedError(problem, source=snapshot.source.name, offset=configuration.offset)
    return configuration_bytes(
        configuration.machine, page_bits=configuration.page_bits, uuid=configuration.uuid
    )


def _unmapped_description(snapshot: Snapshot, description: Description) -> Iterator[Piece]:
    """Yield the description without the list of capabilities."""
    length = description.end - description.json_offset
    text = snapshot.source.read_at(description.json_offset, length, "description")
    members = [
        (key, _without_capabilities(value) if key == "configuration" else value)
        for key, value in parse_json(text)
    ]
    changed = to_text(tuple(members)).encode()
    yield description_head(len(changed))
    yield changed


def _without_capabilities(configuration: object) -> object:
    assert isinstance(configuration, tuple), "it was parsed before"
    members = []
    for key, value in configuration:
        left = value
        if key == "subsections":
            left = [one for one in value if ("vmsd_name", SUBSECTION_CAPABILITIES) not in one]
        if left or key != "subsections":
            members.append((key, left))
    return tuple(members)


def _ram_section(snapshot: Snapshot, section: Section) -> Iterator[Piece]:
    if section.kind is SectionKind.START:
        blocks = ((block.name, block.size, block.address) for block in snapshot.ram.blocks)
        yield section_head(section)
        yield block_list(blocks) + END_OF_SECTION + footer_of(section)
        yield section_continued(SectionKind.PART, section.section_id)
        yield from iter_page_records(snapshot.source, snapshot.memory)
        yield END_OF_SECTION + footer_of(section)
    elif section.kind is SectionKind.END:
        yield section_head(section) + END_OF_SECTION + footer_of(section)


def _is_left_out(record: Record) -> bool:
    if isinstance(record, Command):
        # An advice of postcopy of memory is refused where the capability is off.
        has_advice = record.payload_end > record.payload_offset
        is_advice = record.code == CommandCode.POSTCOPY_ADVISE and has_advice
        return is_advice or record.code in CONVERSATION
    return isinstance(record, Trailing) and record.all_zero
