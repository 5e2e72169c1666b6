"""Build a stream from its parts: configuration, memory, device state, description.

The result has the order of a precopy of a stopped VM: the list of RAM blocks, all pages, devices,
end, description (QEMU 10.0.2 migration/savevm.c).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, TypeAlias

from vmstate_tools.core.errors import UsageError
from vmstate_tools.ram.reader import IDSTR as RAM
from vmstate_tools.ram.wire import VERSION as RAM_VERSION
from vmstate_tools.ram.writer import END_OF_SECTION, PageWriter, block_list
from vmstate_tools.stream import wire
from vmstate_tools.stream.records import SectionKind
from vmstate_tools.stream.writer import (
    configuration_bytes,
    description_head,
    footer_bytes,
    header_bytes,
    section_continued,
    section_start,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

MemoryPart: TypeAlias = "tuple[str, int, bytes | memoryview]"
"""Name of a RAM block, offset in it in bytes, content: whole pages."""

MAX_NAME_BYTES = 255
"""Names have one length byte."""

READ_BYTES = 1 << 20
"""What a reader of memory is asked for at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceState:
    """A device section."""

    section_id: int
    idstr: str
    instance_id: int
    version_id: int
    payload: bytes | memoryview


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamParts:
    """What a stream is built from."""

    machine: str | None
    """Versioned machine type; None for a stream without configuration section."""
    page_size: int
    """Target page size in bytes."""
    page_bits: int | None = None
    """For machines whose page size is not fixed: what the configuration says of it."""
    capabilities: tuple[str, ...] = ()
    uuid: str | None = None
    blocks: Mapping[str, int]
    """RAM blocks: name to size in bytes."""
    memory: Iterable[MemoryPart]
    """Parts of memory in any order; the last one of a page counts. See also iter_memory()."""
    devices: Sequence[DeviceState]
    description: bytes | memoryview | None = None
    """JSON text that tells what the devices hold; QEMU does not need it."""
    footers: bool = True
    """Machine types up to 2.3 have none."""
    ram_section_id: int = 2
    """Must be that of no device."""


def iter_memory(
    blocks: Mapping[str, int], read: Callable[[str, int, int], bytes | memoryview]
) -> Iterator[MemoryPart]:
    """Yield all of memory in order of address.

    Args:
        read: Takes the name of a block, an offset in it and a length; returns the bytes there.
    """
    for name, size in blocks.items():
        for offset in range(0, size, READ_BYTES):
            yield name, offset, read(name, offset, min(READ_BYTES, size - offset))


def write_stream(parts: StreamParts, out: IO[bytes]) -> int:
    """Write a stream that QEMU loads; return its length in bytes. Pages of zeros take 9 bytes.

    Raises:
        UsageError: a name is too long, or memory is not whole pages of one of the blocks.
        OSError: `out` cannot take it.
    """
    return sum(out.write(piece) for piece in _iter_pieces(parts))


def _iter_pieces(parts: StreamParts) -> Iterator[bytes | memoryview]:
    _check(parts)
    yield header_bytes()
    if parts.machine is not None:
        yield configuration_bytes(
            parts.machine,
            page_bits=parts.page_bits,
            capabilities=parts.capabilities,
            uuid=parts.uuid,
        )
    yield from _ram(parts)
    for device in parts.devices:
        yield section_start(
            SectionKind.FULL, device.section_id, device.idstr, device.instance_id, device.version_id
        )
        yield device.payload
        yield _footer(parts, device.section_id)
    yield bytes([wire.EOF])
    if parts.description is not None:
        yield description_head(len(parts.description))
        yield parts.description


def _ram(parts: StreamParts) -> Iterator[bytes | memoryview]:
    section_id = parts.ram_section_id
    footer = _footer(parts, section_id)
    blocks = ((name, size, None) for name, size in parts.blocks.items())
    yield section_start(SectionKind.START, section_id, RAM, 0, RAM_VERSION)
    yield block_list(blocks) + END_OF_SECTION + footer
    yield section_continued(SectionKind.PART, section_id)
    writer = PageWriter(parts.page_size)
    for name, offset, data in parts.memory:
        _check_place(parts, name, offset, len(data))
        yield from writer.pages(name, offset, data)
    yield END_OF_SECTION + footer
    yield section_continued(SectionKind.END, section_id) + END_OF_SECTION + footer


def _footer(parts: StreamParts, section_id: int) -> bytes:
    return footer_bytes(section_id) if parts.footers else b""


def _check(parts: StreamParts) -> None:
    names = [*parts.blocks, *(device.idstr for device in parts.devices), parts.machine or ""]
    for name in names:
        if len(name) > MAX_NAME_BYTES:
            raise UsageError(f"a name of {len(name)} bytes (at most {MAX_NAME_BYTES}): {name}")
    for name, size in parts.blocks.items():
        if size % parts.page_size:
            problem = f"block {name} has {size} bytes (expected a multiple of {parts.page_size})"
            raise UsageError(problem)


def _check_place(parts: StreamParts, name: str, offset: int, length: int) -> None:
    size = parts.blocks.get(name)
    if size is None:
        raise UsageError(f"memory of block {name}, which is not one of the blocks")
    if offset % parts.page_size or length % parts.page_size or not 0 <= offset <= size - length:
        raise UsageError(
            f"{length} bytes at {offset:#x} of block {name} "
            f"(expected whole pages of {parts.page_size} bytes, within {size} bytes)"
        )
