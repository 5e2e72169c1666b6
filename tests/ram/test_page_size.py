from __future__ import annotations

import pytest

from builders import stream as build
from builders.sources import both_sources
from vmstate_tools.core.source import BytesSource
from vmstate_tools.ram.page_size import guess_page_size
from vmstate_tools.ram.reader import RamReader
from vmstate_tools.snapshot.open import read_snapshot
from vmstate_tools.stream.preamble import read_preamble
from vmstate_tools.stream.walker import walk

SIZES = [1 << bits for bits in range(8, 17)]
LIST_OFFSET = len(build.header() + build.section(build.START, footers=False))


def stream(page_size: int, *, first: bool, footers: bool = True) -> bytes:
    """A stream whose first page has content, or is zero."""
    content = [build.page(1, page_size=page_size), b""]
    pages = {"ram": content if first else content[::-1], "rom": [b""]}
    out = build.header() + build.ram_sections(pages, page_size=page_size, footers=footers)
    return out + build.eof()


def guess(data: bytes) -> int | None:
    first, second = [guess_page_size(source, LIST_OFFSET) for source in both_sources(data)]
    assert first == second
    return first


@pytest.mark.parametrize("footers", [True, False])
@pytest.mark.parametrize(
    "page_size, first",
    [*((size, True) for size in SIZES), *((size, False) for size in SIZES if size < 4096)],
)
def test_two_pages_tell_their_size(page_size: int, *, first: bool, footers: bool) -> None:
    data = stream(page_size, first=first, footers=footers)
    assert guess(data) == page_size
    for source in both_sources(data):
        snapshot = read_snapshot(source)
        assert snapshot.ram.page_size == page_size
        assert snapshot.ram.counts("ram").stored == 1


def test_pages_in_the_first_section_tell_their_size_too() -> None:
    setup = build.ram_setup({"ram": 2048}) + build.ram_pages("ram", [b"", b""], page_size=1024)
    data = build.header() + build.section(build.START, setup + build.ram_eos()) + build.eof()
    assert guess(data) == 1024


@pytest.mark.parametrize(
    "records",
    [
        b"",
        build.ram_zero(0, block="ram") + build.ram_eos(),
        build.ram_zero(0, block="ram") + build.ram_zero(0, block="rom"),
        build.ram_zero(0, block="ram") + build.ram_zero(3 * 4096),
        build.ram_zero(0, block="ram") + build.ram_zero(8192),
        build.ram_zero(0, block="ram") + build.ram_zero(1 << 17),
        build.ram_page(0, bytes(4096), block="ram") + build.ram_eos(),
        build.ram_zero(4096, block="ram") + build.ram_zero(8192),
        build.ram_compressed(0, b"...", block="ram"),
    ],
)
def test_pages_that_do_not_follow_each_other_tell_nothing(records: bytes) -> None:
    setup = build.ram_setup({"ram": 1 << 20, "rom": 4096}) + build.ram_eos()
    part = build.section(build.PART, records + build.ram_eos())
    assert guess(build.header() + build.section(build.START, setup) + part + build.eof()) is None


def test_content_that_looks_like_a_record_does_not_change_the_usual_size() -> None:
    content = bytes(256) + build.ram_page(256, bytes(4096 - 256 - 8))
    records = build.ram_page(0, content, block="ram") + build.ram_zero(4096) + build.ram_eos()
    setup = build.ram_setup({"ram": 8192}) + build.ram_eos()
    part = build.section(build.PART, records)
    assert guess(build.header() + build.section(build.START, setup) + part) == 4096


def test_a_stream_that_ends_early_tells_nothing() -> None:
    data = stream(1024, first=True)
    end = data.index(build.page(1, page_size=1024)) + 1024 + 8
    for kept in range(LIST_OFFSET, end):
        assert guess(data[:kept]) is None
    assert guess(data[:end]) == 1024


def test_a_list_without_an_end_is_not_followed_for_long() -> None:
    blocks = build.ram_setup([("", 0)] * 5000, total=4096)
    assert guess(build.header() + bytes(LIST_OFFSET - 8) + blocks) is None


def test_whoever_waits_for_the_first_page_gets_it_before_the_second_is_there() -> None:
    data = stream(4096, first=False)
    end = data.index(build.str8("ram"), LIST_OFFSET + 20) + 4 + 1
    source = BytesSource(data[:end], "guest.mig")
    preamble = read_preamble(source)
    called: list[bool] = []
    reader = RamReader(preamble, lambda: called.append(True))
    records = walk(source, preamble, {"ram": reader})
    with pytest.raises(EOFError):
        list(records)
    assert called == [True]
