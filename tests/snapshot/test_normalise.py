from __future__ import annotations

import dataclasses
import io
from typing import TYPE_CHECKING

import pytest

from builders import stream as build
from builders.sources import bytes_source
from ram_streams import ram_stream
from vmstate_tools.core.errors import UnsupportedError
from vmstate_tools.snapshot.normalise import normalised_pieces
from vmstate_tools.snapshot.open import open_snapshot, read_snapshot
from vmstate_tools.stream.records import SectionKind
from vmstate_tools.stream.writer import write_pieces

if TYPE_CHECKING:
    from conftest import RealStream

P = 4096
TAIL = build.Device().section() + build.eof() + build.description(build.vmdesc([build.Device()]))
SETUP = build.section(build.START, build.ram_setup({"r": 3 * P}) + build.ram_eos())
END = build.section(build.END, build.ram_eos())
FRONT = build.header() + build.configuration()


def part(*records: bytes, kind: int = build.PART) -> bytes:
    return build.section(kind, b"".join(records) + build.ram_eos())


def normalised(data: bytes) -> bytes:
    snapshot = read_snapshot(bytes_source(data))
    out = io.BytesIO()
    write_pieces(snapshot.source, normalised_pieces(snapshot), out)
    return out.getvalue()


def test_repeated_pages_are_left_out() -> None:
    first = part(build.ram_page(P, build.page(1), block="r"), build.ram_zero(0))
    second = part(build.ram_page(0, build.page(2)))
    last = part(build.ram_page(P, build.page(3)), kind=build.END)
    records = build.ram_pages("r", [build.page(2), build.page(3)])
    expected = FRONT + SETUP + part(records) + END + TAIL
    assert normalised(FRONT + SETUP + first + second + last + TAIL) == expected


def test_normalised_stream_stays_as_it_is() -> None:
    data = build.stream({"r": [build.page(1), b"", build.page(2)]}, end=True)
    assert normalised(data) == data


def test_background_snapshot_still_has_no_end() -> None:
    data = build.stream({"r": [build.page(1), b"", build.page(2)]})
    assert normalised(data) == data


def test_stream_without_footers_gets_none() -> None:
    data = build.stream({"r": [build.page(1)]}, footers=False, end=True, machine=None)
    assert normalised(data) == data


def test_commands_of_a_live_migration_are_left_out() -> None:
    advice = build.command(build.POSTCOPY_ADVISE, build.be64(P) + build.be64(P))
    talk = build.command(build.OPEN_RETURN_PATH) + build.command(build.PING, build.be32(1))
    switch = build.command(build.SWITCHOVER_START)
    kept = build.command(build.POSTCOPY_ADVISE) + switch
    found = normalised(FRONT + talk + advice + kept + SETUP + part() + END + TAIL)
    assert found == FRONT + kept + SETUP + part() + END + TAIL


def test_page_sizes_in_the_list_of_blocks_are_left_out_with_the_advice() -> None:
    advice = build.command(build.POSTCOPY_ADVISE, build.be64(P | 2 << 20) + build.be64(P))
    setup = build.ram_setup({"r": 3 * P}, extra={"r": build.be64(2 << 20)}) + build.ram_eos()
    found = normalised(FRONT + advice + build.section(build.START, setup) + part() + END + TAIL)
    assert found == FRONT + SETUP + part() + END + TAIL


def test_addresses_of_blocks_stay() -> None:
    front = build.header() + build.configuration(subsections=build.capabilities("x-ignore-shared"))
    setup = build.ram_setup({"r": 3 * P}, extra={"r": build.be64(0xC0000)}) + build.ram_eos()
    data = front + build.section(build.START, setup) + part() + END + TAIL
    assert normalised(data) == data


def test_padding_behind_the_stream_is_left_out_but_nothing_else() -> None:
    plain = build.stream({"r": [build.page(1)]})
    assert normalised(plain + bytes(512)) == plain
    assert normalised(plain + b"\1") == plain + b"\1"


def test_stream_without_memory_stays_as_it_is() -> None:
    data = build.header() + build.Device().section() + build.eof()
    data += build.description(build.vmdesc([build.Device()]))
    assert normalised(data) == data


def test_postcopy_is_refused() -> None:
    package = build.packaged(build.command(build.POSTCOPY_LISTEN))
    with pytest.raises(UnsupportedError, match=r"^guest.mig: a postcopy stream"):
        normalised(FRONT + SETUP + package + part() + END + build.eof())


def test_fixed_places_together_with_shared_memory_are_refused() -> None:
    source = bytes_source(ram_stream("mapped-10.0").data)
    snapshot = read_snapshot(source)
    assert snapshot.configuration is not None
    capabilities = ("x-ignore-shared", "mapped-ram")
    both = dataclasses.replace(snapshot.configuration, capabilities=capabilities)
    records = [both if record == snapshot.configuration else record for record in snapshot.records]
    snapshot = dataclasses.replace(snapshot, records=records)
    with pytest.raises(UnsupportedError, match="x-ignore-shared, mapped-ram together"):
        write_pieces(source, normalised_pieces(snapshot), io.BytesIO())


def test_real_stream_keeps_memory_and_devices(real_stream: RealStream) -> None:
    with open_snapshot(real_stream.path) as before:
        out = io.BytesIO()
        write_pieces(before.source, normalised_pieces(before), out)
        assert len(out.getvalue()) <= real_stream.path.stat().st_size
        after = read_snapshot(bytes_source(out.getvalue()))
        assert after.ram.blocks == before.ram.blocks
        for block in after.ram.blocks:
            old, new = before.ram.counts(block.name), after.ram.counts(block.name)
            assert (new.stored, new.zero, new.absent) == (old.stored, old.zero, old.absent)
            assert new.repeated == 0
            content = before.memory.read(block.name, 0, block.size)
            assert after.memory.read(block.name, 0, block.size) == content
        first = next(section for section in before.sections if section.kind is SectionKind.FULL)
    tail = real_stream.path.read_bytes()[first.offset :]
    assert out.getvalue().endswith(tail)
