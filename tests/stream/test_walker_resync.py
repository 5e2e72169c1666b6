from __future__ import annotations

import pytest

from builders import stream as build
from builders.sources import both_sources, bytes_source, chunks_source
from builders.walking import (
    CPU,
    END,
    FRONT,
    LENGTHS,
    PART,
    START,
    TAIL,
    TIMER,
    sections,
    walk_both,
    walk_through,
)
from vmstate_tools.core.errors import (
    LocatedError,
    UnsupportedError,
)

# What cannot be read is passed by its footer


def test_a_damaged_device_does_not_hide_the_others() -> None:
    data = FRONT + START + TIMER.section() + CPU.section() + TAIL
    records = walk_both(data, lengths={"cpu": LENGTHS["cpu"]})
    _, timer, cpu = sections(records)
    assert timer.payload_end - timer.payload_offset == LENGTHS["timer"]
    assert str(timer.problem).endswith("no length")
    assert cpu.problem is None


def test_a_device_that_is_longer_than_described_is_passed_by_its_footer() -> None:
    data = FRONT + START + TIMER.section() + CPU.section() + TAIL
    records = walk_both(data, lengths={**LENGTHS, "timer": 5})
    _, timer, _ = sections(records)
    assert timer.payload_end - timer.payload_offset == LENGTHS["timer"]
    assert 'expected the footer of section 0 "timer"/0' in str(timer.problem)


@pytest.mark.parametrize(
    "following",
    [
        CPU.section() + TAIL,
        PART + END + TAIL,
        build.command(build.PING, bytes(4)) + TAIL,
        build.section(build.START, b"begin", idstr="disk", section_id=8) + TAIL,
        TAIL,
        build.eof(),
        build.eof() + bytes(1000),
    ],
    ids=["FULL", "PART", "COMMAND", "START", "description", "end", "padding"],
)
def test_a_footer_is_known_by_what_follows(following: bytes) -> None:
    odd = build.Device(idstr="odd", section_id=99, payload=b"??" * 50)
    records = walk_both(FRONT + START + odd.section() + following)
    assert sections(records)[1].end == len(FRONT + START + odd.section())


@pytest.mark.parametrize(
    "lookalike",
    [
        build.footer(99),
        build.footer(98) + build.eof(),
        build.footer(99) + build.eof() + b"more",
        build.footer(99) + build.eof() + build.description(b"no json"),
        build.footer(99) + b"\x05",
        build.footer(99) + b"\x02" + build.be32(5),
        build.footer(99) + build.command(12),
        build.footer(99) + build.section(build.FULL, idstr=""),
        build.footer(99) + build.section(build.FULL, idstr="b\xe4d"),
        build.footer(99) + build.section(build.START, idstr="b\x00d"),
        build.footer(99) + b"\x04",
    ],
)
def test_a_payload_that_looks_like_a_footer_is_not_taken_for_one(lookalike: bytes) -> None:
    odd = build.Device(idstr="odd", section_id=99, payload=b"?" + lookalike + b"?" * 30)
    records = walk_both(FRONT + START + odd.section() + CPU.section() + TAIL)
    _, found, cpu = sections(records)
    assert found.payload_end - found.payload_offset == len(odd.payload)
    assert cpu.idstr == "cpu"


def test_a_footer_with_half_a_header_behind_it_is_not_taken_for_one() -> None:
    odd = build.Device(idstr="odd", section_id=99, payload=bytes(20))
    data = FRONT + START + odd.section() + b"\x04" + build.be32(7) + b"\x03cp"
    for source in both_sources(data):
        with pytest.raises(LocatedError) as caught:
            walk_through(source)
        assert caught.value.offset == len(FRONT + START)


def test_an_unknown_iterative_section_is_passed_by_its_footer() -> None:
    for source in both_sources(FRONT + START + PART + END + TIMER.section() + TAIL):
        found = sections(walk_through(source, readers={}))
        assert [section.payload_end - section.payload_offset for section in found] == [5, 6, 3, 24]
        assert '(section 4 "disk"/0): a section of a kind' in str(found[0].problem)
        assert isinstance(found[0].problem, UnsupportedError)


def test_the_payload_of_an_unknown_section_does_not_stay_in_memory() -> None:
    big = build.section(build.START, bytes(1 << 20), idstr="tape")
    source = chunks_source(FRONT + big + build.eof(), (4096,))
    walk_through(source)
    assert len(source._kept) <= 2 * 4096


def test_an_unknown_iterative_section_without_a_footer_is_not_supported() -> None:
    data = FRONT + START[:-5] + build.section(build.START, idstr="tape", footers=False)
    for source in both_sources(data + TAIL):
        with pytest.raises(UnsupportedError, match=r'"tape"/0.*a kind that we cannot') as caught:
            walk_through(source)
        assert caught.value.offset == len(FRONT + START) - 5


def test_a_section_whose_footer_never_comes_is_where_the_data_ends() -> None:
    data = FRONT + START + build.section(build.FULL, bytes(100), idstr="odd", footers=False)
    for source in both_sources(data):
        with pytest.raises(LocatedError) as caught:
            walk_through(source, lengths={})
        assert caught.value.offset is not None
        assert caught.value.offset >= len(FRONT + START)


def test_a_footer_is_not_looked_for_without_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vmstate_tools.stream.resync.MAX_RESYNC_BYTES", 1000)
    odd = build.Device(idstr="odd", payload=bytes(5000))
    data = FRONT + START + odd.section() + TAIL
    with pytest.raises(LocatedError):
        walk_through(bytes_source(data, window_bytes=100))
    with pytest.raises(LocatedError):
        walk_through(chunks_source(data, (100,)))


def test_a_payload_full_of_lookalikes_is_given_up() -> None:
    odd = build.Device(idstr="odd", section_id=9, payload=(build.footer(9) + b"\x04") * 20_000)
    for source in both_sources(FRONT + START + odd.section() + TAIL):
        with pytest.raises(LocatedError):
            walk_through(source, lengths={})
