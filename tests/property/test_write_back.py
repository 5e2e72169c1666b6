"""What is written from what was read is what was read."""

from __future__ import annotations

import io
from contextlib import suppress

from hypothesis import given
from hypothesis import strategies as st

from builders import stream as build
from builders.sources import bytes_source
from vmstate_tools.core.errors import VmstateError
from vmstate_tools.snapshot.open import read_snapshot
from vmstate_tools.stream.writer import write_records

P = 256
NAMES = st.text(st.characters(max_codepoint=255, categories=["L", "N", "P"]), min_size=1)
U32 = st.integers(0, 0xFFFFFFFF)
PAGE = st.none() | st.just(b"") | st.integers(0, 9).map(lambda seed: build.page(seed, page_size=P))
BLOCKS = st.dictionaries(
    NAMES.map(lambda name: name[:255]), st.lists(PAGE, min_size=1, max_size=5), max_size=3
)
SUBSECTIONS = st.permutations(
    [build.uuid(), build.capabilities("x"), build.capabilities("a", "b")]
).map(lambda parts: build.page_bits(8) + b"".join(parts))
COMMANDS = st.lists(
    st.builds(build.command, st.integers(12, 0xFFFF), st.binary(max_size=9))
    | st.builds(build.packaged, st.binary(max_size=9))
).map(b"".join)


@st.composite
def devices(draw: st.DrawFn) -> build.Device:
    payload = draw(st.binary(max_size=40))
    field = {"name": "data", "type": "buffer", "size": len(payload)}
    return build.Device(
        idstr=draw(NAMES)[:255],
        instance_id=draw(U32),
        version_id=draw(U32),
        section_id=draw(U32),
        payload=payload,
        fields=[field],
    )


@st.composite
def streams(draw: st.DrawFn) -> bytes:
    footers = draw(st.booleans())
    ram = build.ram_sections(draw(BLOCKS), page_size=P, footers=footers, end=draw(st.booleans()))
    parts = draw(
        st.lists(devices(), max_size=3, unique_by=lambda one: (one.idstr, one.instance_id))
    )
    machine = draw(NAMES)[:200]
    return b"".join(
        [
            build.header(),
            build.configuration(machine, subsections=draw(SUBSECTIONS)),
            draw(COMMANDS),
            ram,
            draw(COMMANDS),
            *(device.section(footers=footers) for device in parts),
            build.eof(),
            build.description(build.vmdesc(parts, page_size=P)),
            draw(st.binary(max_size=5)),
        ]
    )


def rewritten(data: bytes) -> bytes:
    source = bytes_source(data)
    out = io.BytesIO()
    write_records(source, read_snapshot(source).records, out)
    return out.getvalue()


@given(streams())
def test_stream_is_written_back_byte_for_byte(data: bytes) -> None:
    assert rewritten(data) == data


@given(streams(), st.data())
def test_damaged_stream_is_refused_or_written_back_byte_for_byte(
    data: bytes, choose: st.DataObject
) -> None:
    damaged = bytearray(data)
    place = choose.draw(st.integers(0, len(data) - 1))
    damaged[place] = choose.draw(st.integers(0, 255))
    with suppress(VmstateError):
        assert rewritten(bytes(damaged)) == damaged
