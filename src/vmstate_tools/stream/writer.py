"""Records to the bytes that they were read from, and new sections from their parts.

Payloads may be gigabytes long, so they are never put together in memory. What is written is a
series of pieces: bytes made here, and extents of the source that are copied as they are.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, TypeAlias, assert_never
from uuid import UUID

from vmstate_tools.stream import wire
from vmstate_tools.stream.records import (
    Command,
    Configuration,
    Description,
    EndOfStream,
    Header,
    Section,
    SectionKind,
    Trailing,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from vmstate_tools.core.source import ByteSource
    from vmstate_tools.stream.records import Record

COPY_BYTES = 4 << 20
"""Bytes copied by one call: enough to make the cost per call vanish."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Extent:
    """Bytes of the source, from `start` to `end`, that are written as they are."""

    start: int
    end: int


Piece: TypeAlias = bytes | memoryview | Extent


def write_records(source: ByteSource, records: Iterable[Record], out: IO[bytes]) -> int:
    """Write records; return the number of bytes. Unchanged ones give the bytes they came from.

    Args:
        source: What they were read from; it must be searchable.

    Raises:
        OSError: `out` cannot take it.
    """
    return write_pieces(source, (piece for record in records for piece in pieces_of(record)), out)


def write_pieces(
    source: ByteSource,
    pieces: Iterable[Piece],
    out: IO[bytes],
    on_written: Callable[[int], object] = lambda _: None,
) -> int:
    """Write pieces one after the other; return the number of bytes.

    Args:
        on_written: Called on the way with the number of bytes written since the last call.

    Raises:
        TruncatedError: an extent goes beyond the end of the source.
        OSError: `out` cannot take it.
    """
    written = reported = 0
    for piece in pieces:
        if isinstance(piece, Extent):
            for start in range(piece.start, piece.end, COPY_BYTES):
                length = min(COPY_BYTES, piece.end - start)
                written += out.write(source.read_at(start, length, "payload"))
        else:
            written += out.write(piece)
        if written - reported >= COPY_BYTES:
            on_written(written - reported)
            reported = written
    on_written(written - reported)
    return written


def pieces_of(record: Record) -> Iterator[Piece]:
    """Yield what a record consists of: its own fields, and its payload as an extent."""
    match record:
        case Header():
            yield header_bytes(record.version)
        case Configuration():
            # Subsections are kept as they are: their order and versions are not in the record.
            yield configuration_head(record.machine)
            yield subsections_of(record)
        case Section():
            yield section_head(record)
            yield Extent(start=record.payload_offset, end=record.payload_end)
            yield footer_of(record)
        case Command():
            length = record.payload_end - record.payload_offset
            head = wire.COMMAND_HEADER.build({"code": record.code, "length": length})
            yield bytes([wire.COMMAND]) + head
            yield Extent(start=record.payload_offset, end=record.end)
        case EndOfStream():
            yield bytes([wire.EOF])
        case Description():
            yield description_head(record.end - record.json_offset)
            yield Extent(start=record.json_offset, end=record.end)
        case Trailing():
            yield Extent(start=record.offset, end=record.end)
        case _:
            assert_never(record)


def header_bytes(version: int = wire.VERSION) -> bytes:
    """Return magic and version."""
    return bytes(wire.HEADER.build({"magic": wire.MAGIC, "version": version}))


def configuration_head(machine: str) -> bytes:
    """Return a configuration section up to its subsections."""
    name = machine.encode("latin-1")
    length = bytes(wire.CONFIGURATION_LENGTH.build(len(name)))
    return bytes([wire.CONFIGURATION]) + length + name


def configuration_bytes(
    machine: str,
    *,
    page_bits: int | None = None,
    capabilities: Sequence[str] = (),
    uuid: str | None = None,
) -> bytes:
    """Return a configuration section; what is not given is left out, as QEMU does it."""
    bodies: list[tuple[str, bytes]] = []
    if page_bits is not None:
        bodies.append((wire.SUBSECTION_PAGE_BITS, wire.PAGE_BITS.build(page_bits)))
    if capabilities:
        names = b"".join(wire.CAPABILITY.build({"name": name}) for name in capabilities)
        count = wire.CAPABILITY_COUNT.build(len(capabilities))
        bodies.append((wire.SUBSECTION_CAPABILITIES, count + names))
    if uuid is not None:
        bodies.append((wire.SUBSECTION_UUID, UUID(uuid).bytes))
    subsections = (
        bytes([wire.SUBSECTION]) + wire.SUBSECTION_HEADER.build({"name": name, "version": 1}) + body
        for name, body in bodies
    )
    return configuration_head(machine) + b"".join(subsections)


def subsections_of(configuration: Configuration) -> Extent:
    """Return where the subsections of a configuration are."""
    start = configuration.offset + len(configuration_head(configuration.machine))
    return Extent(start=start, end=configuration.end)


def section_head(section: Section) -> bytes:
    """Return a section up to its payload."""
    if section.kind in {SectionKind.PART, SectionKind.END}:
        return section_continued(section.kind, section.section_id)
    return section_start(
        section.kind, section.section_id, section.idstr, section.instance_id, section.version_id
    )


def footer_of(section: Section) -> bytes:
    """Return the footer of a section, or nothing where its stream has none."""
    return footer_bytes(section.section_id) if section.end > section.payload_end else b""


def section_start(
    kind: SectionKind, section_id: int, idstr: str, instance_id: int, version_id: int
) -> bytes:
    """Return a START or FULL section up to its payload."""
    fields = {
        "section_id": section_id,
        "idstr": idstr,
        "instance_id": instance_id,
        "version_id": version_id,
    }
    return bytes([kind]) + bytes(wire.SECTION_HEADER.build(fields))


def section_continued(kind: SectionKind, section_id: int) -> bytes:
    """Return a PART or END section up to its payload."""
    return bytes([kind]) + wire.PART_HEADER.pack(section_id)


def footer_bytes(section_id: int) -> bytes:
    """Return the footer of a section."""
    return wire.FOOTER_RECORD.pack(wire.FOOTER, section_id)


def description_head(length: int) -> bytes:
    """Return a description up to its text, which has `length` bytes."""
    return bytes([wire.DESCRIPTION]) + bytes(wire.DESCRIPTION_LENGTH.build(length))
