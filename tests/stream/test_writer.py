from __future__ import annotations

import io
import lzma
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from builders import stream as build
from builders.sources import bytes_source
from vmstate_tools.core.errors import TruncatedError
from vmstate_tools.core.source import FileSource
from vmstate_tools.snapshot.open import read_snapshot
from vmstate_tools.stream.records import Configuration
from vmstate_tools.stream.writer import (
    COPY_BYTES,
    Extent,
    Piece,
    configuration_head,
    pieces_of,
    subsections_of,
    write_pieces,
    write_records,
)

if TYPE_CHECKING:
    from conftest import RealStream

FIXTURES = Path(__file__).parents[1] / "fixtures"
SPECIAL = sorted(str(path.parent.relative_to(FIXTURES)) for path in FIXTURES.glob("*/*/stream.xz"))
"""Memory in other forms, pages of other sizes, other architectures."""
DEVICE = build.Device()
COMMANDS = build.command(build.OPEN_RETURN_PATH) + build.command(build.PING, build.be32(1))
SUBSECTIONS = build.page_bits(12) + build.capabilities("x-ignore-shared") + build.uuid()
STREAMS = {
    "background": build.stream(),
    "precopy": build.stream(end=True),
    "no footers": build.stream(footers=False),
    "no configuration": build.stream(machine=None),
    "no description": build.stream(described=False),
    "padding behind": build.stream(trailing=bytes(700)),
    "something behind": build.stream(trailing=b"\x01\x02"),
    "subsections": build.header() + build.configuration(subsections=SUBSECTIONS) + build.eof(),
    "commands": build.header() + COMMANDS + build.ram_sections({}, end=True) + build.eof(),
    "unknown command": build.header() + build.command(77, b"new") + build.eof(),
    "package": build.header() + build.packaged(b"embedded") + build.eof(),
    "nothing": build.header() + build.eof(),
    "odd names": build.stream(
        devices=[build.Device(idstr="\xe9" * 255, instance_id=0xFFFFFFFF)], machine="\xff"
    ),
}


def rewritten(data: bytes) -> bytes:
    source = bytes_source(data)
    out = io.BytesIO()
    assert write_records(source, read_snapshot(source).records, out) == len(data)
    return out.getvalue()


@pytest.mark.parametrize("data", STREAMS.values(), ids=list(STREAMS))
def test_what_was_read_is_written_back_byte_for_byte(data: bytes) -> None:
    assert rewritten(data) == data


def test_real_stream_is_written_back_byte_for_byte(real_stream: RealStream) -> None:
    with FileSource(real_stream.path) as source:
        out = io.BytesIO()
        write_records(source, read_snapshot(source).records, out)
    assert out.getvalue() == real_stream.path.read_bytes()


@pytest.mark.parametrize("name", SPECIAL)
def test_stream_of_a_special_kind_is_written_back_byte_for_byte(name: str) -> None:
    data = lzma.decompress((FIXTURES / name / "stream.xz").read_bytes())
    assert rewritten(data) == data


def test_section_that_was_passed_by_its_footer_is_carried_as_bytes() -> None:
    unknown = build.Device(idstr="unknown", section_id=9, payload=b"nobody describes this")
    data = build.header() + build.ram_sections({}) + unknown.section() + build.eof()
    data += build.description(build.vmdesc([DEVICE]))
    assert rewritten(data) == data


def test_configuration_gets_a_machine_name_of_another_length() -> None:
    data = build.header() + build.configuration("pc-1.0", subsections=SUBSECTIONS) + build.eof()
    source = bytes_source(data)
    header, configuration, eof = read_snapshot(source).records
    assert isinstance(configuration, Configuration)
    out = io.BytesIO()
    pieces: list[Piece] = [configuration_head("pc-i440fx-10.0"), subsections_of(configuration)]
    write_pieces(source, [*pieces_of(header), *pieces, *pieces_of(eof)], out)
    expected = build.configuration("pc-i440fx-10.0", subsections=SUBSECTIONS)
    assert out.getvalue() == build.header() + expected + build.eof()


def test_extent_longer_than_one_copy_is_written_whole() -> None:
    data = bytes(COPY_BYTES) + b"and a little more"
    out = io.BytesIO()
    write_pieces(bytes_source(data), [Extent(start=1, end=len(data))], out)
    assert out.getvalue() == data[1:]


def test_extent_beyond_the_end_names_the_place() -> None:
    with pytest.raises(TruncatedError, match="byte 0x2 "):
        write_pieces(bytes_source(b"1234"), [Extent(start=2, end=9)], io.BytesIO())
