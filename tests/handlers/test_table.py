from __future__ import annotations

import time

import pytest

from builders import handlers as h
from builders import stream as build
from builders.sources import both_sources
from vmstate_tools.core.errors import FormatError, LocatedError, TruncatedError, UnsupportedError
from vmstate_tools.handlers.dirty_bitmap import DirtyBitmapContent
from vmstate_tools.handlers.hash_table import HashTableContent
from vmstate_tools.handlers.s390_full import ClockContent
from vmstate_tools.handlers.storage_attributes import StorageAttributesContent
from vmstate_tools.handlers.table import (
    ITERATIVE,
    MAX_STATES,
    Readers,
    StatesReader,
    find_handler,
    read_full,
)
from vmstate_tools.handlers.vfio import VfioContent
from vmstate_tools.snapshot.open import Snapshot, read_snapshot

FRONT = build.header() + build.configuration()
SECTIONS = {
    "block": (h.block_eos(), h.block_zero() + h.block_eos(), h.block_progress() + h.block_eos()),
    "dirty-bitmap": (
        h.bitmap_start() + h.bitmap_eos(),
        h.bitmap_eos(),
        h.bitmap_bits() + h.bitmap_complete() + h.bitmap_eos(),
    ),
    "spapr/htab": (h.hash_table(), h.hash_runs(h.hash_run(1, bytes(32), invalid=3)), bytes(12)),
    "s390-storage_attributes": (
        h.s390_eos(),
        h.s390_bytes(b"attributes") + h.s390_eos(),
        h.attributes_done() + h.s390_eos(),
    ),
    "0000:00:02.0/vfio": (
        h.vfio_setup() + h.vfio_end(),
        h.vfio_data(b"state") + h.vfio_end(),
        h.vfio_data() + h.vfio_end(),
    ),
}
"""Of each handler, what START, PART and END hold."""


def sections(idstr: str, *, section_id: int = 3, version_id: int | None = None) -> bytes:
    handler = find_handler(idstr)
    assert handler is not None
    version = handler.version_id if version_id is None else version_id
    kinds = (build.START, build.PART, build.END)
    return b"".join(
        build.section(kind, payload, idstr=idstr, section_id=section_id, version_id=version)
        for kind, payload in zip(kinds, SECTIONS[idstr], strict=True)
    )


def read_both(data: bytes) -> Snapshot:
    """Read as a map and as a pipe, which must be the same."""
    first, second = [read_snapshot(source) for source in both_sources(data)]
    assert str(first.handlers) == str(second.handlers)  # errors are equal to themselves only
    assert first.records == second.records
    return first


def test_every_handler_has_its_sections_here() -> None:
    assert {name.rpartition("/vfio")[2] or "vfio" for name in SECTIONS} == set(ITERATIVE)


@pytest.mark.parametrize("idstr", SECTIONS)
def test_sections_of_a_handler_are_one_state(idstr: str) -> None:
    snapshot = read_both(FRONT + sections(idstr) + build.eof())
    (state,) = snapshot.handlers
    assert (state.name, state.section_id, state.problem) == (idstr, 3, None)
    assert [section.problem for section in snapshot.sections] == [None] * 3


@pytest.mark.parametrize("idstr", SECTIONS)
def test_a_handler_needs_no_footers(idstr: str) -> None:
    payloads = SECTIONS[idstr]
    handler = find_handler(idstr)
    assert handler is not None
    data = FRONT + b"".join(
        build.section(kind, payload, idstr=idstr, version_id=handler.version_id, footers=False)
        for kind, payload in zip((build.START, build.PART, build.END), payloads, strict=True)
    )
    assert len(read_both(data + build.eof()).handlers) == 1


def test_handlers_may_be_mixed_with_memory() -> None:
    data = FRONT + b"".join(
        sections(idstr, section_id=number) for number, idstr in enumerate(SECTIONS, start=10)
    )
    snapshot = read_both(data + build.ram_sections({"ram": [b""]}) + build.eof())
    assert [state.name for state in snapshot.handlers] == list(SECTIONS)
    assert snapshot.ram.counts("ram").zero == 1


def test_two_devices_of_one_handler_are_two_states() -> None:
    other = "0000:00:03.0/vfio"
    more = build.section(
        build.START, h.vfio_setup() + h.vfio_end(), idstr=other, section_id=4, version_id=1
    )
    snapshot = read_both(FRONT + sections("0000:00:02.0/vfio") + more + build.eof())
    assert [(state.name, state.content) for state in snapshot.handlers] == [
        ("0000:00:02.0/vfio", VfioContent(data_bytes=5)),
        (other, VfioContent(data_bytes=0)),
    ]


@pytest.mark.parametrize("idstr", SECTIONS)
def test_a_version_that_does_not_exist_is_not_read(idstr: str) -> None:
    for source in both_sources(FRONT + sections(idstr, version_id=7) + build.eof()):
        with pytest.raises(UnsupportedError, match=r"version 7 \(expected [01]\)") as caught:
            read_snapshot(source)
        assert caught.value.offset == len(FRONT)


@pytest.mark.parametrize("idstr", SECTIONS)
def test_a_stream_cut_off_at_any_byte_is_truncated_there(idstr: str) -> None:
    data = FRONT + sections(idstr)
    for kept in range(len(FRONT), len(data) + 1):
        for source in both_sources(data[:kept]):
            with pytest.raises(TruncatedError) as caught:
                read_snapshot(source)
            assert caught.value.offset is not None
            assert caught.value.offset <= kept


@pytest.mark.parametrize("idstr", SECTIONS)
def test_every_byte_may_have_any_bit_flipped(idstr: str) -> None:
    sound = FRONT + sections(idstr) + build.eof()
    for place in range(len(FRONT), len(sound)):
        for bit in range(8):
            data = bytearray(sound)
            data[place] ^= 1 << bit
            for source in both_sources(bytes(data)):
                try:
                    read_snapshot(source)
                except LocatedError as error:
                    assert error.offset is not None  # noqa: PT017 (it need not be raised)


def test_an_absurd_number_of_states_is_refused() -> None:
    data = FRONT + b"".join(
        build.section(
            build.START, h.hash_table(), idstr="spapr/htab", section_id=number, version_id=1
        )
        for number in range(MAX_STATES + 1)
    )
    for source in both_sources(data):
        with pytest.raises(FormatError, match=f"more than {MAX_STATES} handlers"):
            read_snapshot(source)


def test_tens_of_thousands_of_empty_sections_are_read_in_good_time() -> None:
    start = build.section(
        build.START, h.bitmap_start() + h.bitmap_eos(), idstr="dirty-bitmap", version_id=1
    )
    data = FRONT + start + build.section(build.PART, h.bitmap_eos()) * 48_000 + build.eof()
    for source in both_sources(data):
        begin = time.monotonic()
        read_snapshot(source)
        assert time.monotonic() - begin < 5


# Device sections


def full(idstr: str, payload: bytes, *, size: int | None = None) -> Snapshot:
    length = len(payload) if size is None else size
    device = build.Device(
        idstr=idstr,
        payload=payload,
        version_id=1,
        fields=[{"name": "data", "type": "buffer", "size": length}],
    )
    return read_both(build.stream({"ram": [b""]}, [device]))


def test_the_clock_of_an_s390x_guest_is_a_value() -> None:
    (state,) = full("todclock", h.clock(high=1, low=2)).handlers
    assert state.content == ClockContent(value=(1 << 64) + 2)


def test_damaged_state_of_a_device_says_what_is_wrong() -> None:
    (state,) = full("todclock", h.clock() + b"\0").handlers
    assert state.content is None
    assert "it ends after 10 bytes (expected 11)" in str(state.problem)


def test_a_device_without_description_is_read_where_it_can_be() -> None:
    device = build.Device(idstr="todclock", payload=h.clock(low=7))
    first, second = [
        read_snapshot(source)
        for source in both_sources(build.stream({"ram": [b""]}, [device], described=False))
    ]
    assert [state.content for state in first.handlers] == [ClockContent(value=7)]
    assert second.handlers == ()


def test_a_device_section_is_read_from_its_place() -> None:
    for source in both_sources(b"front" + h.clock(low=5) + b"behind"):
        content = read_full(source, "todclock", 5, len(h.clock()))
        assert content == ClockContent(value=5)


# The table itself


def test_readers_are_a_mapping_by_name() -> None:
    states = StatesReader()
    readers = Readers({"ram": states}, states)
    assert list(readers) == ["ram", *ITERATIVE]
    assert len(readers) == len(ITERATIVE) + 1
    assert "0000:00:02.0/vfio" in readers
    assert "timer" not in readers
    assert "nvfio" not in readers


def test_contents_are_what_was_sent() -> None:
    contents = {
        idstr: read_both(FRONT + sections(idstr) + build.eof()).handlers[0].content
        for idstr in SECTIONS
    }
    assert contents["spapr/htab"] == HashTableContent(
        table_bytes=1 << 18, stored_entries=2, invalid_entries=3
    )
    assert contents["s390-storage_attributes"] == StorageAttributesContent(
        attribute_bytes=10, done=True
    )
    bitmaps = contents["dirty-bitmap"]
    assert isinstance(bitmaps, DirtyBitmapContent)
    assert [bitmap.data_bytes for bitmap in bitmaps.bitmaps] == [32]
