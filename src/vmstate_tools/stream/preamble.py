"""Header and configuration, and the page size that follows from them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from uuid import UUID

from vmstate_tools.core.errors import FormatError, UnsupportedError
from vmstate_tools.core.parse import parse_struct
from vmstate_tools.stream import wire
from vmstate_tools.stream.records import (
    CommandCode,
    Configuration,
    Description,
    Header,
    Preamble,
)
from vmstate_tools.stream.trailer import find_description

if TYPE_CHECKING:
    from vmstate_tools.core.source import ByteSource

MAX_MACHINE_BYTES = 255
"""Machine types are QOM type names of at most a few dozen bytes."""

MAX_CAPABILITIES = 64
"""QEMU 10.0 knows 25 capabilities; each can be listed once."""

PAGE_BITS = range(8, 17)
"""256 bytes (avr) to 64 KiB; other targets lie between (QEMU 10.0.2 target/*/cpu-param.h)."""

DEFAULT_PAGE_BYTES = 4096
"""x86, ppc, s390x, riscv, loongarch, mips. Targets with pages of another size say so somewhere."""


def read_preamble(source: ByteSource) -> Preamble:
    """Read what stands before the first section.

    Raises:
        FormatError: this is not a migration stream, or its beginning is damaged.
        UnsupportedError: a stream version or configuration subsection that we do not know.
    """
    header = _read_header(source)
    configuration = None
    end = header.end
    if source.read_at(end, 1, "section type")[0] == wire.CONFIGURATION:
        configuration = _read_configuration(source, end)
        end = configuration.end
    description = find_description(source, end) if source.searchable else None
    page_size = _find_page_size(source, configuration, end, description)
    return Preamble(
        header=header,
        configuration=configuration,
        page_size=page_size or DEFAULT_PAGE_BYTES,
        page_size_stated=page_size is not None,
        description=description,
        end=end,
    )


def _read_header(source: ByteSource) -> Header:
    header = parse_struct(wire.HEADER, source, 0)
    if header.magic != wire.MAGIC:
        problem = f"not a migration stream: magic {header.magic:#010x} (expected {wire.MAGIC:#x})"
        raise FormatError(problem, source=source.name, offset=0, field="header.magic")
    if header.version != wire.VERSION:
        obsolete = " of QEMU before 0.9.1" if header.version == wire.OBSOLETE_VERSION else ""
        problem = f"stream version {header.version}{obsolete} (expected {wire.VERSION})"
        raise UnsupportedError(problem, source=source.name, offset=4, field="header.version")
    return Header(offset=0, end=wire.HEADER.sizeof(), version=header.version)


def _read_configuration(source: ByteSource, offset: int) -> Configuration:
    length = parse_struct(wire.CONFIGURATION_LENGTH, source, offset + 1)
    _limit(source, offset + 1, "configuration", length, MAX_MACHINE_BYTES, "bytes of machine type")
    name_offset = offset + 1 + wire.CONFIGURATION_LENGTH.sizeof()
    machine = bytes(source.read_at(name_offset, length, "configuration")).decode("latin-1")
    end = name_offset + length
    page_bits: int | None = None
    capabilities: tuple[str, ...] = ()
    uuid: str | None = None
    while source.read_at(end, 1, "section type")[0] == wire.SUBSECTION:
        head = parse_struct(wire.SUBSECTION_HEADER, source, end + 1)
        body = end + 1 + head.size
        if head.name == wire.SUBSECTION_PAGE_BITS:
            page_bits, end = _read_page_bits(source, body)
        elif head.name == wire.SUBSECTION_CAPABILITIES:
            capabilities, end = _read_capabilities(source, body)
        elif head.name == wire.SUBSECTION_UUID:
            uuid, end = _read_uuid(source, body)
        else:
            problem = f"configuration subsection {head.name!r}, whose length is not known"
            raise UnsupportedError(problem, source=source.name, offset=end, field="configuration")
    return Configuration(
        offset=offset,
        end=end,
        machine=machine,
        page_bits=page_bits,
        capabilities=capabilities,
        uuid=uuid,
    )


def _read_page_bits(source: ByteSource, offset: int) -> tuple[int, int]:
    bits = parse_struct(wire.PAGE_BITS, source, offset)
    if bits not in PAGE_BITS:
        problem = f"a page of 2^{bits} bytes (expected {PAGE_BITS.start} to {PAGE_BITS.stop - 1})"
        raise FormatError(
            problem, source=source.name, offset=offset, field=wire.SUBSECTION_PAGE_BITS
        )
    return bits, offset + wire.PAGE_BITS.sizeof()


def _read_capabilities(source: ByteSource, offset: int) -> tuple[tuple[str, ...], int]:
    count = parse_struct(wire.CAPABILITY_COUNT, source, offset)
    _limit(source, offset, wire.SUBSECTION_CAPABILITIES, count, MAX_CAPABILITIES, "capabilities")
    offset += wire.CAPABILITY_COUNT.sizeof()
    names = []
    for _ in range(count):
        capability = parse_struct(wire.CAPABILITY, source, offset)
        names.append(capability.name)
        offset += capability.size
    return tuple(names), offset


def _read_uuid(source: ByteSource, offset: int) -> tuple[str, int]:
    return str(UUID(bytes=parse_struct(wire.UUID, source, offset))), offset + wire.UUID.sizeof()


def _find_page_size(
    source: ByteSource,
    configuration: Configuration | None,
    offset: int,
    description: Description | None,
) -> int | None:
    """Return the target page size, if the stream says it in any of three places."""
    if configuration is not None and configuration.page_bits is not None:
        return 1 << configuration.page_bits
    advised = _find_advised_page_size(source, offset)
    if advised is not None:
        return advised
    return None if description is None else _find_described_page_size(source, description)


def _find_advised_page_size(source: ByteSource, offset: int) -> int | None:
    """Look for POSTCOPY_ADVISE among the commands before the first section."""
    while source.read_at(offset, 1, "section type")[0] == wire.COMMAND:
        head = parse_struct(wire.COMMAND_HEADER, source, offset + 1)
        offset += 1 + wire.COMMAND_HEADER.sizeof()
        if head.code == CommandCode.PACKAGED:
            return None  # its data follows; there is none before RAM in a stream of QEMU's
        if head.code == CommandCode.POSTCOPY_ADVISE and head.length:
            advise = parse_struct(wire.POSTCOPY_ADVISE, source, offset)
            return _checked_page_size(source, offset, advise.target_page_size)
        offset += head.length
    return None


def _find_described_page_size(source: ByteSource, description: Description) -> int | None:
    # A key of the top level only: field names are values in this format.
    length = description.end - description.json_offset
    text = source.read_at(description.json_offset, length, "description")
    match = re.search(rb'"page_size":\s*(\d{1,20})', text)
    if match is None:
        return None
    return _checked_page_size(source, description.json_offset + match.start(1), int(match[1]))


def _checked_page_size(source: ByteSource, offset: int, page_size: int) -> int:
    if page_size.bit_count() == 1 and page_size.bit_length() - 1 in PAGE_BITS:
        return page_size
    problem = f"a page of {page_size} bytes"
    raise FormatError(problem, source=source.name, offset=offset, field="page size")


def _limit(source: ByteSource, offset: int, field: str, value: int, limit: int, unit: str) -> None:
    if value > limit:
        problem = f"{value} {unit} (at most {limit})"
        raise FormatError(problem, source=source.name, offset=offset, field=field)
