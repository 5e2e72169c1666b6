"""Walk streams that consist of a few devices, as maps and as pipes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from builders import stream as build
from builders.readers import LengthReader
from builders.sources import both_sources
from vmstate_tools.core.errors import (
    FormatError,
)
from vmstate_tools.stream.preamble import read_preamble
from vmstate_tools.stream.records import (
    PayloadReader,
    Record,
    Section,
    SectionStart,
)
from vmstate_tools.stream.walker import walk

if TYPE_CHECKING:
    from collections.abc import Mapping

    from vmstate_tools.core.source import ByteSource

FRONT = build.header() + build.configuration()
START = build.section(build.START, b"begin", idstr="disk", section_id=4)
PART = build.section(build.PART, b"middle", section_id=4)
END = build.section(build.END, b"end", section_id=4)
TIMER = build.Device(idstr="timer", section_id=0)
CPU = build.Device(idstr="cpu", section_id=7, instance_id=3, version_id=12, payload=b"registers")
TAIL = build.eof() + build.description(build.vmdesc([TIMER, CPU]))
LENGTHS = {"timer": len(TIMER.payload), "cpu": len(CPU.payload)}


class TextReader:
    """Reads payloads that are one of the words above."""

    def read_payload(self, source: ByteSource, section: SectionStart) -> int:
        word = {1: b"begin", 2: b"middle", 3: b"end"}[section.kind]
        found = source.read_at(section.payload_offset, len(word), "word")
        if found != word:
            raise FormatError("another word", source=source.name, offset=section.payload_offset)
        return section.payload_offset + len(word)


DISK: dict[str, PayloadReader] = {"disk": TextReader()}


def walk_through(
    source: ByteSource,
    readers: Mapping[str, PayloadReader] | None = None,
    lengths: Mapping[str, int] | None = None,
) -> list[Record]:
    """Walk to the end.

    Args:
        readers: Of iterative sections; those of DISK if not given.
        lengths: Of devices; those of LENGTHS if not given.
    """
    reader = LengthReader(**(LENGTHS if lengths is None else lengths))
    readers = DISK if readers is None else readers
    return list(walk(source, read_preamble(source), readers, lambda _: reader))


def walk_both(data: bytes, lengths: Mapping[str, int] | None = None) -> list[Record]:
    """Walk as a map and as a pipe, which must be the same."""
    first, second = [walk_through(source, lengths=lengths) for source in both_sources(data)]
    assert [str(record) for record in first] == [str(record) for record in second]
    return first


def sections(records: list[Record]) -> list[Section]:
    return [record for record in records if isinstance(record, Section)]


def problems(records: list[Record]) -> list[str]:
    return [str(section.problem) for section in sections(records) if section.problem]
