from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from builders.vmdesc import (
    Field,
    described_device,
    nested,
    null_array,
    number,
    old_style_device,
    queue,
    raw,
    structure,
    subsection_bytes,
    vmdesc,
)
from vmstate_tools.core.errors import FormatError, TruncatedError, UnsupportedError
from vmstate_tools.core.source import BytesSource
from vmstate_tools.device import reader as reader_module
from vmstate_tools.device.reader import DeviceReader
from vmstate_tools.device.vmdesc import parse_vmdesc
from vmstate_tools.stream.records import SectionKind, SectionStart

if TYPE_CHECKING:
    from builders.vmdesc import JsonObject, Structure

BEFORE = b"header"


def section(*, idstr: str = "dev", instance_id: int = 0) -> SectionStart:
    return SectionStart(
        kind=SectionKind.FULL,
        offset=1,
        section_id=5,
        idstr=idstr,
        instance_id=instance_id,
        version_id=1,
        payload_offset=len(BEFORE),
    )


def reader_of(*devices: JsonObject) -> DeviceReader:
    return DeviceReader(parse_vmdesc(vmdesc(devices), "guest.mig", 1000))


def read(content: Structure, payload: bytes | None = None) -> int:
    """Return how many bytes the reader took."""
    data = content.payload if payload is None else payload
    source = BytesSource(BEFORE + data, "guest.mig")
    reader = reader_of(described_device(content, name="dev"))
    return reader.read_payload(source, section()) - len(BEFORE)


SUB = structure("dev/a", [number("y", "uint8", 8)], [structure("dev/a/b")], version=3)


@pytest.mark.parametrize(
    "content",
    [
        structure("dev"),
        structure("dev", [number("x", "uint32", 1), raw("b", bytes(100))]),
        structure("dev", [nested("s", structure("s", [number("x", "uint8", 1)], [SUB]))]),
        structure("dev", [queue("q", [SUB, SUB])]),
        structure("dev", [null_array("css", 256)]),
        structure("dev", [number("x", "uint8", 7)], [SUB, structure("odd_name")]),
        structure("dev", [raw("b", b"\x05\x05dev/a")], [SUB]),
    ],
)
def test_the_end_is_behind_fields_and_subsections(content: Structure) -> None:
    assert read(content, content.payload + b"~more") == len(content.payload)
    assert read(content) == len(content.payload)


def test_an_old_style_device_ends_behind_its_buffer() -> None:
    source = BytesSource(BEFORE + bytes(40), "guest.mig")
    reader = reader_of(old_style_device("dev", 38))
    assert reader.read_payload(source, section()) == len(BEFORE) + 38


def test_instances_are_told_apart() -> None:
    source = BytesSource(BEFORE + bytes(40), "guest.mig")
    reader = reader_of(old_style_device("dev", 1), old_style_device("dev", 2, instance_id=1))
    assert reader.read_payload(source, section(instance_id=1)) == len(BEFORE) + 2


def test_a_device_that_is_not_described_is_not_supported() -> None:
    source = BytesSource(BEFORE, "guest.mig")
    with pytest.raises(UnsupportedError, match="does not have this device") as caught:
        reader_of(old_style_device("dev", 1)).read_payload(source, section(idstr="vga"))
    assert caught.value.field == 'section 5 "vga"/0'
    assert caught.value.offset == 1


@pytest.mark.parametrize("missing", [1, 3])
def test_a_payload_that_ends_early_is_truncated(missing: int) -> None:
    content = structure("dev", [number("x", "uint32", 1)])
    message = rf"ends {missing} bytes too early \(expected 4 bytes\)$"
    with pytest.raises(TruncatedError, match=message):
        read(content, content.payload[:-missing])


def test_a_subsection_that_ends_early_is_truncated() -> None:
    content = structure("dev", [], [SUB])
    for kept in range(len(content.payload)):
        with pytest.raises(FormatError, match=r"^guest\.mig: byte 0x"):
            read(content, content.payload[:kept])


@pytest.mark.parametrize("position", range(len(subsection_bytes(structure("dev/a")))))
def test_a_subsection_header_must_be_the_described_one(position: int) -> None:
    payload = bytearray(subsection_bytes(structure("dev/a")))
    payload[position] ^= 1
    message = "no subsection dev/a of version 1 begins here"
    with pytest.raises(FormatError, match=message) as caught:
        read(structure("dev", [], [structure("dev/a")]), bytes(payload))
    assert caught.value.offset == len(BEFORE)


def test_a_subsection_name_that_no_header_can_hold_is_not_found() -> None:
    content = structure("dev", [], [structure("a" * 255)])
    assert read(content) == len(content.payload)
    content.keys[-1][1][0][0] = ("vmsd_name", "a" * 256)
    with pytest.raises(FormatError, match="no subsection a"):
        read(content, content.payload + b"a")


@pytest.mark.parametrize("position", [0, 3, 4, 9])
def test_a_pointer_that_is_not_null_hides_where_the_device_ends(
    position: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reader_module, "CHUNK_BYTES", 4)
    payload = bytearray(b"\x07" + b"0" * 10)
    payload[1 + position] = 0xFF
    content = structure("dev", [number("x", "uint8", 7), null_array("css", 10)])
    with pytest.raises(UnsupportedError, match="a pointer that is not null") as caught:
        read(content, bytes(payload))
    assert caught.value.offset == len(BEFORE) + 1 + position


def field_of(array_len: int, size: int) -> Field:
    return raw("x", b"", "uint8", size=size, array_len=array_len)


@pytest.mark.parametrize(
    "field", [field_of(10**9, 1), field_of(1 << 62, 1 << 62), null_array("css", 10**9, b"")]
)
def test_a_size_beyond_the_source_costs_nothing(field: Field) -> None:
    started = time.perf_counter()
    with pytest.raises(TruncatedError):
        read(structure("dev", [field]), bytes(100))
    assert time.perf_counter() - started < 1
