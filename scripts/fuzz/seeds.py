"""What the search starts from: real streams, and small ones with what no real one has."""

from __future__ import annotations

import lzma
from pathlib import Path
from typing import TYPE_CHECKING

from builders import handlers, stream

if TYPE_CHECKING:
    from collections.abc import Iterator

FIXTURES = Path(__file__).parents[2] / "tests/fixtures"
MAX_PACKED_BYTES = 40 << 10
MAX_STREAM_BYTES = 256 << 10
"""Longer ones are mutated and run too slowly to lead anywhere."""

PAGE = 256  # the smallest page there is makes small streams


def iter_seeds() -> Iterator[tuple[str, bytes]]:
    """Yield names and bytes."""
    for path in sorted(FIXTURES.rglob("stream.xz")):
        if path.stat().st_size <= MAX_PACKED_BYTES:
            data = lzma.decompress(path.read_bytes())
            if len(data) <= MAX_STREAM_BYTES:
                yield path.parent.name, data
    yield "background", _whole()
    yield "precopy", _whole(end=True)
    yield "no-footers", stream.stream(machine=None, footers=False)
    yield "no-description", stream.stream(described=False)
    yield "early-device", _early_device()
    yield from _encoded_pages()
    yield from _handlers()


def _whole(*, end: bool = False) -> bytes:
    blocks: dict[str, list[bytes | None]] = {
        "pc.ram": [stream.page(1, page_size=PAGE), b"", None],
        "pc.bios": [b""] * 9,
    }
    subsections = stream.page_bits(8) + stream.uuid() + stream.capabilities("x-none")
    return stream.stream(blocks, subsections=subsections, page_size=PAGE, end=end)


def _early_device() -> bytes:
    """Devices such as virtio-mem come before guest memory."""
    devices = [stream.Device(idstr="early", section_id=9), stream.Device(idstr="timer")]
    return b"".join(
        [
            *(stream.header(), stream.configuration(), devices[0].section()),
            stream.ram_sections({"ram": [stream.page(1), b""]}),
            *(devices[1].section(), stream.eof(), stream.description(stream.vmdesc(devices))),
        ]
    )


def _encoded_pages() -> Iterator[tuple[str, bytes]]:
    page = stream.page(1, page_size=PAGE)
    records = (
        stream.ram_page(0, page, block="ram")
        + stream.ram_patch(0, b"\x08\x02ab")
        + stream.ram_zero(PAGE, fill=7)
        + stream.ram_eos()
    )
    front = stream.header() + stream.configuration(subsections=stream.page_bits(8))
    setup = stream.section(stream.START, stream.ram_setup({"ram": 4 * PAGE}) + stream.ram_eos())
    yield "patched", front + setup + stream.section(stream.PART, records) + stream.eof()


def _handlers() -> Iterator[tuple[str, bytes]]:
    front = stream.header() + stream.configuration()
    sections = {
        "dirty-bitmap": (1, handlers.bitmap_start() + handlers.bitmap_bits() + b"\x01"),
        "spapr/htab": (1, handlers.hash_table()),
        "s390-storage_attributes": (0, handlers.s390_bytes(b"keys") + handlers.s390_eos()),
        "block": (1, handlers.block_zero() + handlers.block_eos()),
        "vfio": (1, handlers.vfio_setup() + handlers.vfio_data(b"x") + handlers.vfio_end()),
    }
    for idstr, (version_id, payload) in sections.items():
        section = stream.section(stream.START, payload, idstr=idstr, version_id=version_id)
        yield idstr.replace("/", "-"), front + section + stream.eof()
    for idstr, payload in (("todclock", handlers.clock()), ("s390-skeys", handlers.s390_eos())):
        field = {"name": "data", "type": "buffer", "size": len(payload)}
        device = stream.Device(idstr=idstr, payload=payload, version_id=1, fields=[field])
        yield idstr, stream.stream({"ram": [b""]}, [device])
