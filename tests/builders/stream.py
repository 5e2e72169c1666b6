"""Writes migration streams, every field overridable.

Written from the layouts in QEMU 10.0.2 (migration/savevm.c, migration/ram.c) and sharing nothing
with the reader, so that a mistake in one does not hide in the other.
"""

from __future__ import annotations

import json
import struct
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

MAGIC = 0x5145564D
EOF, START, PART, END, FULL, SUBSECTION, DESCRIPTION, CONFIGURATION, COMMAND = range(9)
FOOTER = 0x7E

OPEN_RETURN_PATH, PING, POSTCOPY_ADVISE, POSTCOPY_LISTEN, POSTCOPY_RUN = range(1, 6)
RAM_DISCARD, PACKAGED, ENABLE_COLO, POSTCOPY_RESUME, RECV_BITMAP, SWITCHOVER_START = range(6, 12)

RAM_ZERO, RAM_MEM_SIZE, RAM_PAGE, RAM_EOS, RAM_CONTINUE = 0x02, 0x04, 0x08, 0x10, 0x20
RAM_XBZRLE, RAM_HOOK, RAM_COMPRESS_PAGE, RAM_MULTIFD_FLUSH = 0x40, 0x80, 0x100, 0x200

RAM_SECTION_ID = 2
PAGE_SIZE = 4096


def be16(value: int) -> bytes:
    return struct.pack(">H", value)


def be32(value: int) -> bytes:
    return struct.pack(">I", value)


def be64(value: int) -> bytes:
    return struct.pack(">Q", value)


def str8(text: str, *, length: int | None = None) -> bytes:
    data = text.encode("latin-1")
    return bytes([len(data) if length is None else length]) + data


# Framing


def header(*, magic: int = MAGIC, version: int = 3) -> bytes:
    return be32(magic) + be32(version)


def subsection(name: str, body: bytes, *, version: int = 1) -> bytes:
    return bytes([SUBSECTION]) + str8(name) + be32(version) + body


def page_bits(bits: int = 12, *, version: int = 1) -> bytes:
    return subsection("configuration/target-page-bits", be32(bits), version=version)


def capabilities(*names: str, count: int | None = None) -> bytes:
    body = be32(len(names) if count is None else count) + b"".join(map(str8, names))
    return subsection("configuration/capabilities", body)


def uuid(raw: bytes = bytes(range(16))) -> bytes:
    return subsection("configuration/uuid", raw)


def configuration(
    machine: str = "pc-i440fx-7.2", *, subsections: bytes = b"", length: int | None = None
) -> bytes:
    data = machine.encode("latin-1")
    size = len(data) if length is None else length
    return bytes([CONFIGURATION]) + be32(size) + data + subsections


def footer(section_id: int) -> bytes:
    return bytes([FOOTER]) + be32(section_id)


def section(
    kind: int,
    payload: bytes = b"",
    *,
    idstr: str = "ram",
    section_id: int = RAM_SECTION_ID,
    instance_id: int = 0,
    version_id: int = 4,
    footers: bool = True,
) -> bytes:
    """A section; `idstr`, `instance_id` and `version_id` are for START and FULL only."""
    out = bytes([kind]) + be32(section_id)
    if kind in {START, FULL}:
        out += str8(idstr) + be32(instance_id) + be32(version_id)
    return out + payload + (footer(section_id) if footers else b"")


def command(code: int, payload: bytes = b"", *, length: int | None = None) -> bytes:
    size = len(payload) if length is None else length
    return bytes([COMMAND]) + be16(code) + be16(size) + payload


def packaged(embedded: bytes, *, length: int | None = None) -> bytes:
    return command(PACKAGED, be32(len(embedded) if length is None else length)) + embedded


def discard(
    block: str, *ranges: tuple[int, int], version: int = 0, nul: int = 0, more: bytes = b""
) -> bytes:
    """The command by which a postcopy source takes pages back: pairs of start and length."""
    body = bytes([version]) + str8(block) + bytes([nul])
    body += b"".join(be64(start) + be64(length) for start, length in ranges)
    return command(RAM_DISCARD, body + more)


def eof() -> bytes:
    return bytes([EOF])


def description(content: object, *, length: int | None = None) -> bytes:
    """The description; `content` is JSON text as bytes, or anything that json can write."""
    text = content if isinstance(content, bytes) else json.dumps(content).encode()
    return bytes([DESCRIPTION]) + be32(len(text) if length is None else length) + text


# Payload of the `ram` section


def ram_setup(
    blocks: Mapping[str, int] | Iterable[tuple[str, int]],
    *,
    total: int | None = None,
    extra: Mapping[str, bytes] | None = None,
) -> bytes:
    """The block list; `extra` holds bytes behind a block's length (page size, address)."""
    pairs = list(blocks.items() if hasattr(blocks, "items") else blocks)
    size = sum(length for _, length in pairs) if total is None else total
    extra = extra or {}
    entries = (str8(name) + be64(length) + extra.get(name, b"") for name, length in pairs)
    return be64(size | RAM_MEM_SIZE) + b"".join(entries)


def ram_record(address: int, flags: int, body: bytes, *, block: str | None = None) -> bytes:
    """Any page record; without `block` it continues in that of the record before."""
    if block is None:
        return be64(address | flags | RAM_CONTINUE) + body
    return be64(address | flags) + str8(block) + body


def ram_page(address: int, data: bytes, *, block: str | None = None) -> bytes:
    return ram_record(address, RAM_PAGE, data, block=block)


def ram_zero(address: int, *, block: str | None = None, fill: int = 0) -> bytes:
    return ram_record(address, RAM_ZERO, bytes([fill]), block=block)


def ram_compressed(
    address: int, data: bytes, *, block: str | None = None, length: int | None = None
) -> bytes:
    """`data` is what follows the length: a zlib stream, if all is well."""
    body = be32(len(data) if length is None else length) + data
    return ram_record(address, RAM_COMPRESS_PAGE, body, block=block)


def ram_patch(
    address: int,
    patch: bytes,
    *,
    block: str | None = None,
    method: int = 1,
    length: int | None = None,
) -> bytes:
    """What QEMU calls an XBZRLE page."""
    body = bytes([method]) + be16(len(patch) if length is None else length) + patch
    return ram_record(address, RAM_XBZRLE, body, block=block)


def ram_eos() -> bytes:
    return be64(RAM_EOS)


def ram_pages(block: str, pages: Sequence[bytes | None], *, page_size: int = PAGE_SIZE) -> bytes:
    """Records for `pages`, in order of address; the first one carries the name of the block."""
    out = []
    name: str | None = block
    for number, data in enumerate(pages):
        if data is None:
            continue
        address = number * page_size
        out.append(ram_page(address, data, block=name) if data else ram_zero(address, block=name))
        name = None
    return b"".join(out)


def page(seed: int, *, page_size: int = PAGE_SIZE) -> bytes:
    """The content of a page, different for every seed."""
    return be64(0x5EED_0000_0000_0000 | seed) * (page_size // 8)


# Whole streams


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """A device of one FULL section, and how the description tells of it."""

    idstr: str = "timer"
    instance_id: int = 0
    version_id: int = 2
    section_id: int = 0
    payload: bytes = be64(1) + be64(2) + be64(3)
    fields: list[dict[str, object]] = field(
        default_factory=lambda: [
            {"name": "cpu_ticks_offset", "type": "int64", "size": 8},
            {"name": "unused", "type": "unused_buffer", "size": 8},
            {"name": "cpu_clock_offset", "type": "int64", "size": 8},
        ]
    )
    subsections: list[dict[str, object]] = field(default_factory=list)

    def section(self, *, footers: bool = True) -> bytes:
        return section(
            FULL,
            self.payload,
            idstr=self.idstr,
            section_id=self.section_id,
            instance_id=self.instance_id,
            version_id=self.version_id,
            footers=footers,
        )

    def described(self) -> dict[str, object]:
        out: dict[str, object] = {
            "name": self.idstr,
            "instance_id": self.instance_id,
            "vmsd_name": self.idstr,
            "version": self.version_id,
            "fields": self.fields,
        }
        if self.subsections:
            out["subsections"] = self.subsections
        return out


def vmdesc(devices: Iterable[Device], *, page_size: int = PAGE_SIZE) -> dict[str, object]:
    """What QEMU 7.2 says of these devices."""
    return {"page_size": page_size, "devices": [device.described() for device in devices]}


def ram_sections(
    blocks: Mapping[str, Sequence[bytes | None]],
    *,
    page_size: int = PAGE_SIZE,
    footers: bool = True,
    end: bool = False,
) -> bytes:
    """START with the block list and one PART per block; `end`: an END, as precopy writes it."""
    sizes = {name: len(pages) * page_size for name, pages in blocks.items()}
    out = section(START, ram_setup(sizes) + ram_eos(), footers=footers)
    for name, pages in blocks.items():
        records = ram_pages(name, pages, page_size=page_size)
        out += section(PART, records + ram_eos(), footers=footers)
    return out + (section(END, ram_eos(), footers=footers) if end else b"")


def stream(
    blocks: Mapping[str, Sequence[bytes | None]] | None = None,
    devices: Sequence[Device] = (Device(),),
    *,
    machine: str | None = "pc-i440fx-7.2",
    subsections: bytes = b"",
    page_size: int = PAGE_SIZE,
    footers: bool = True,
    end: bool = False,
    described: bool = True,
    trailing: bytes = b"",
) -> bytes:
    """A whole stream: that of a background snapshot, or with `end` that of a precopy.

    Args:
        blocks: Name of a RAM block to its pages: content, b"" for zero, None for no record.
        machine: None leaves the configuration section out.
    """
    if blocks is None:
        blocks = {"pc.ram": [page(1), b"", page(2), b""], "pc.bios": [page(3)]}
    return b"".join(
        [
            header(),
            b"" if machine is None else configuration(machine, subsections=subsections),
            ram_sections(blocks, page_size=page_size, footers=footers, end=end),
            *(device.section(footers=footers) for device in devices),
            eof(),
            description(vmdesc(devices, page_size=page_size)) if described else b"",
            trailing,
        ]
    )
