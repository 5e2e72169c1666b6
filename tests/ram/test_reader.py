from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from builders import stream as build
from builders.sources import both_sources, bytes_source, chunks_source
from vmstate_tools.core.errors import FormatError, LocatedError, TruncatedError, UnsupportedError
from vmstate_tools.core.source import ForwardSource
from vmstate_tools.ram import reader as reader_module
from vmstate_tools.ram.index import RamIndex
from vmstate_tools.ram.reader import RamReader
from vmstate_tools.stream.preamble import read_preamble
from vmstate_tools.stream.records import Section
from vmstate_tools.stream.walker import walk

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from vmstate_tools.core.source import ByteSource
    from vmstate_tools.ram.blocks import RamBlock

P = 4096
BLOCKS: dict[str, list[bytes | None]] = {
    "pc.ram": [build.page(1), b"", None, build.page(2)],
    "pc.bios": [b"", build.page(3)],
}


def read(source: ByteSource, on_first_page: Callable[[], object] | None = None) -> RamReader:
    preamble = read_preamble(source)
    reader = RamReader(preamble, on_first_page)
    for _ in walk(source, preamble, {"ram": reader}):
        pass
    return reader


def index_of(data: bytes) -> RamIndex:
    first, second = [read(source).index for source in both_sources(data)]
    assert first is not None
    assert second is not None
    for block in first.blocks:
        assert first.entries(block.name).tolist() == second.entries(block.name).tolist()
        assert first.counts(block.name) == second.counts(block.name)
    return first


@pytest.mark.parametrize("footers", [True, False])
@pytest.mark.parametrize("end", [True, False])
def test_all_sections_go_into_one_index(*, footers: bool, end: bool) -> None:
    data = build.stream(BLOCKS, (), footers=footers, end=end)
    index = index_of(data)
    for name, pages in BLOCKS.items():
        entries = index.entries(name).tolist()
        assert [entry > 1 for entry in entries] == [bool(page) for page in pages]
        assert [entry == 1 for entry in entries] == [page == b"" for page in pages]
        for entry, page in zip(entries, pages, strict=True):
            assert not page or data[entry : entry + P] == page


def test_sections_end_where_their_records_end() -> None:
    data = build.stream(BLOCKS, ())
    for source in both_sources(data):
        preamble = read_preamble(source)
        records = list(walk(source, preamble, {"ram": RamReader(preamble)}))
        sections = [record for record in records if isinstance(record, Section)]
        assert len(sections) == 3
        assert not any(section.problem for section in sections)


def test_a_stream_without_memory_has_no_index() -> None:
    assert read(bytes_source(build.header() + build.eof())).index is None


def test_the_start_may_hold_pages_too() -> None:
    setup = build.ram_setup({"ram": P}) + build.ram_zero(0, block="ram") + build.ram_eos()
    data = build.header() + build.section(build.START, setup) + build.eof()
    assert index_of(data).counts("ram").zero == 1


@pytest.mark.parametrize("page_size", [1024, 16384])
def test_the_page_size_of_the_stream_is_used(page_size: int) -> None:
    pages = {"ram": [build.page(1, page_size=page_size), b""]}
    bits = page_size.bit_length() - 1
    data = build.stream(pages, (), page_size=page_size, subsections=build.page_bits(bits))
    assert index_of(data).counts("ram").stored == 1


def test_the_capabilities_of_the_stream_are_used() -> None:
    shared = build.capabilities("x-ignore-shared")
    setup = build.ram_setup({"ram": P}, extra={"ram": build.be64(0)}) + build.ram_eos()
    data = build.header() + build.configuration(subsections=shared)
    data += build.section(build.START, setup) + build.eof()
    assert [block.address for block in index_of(data).blocks] == [0]


# The first page


def first_page_calls(data: bytes) -> list[int]:
    """How often the callback was called, for each kind of source."""
    numbers = []
    for source in both_sources(data):
        calls: list[bool] = []
        read(source, lambda calls=calls: calls.append(True))  # type: ignore[misc]
        numbers.append(len(calls))
    return numbers


def test_the_first_page_is_told_once() -> None:
    assert first_page_calls(build.stream(BLOCKS, ())) == [1, 1]


def test_the_list_of_blocks_is_not_a_page() -> None:
    assert first_page_calls(build.stream({"ram": [None]}, ())) == [0, 0]


@pytest.mark.parametrize("data", [b"", build.page(1)])
def test_the_first_page_is_told_before_anything_more_is_waited_for(data: bytes) -> None:
    sections = build.ram_sections({"ram": [data, build.page(2)]}, footers=True)
    stream = build.header() + build.configuration() + sections
    until_first_page = stream.index(build.page(2)) - 8
    told: list[bool] = []

    def chunks() -> Iterator[bytes]:
        yield stream[:until_first_page]
        assert told
        yield stream[until_first_page:]
        yield build.eof()
        yield b""

    pieces = chunks()
    source = ForwardSource(lambda: next(pieces), "guest.mig")
    read(source, lambda: told.append(True))
    assert told == [True]


# Memory


def test_pages_of_a_pipe_do_not_stay_in_memory() -> None:
    source = chunks_source(build.stream({"ram": [build.page(1)] * 500}, ()), (10_000,))
    most = 0
    preamble = read_preamble(source)
    for _ in walk(source, preamble, {"ram": RamReader(preamble)}):
        most = max(most, len(source._kept))
    assert most < 3 * 10_000


def test_an_index_that_does_not_fit_is_damage(monkeypatch: pytest.MonkeyPatch) -> None:
    class FullIndex(RamIndex):
        def __init__(self, blocks: list[RamBlock], page_size: int) -> None:
            raise MemoryError(blocks, page_size)

    monkeypatch.setattr(reader_module, "RamIndex", FullIndex)
    with pytest.raises(FormatError, match="24576 bytes of memory, too many for an index"):
        read(bytes_source(build.stream(BLOCKS, ())))


# Damage


def test_memory_that_is_cut_off_anywhere_is_truncated() -> None:
    front = (
        build.header() + build.configuration() + build.ram_sections({"ram": [b""]}, footers=False)
    )
    data = front + build.section(build.PART, build.ram_pages("ram", [build.page(1)]))
    start = data.index(b"\x01" + build.be32(build.RAM_SECTION_ID))
    for kept in [*range(start, len(front) + 40), len(data) - 6]:
        for source in both_sources(data[:kept]):
            with pytest.raises(TruncatedError) as caught:
                read(source)
            assert caught.value.offset is not None
            assert caught.value.offset <= kept


def test_pages_without_a_list_of_blocks_are_damage() -> None:
    data = build.header() + build.section(build.START, build.ram_zero(0, block="ram"))
    for source in both_sources(data):
        with pytest.raises(FormatError, match="expected the total size of memory"):
            read(source)


def test_another_version_of_the_section_is_not_supported() -> None:
    setup = build.ram_setup({"ram": P}) + build.ram_eos()
    data = build.header() + build.section(build.START, setup, version_id=3) + build.eof()
    with pytest.raises(UnsupportedError, match=r"version 3 of the ram section \(expected 4\)"):
        read(bytes_source(data))


def test_a_second_start_is_not_supported() -> None:
    start = build.section(build.START, build.ram_setup({"ram": P}) + build.ram_eos())
    with pytest.raises(UnsupportedError, match="a second list of blocks") as caught:
        read(bytes_source(build.header() + start + start))
    assert caught.value.offset == len(build.header() + start)


def test_what_was_read_before_the_damage_is_in_the_index() -> None:
    data = build.stream({"ram": [b"", build.page(1), b"", build.page(2)]}, ())
    damaged = data.replace(build.be64(3 * P | 0x28), build.be64(3 * P | 0x2A))
    for source in both_sources(damaged):
        preamble = read_preamble(source)
        reader = RamReader(preamble)
        with pytest.raises(LocatedError):
            list(walk(source, preamble, {"ram": reader}))
        assert reader.index is not None
        assert reader.index.counts("ram").absent == 1
