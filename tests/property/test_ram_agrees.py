"""The fast reader of guest memory finds what an obvious slow one finds."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from builders import stream as build
from builders.slow_ram import SlowRam
from builders.sources import bytes_source, chunks_source
from vmstate_tools.core.errors import VmstateError
from vmstate_tools.ram.image import RamImage
from vmstate_tools.ram.index import PageKind, RamIndex
from vmstate_tools.ram.reader import RamReader
from vmstate_tools.stream.preamble import read_preamble
from vmstate_tools.stream.walker import walk

if TYPE_CHECKING:
    from vmstate_tools.core.source import ByteSource

P = 256  # the smallest page there is makes small streams
PAGE_COUNTS = {"pc.ram": 400, "/rom@etc/acpi/tables": 3, "vga.vram": 20}
FRONT = build.header() + build.configuration(subsections=build.page_bits(8))
SETUP = build.section(
    build.START,
    build.ram_setup({name: count * P for name, count in PAGE_COUNTS.items()}) + build.ram_eos(),
)


@st.composite
def record_runs(draw: st.DrawFn) -> tuple[str, int, int, bool]:
    """Block, first page, number of pages, whether they have data."""
    block = draw(st.sampled_from(list(PAGE_COUNTS)))
    first = draw(st.integers(0, PAGE_COUNTS[block] - 1))
    most = PAGE_COUNTS[block] - first
    count = draw(st.one_of(st.integers(1, min(3, most)), st.integers(1, most)))
    return block, first, count, draw(st.booleans())


SECTIONS = st.lists(st.lists(record_runs(), max_size=5), max_size=3)


def write_sections(sections: list[list[tuple[str, int, int, bool]]]) -> tuple[bytes, list[int]]:
    """Return the stream, and where the records of each section begin in it."""
    data = FRONT + SETUP
    starts = []
    block: str | None = None
    for runs in sections:
        records = []
        for name, first, count, stored in runs:
            for number in range(first, first + count):
                named = None if name == block else name
                content = build.page(number, page_size=P) if stored else bytes(1)
                flags = build.RAM_PAGE if stored else build.RAM_ZERO
                records.append(build.ram_record(number * P, flags, content, block=named))
                block = name
        starts.append(len(data) + 5)
        data += build.section(build.PART, b"".join(records) + build.ram_eos())
    return data + build.eof(), starts


def read_index(source: ByteSource) -> RamIndex:
    preamble = read_preamble(source)
    reader = RamReader(preamble)
    for _ in walk(source, preamble, {"ram": reader}):
        pass
    assert reader.index is not None
    return reader.index


def read_slowly(data: bytes, starts: list[int]) -> SlowRam:
    slow = SlowRam(page_size=P)
    for start in starts:
        slow.read(data, start)
    return slow


def check(index: RamIndex, slow: SlowRam) -> None:
    for name, page_count in PAGE_COUNTS.items():
        expected = [slow.entries.get((name, page), 0) for page in range(page_count)]
        assert index.entries(name).tolist() == expected
        counts = index.counts(name)
        assert counts.total == page_count
        assert counts.absent == expected.count(0)
        assert counts.zero == expected.count(1)
        assert counts.stored == page_count - counts.absent - counts.zero
        assert counts.repeated == slow.repeated[name]


@given(sections=SECTIONS, window_bytes=st.integers(100, 5000) | st.just(1 << 30))
def test_a_map_with_windows_of_any_length_is_read_like_the_slow_reader_reads_it(
    sections: list[list[tuple[str, int, int, bool]]], window_bytes: int
) -> None:
    data, starts = write_sections(sections)
    source = bytes_source(data, window_bytes=window_bytes)
    check(read_index(source), read_slowly(data, starts))


@given(
    sections=SECTIONS,
    chunk_sizes=st.lists(st.integers(1, 3000), min_size=1, max_size=20),
)
def test_a_pipe_with_chunks_of_any_size_is_read_alike(
    sections: list[list[tuple[str, int, int, bool]]], chunk_sizes: list[int]
) -> None:
    data, starts = write_sections(sections)
    source = chunks_source(data, [*chunk_sizes, 997])
    check(read_index(source), read_slowly(data, starts))


@given(sections=SECTIONS)
def test_runs_and_pages_are_those_of_the_index(
    sections: list[list[tuple[str, int, int, bool]]],
) -> None:
    data, _ = write_sections(sections)
    source = bytes_source(data)
    index = read_index(source)
    image = RamImage(source, index)
    for name, page_count in PAGE_COUNTS.items():
        entries: list[int] = []
        for run in index.iter_runs(name):
            assert run.first_page == len(entries)
            known = {PageKind.ABSENT: 0, PageKind.ZERO: 1}.get(run.kind, run.data_offset)
            entries += [known + number * run.data_stride for number in range(run.page_count)]
        assert entries == index.entries(name).tolist()
        content = b"".join(data[entry : entry + P] if entry > 1 else bytes(P) for entry in entries)
        assert image.read(name, 0, page_count * P) == content


@given(
    sections=SECTIONS.filter(any),
    place=st.floats(0, 1, exclude_max=True),
    value=st.integers(0, 255),
)
def test_damaged_records_are_read_to_the_same_place_as_map_and_pipe(
    sections: list[list[tuple[str, int, int, bool]]], place: float, value: int
) -> None:
    sound, starts = write_sections(sections)
    position = starts[0] + int(place * (len(sound) - starts[0]))
    data = sound[:position] + bytes([value]) + sound[position + 1 :]
    outcomes = set()
    for source in (bytes_source(data), chunks_source(data, (13, 700))):
        try:
            index = read_index(source)
        except VmstateError as error:
            outcomes.add(str(error))
        else:
            outcomes.add(str([index.counts(name) for name in PAGE_COUNTS]))
    assert len(outcomes) == 1


def test_the_slow_reader_reads_a_plain_stream() -> None:
    data, starts = write_sections([[("pc.ram", 1, 2, True)]])
    first = data.index(build.page(1, page_size=P))
    assert read_slowly(data, starts).entries == {
        ("pc.ram", 1): first,
        ("pc.ram", 2): first + P + 8,
    }
