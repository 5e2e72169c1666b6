from __future__ import annotations

import pytest

from builders import stream as build
from builders.mapped import Layout, mapped_stream
from builders.sources import both_sources, bytes_source
from vmstate_tools.core.errors import FormatError, TruncatedError, UnsupportedError
from vmstate_tools.ram.index import PageCounts, PageKind
from vmstate_tools.ram.mapped import nonzero_pages
from vmstate_tools.snapshot.kind import Kind
from vmstate_tools.snapshot.open import Snapshot, read_snapshot

P = 4096
BLOCKS = {
    "pc.ram": [b"", build.page(1), b"", *[build.page(n) for n in range(60)], *[b""] * 70],
    "pc.bios": [build.page(99)],
    "/rom@etc/acpi/tables": [b"", b"", build.page(7)],
}
EVEN = {"ram": [*[b""] * 63, build.page(1)]}


def read(data: bytes) -> Snapshot:
    """Read as a map and as a pipe; return the first."""
    mapped, piped = [read_snapshot(source) for source in both_sources(data)]
    assert mapped.ram.blocks == piped.ram.blocks
    for block in mapped.ram.blocks:
        entries = mapped.ram.entries(block.name)
        assert entries.tolist() == piped.ram.entries(block.name).tolist()
    return mapped


def content(snapshot: Snapshot, name: str) -> bytes:
    return snapshot.memory.read(name, 0, snapshot.ram.block(name).size)


@pytest.mark.parametrize("alignment", [P, 1 << 20])
def test_every_page_is_read_from_its_place(alignment: int) -> None:
    snapshot = read(mapped_stream(BLOCKS, Layout(alignment=alignment)))
    for name, pages in BLOCKS.items():
        assert content(snapshot, name) == b"".join(page or bytes(P) for page in pages)
    assert snapshot.kind is Kind.MAPPED_RAM
    assert snapshot.container == "mapped-ram"


def test_pages_that_are_not_marked_are_zero_whatever_is_in_their_place() -> None:
    data = mapped_stream(BLOCKS, Layout(marked=False))
    snapshot = read(data)
    assert snapshot.ram.counts("pc.ram") == PageCounts(total=133, zero=133)
    assert not any(content(snapshot, "pc.ram"))


def test_pages_are_counted() -> None:
    snapshot = read(mapped_stream(BLOCKS))
    assert snapshot.ram.counts("pc.ram") == PageCounts(total=133, stored=61, zero=72)


def test_pages_one_behind_the_other_are_one_run() -> None:
    snapshot = read(mapped_stream(BLOCKS))
    runs = list(snapshot.ram.iter_runs("pc.ram"))
    assert [(run.kind, run.page_count, run.data_stride) for run in runs] == [
        (PageKind.ZERO, 1, 0),
        (PageKind.STORED, 1, P),
        (PageKind.ZERO, 1, 0),
        (PageKind.STORED, 60, P),
        (PageKind.ZERO, 70, 0),
    ]


def test_bitmaps_of_a_big_endian_host_are_told_by_their_last_words() -> None:
    snapshot = read(mapped_stream(BLOCKS, Layout(big_endian=True)))
    for name, pages in BLOCKS.items():
        assert content(snapshot, name) == b"".join(page or bytes(P) for page in pages)


def test_bitmaps_without_a_last_word_are_those_of_a_little_endian_host() -> None:
    assert read(mapped_stream(EVEN)).ram.entries("ram").tolist()[63] > 1


@pytest.mark.parametrize("page_size", [1024, 65536])
def test_pages_may_have_another_size(page_size: int) -> None:
    pages = [build.page(1, page_size=page_size), b"", build.page(2, page_size=page_size)]
    layout = Layout(page_size=page_size, alignment=page_size)
    snapshot = read(mapped_stream({"ram": pages}, layout))
    assert content(snapshot, "ram") == pages[0] + bytes(page_size) + pages[2]


def test_the_address_of_a_block_may_stand_before_its_header() -> None:
    snapshot = read(mapped_stream(EVEN, Layout(addresses=True)))
    assert snapshot.ram.counts("ram").stored == 1
    assert snapshot.ram.block("ram").address == 0


def test_the_address_of_a_block_may_be_left_out() -> None:
    data = mapped_stream(EVEN)
    shared = build.capabilities("mapped-ram", "x-ignore-shared")
    change = len(shared) - len(build.capabilities("mapped-ram"))
    data = mapped_stream(EVEN, Layout(bitmap_shift=change, pages_shift=change))
    data = data.replace(build.capabilities("mapped-ram"), shared)
    snapshot = read(data)
    assert snapshot.ram.counts("ram").stored == 1
    assert snapshot.ram.block("ram").address is None


def test_pages_with_content_are_found_without_marks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vmstate_tools.ram.mapped.STEP_BYTES", 2 * P)
    data = mapped_stream(BLOCKS, Layout(marked=False))
    for block in read(data).ram.blocks:
        assert block.mapped is not None
        found = nonzero_pages(bytes_source(data), block.mapped, P, block.page_count)
        assert found.tolist() == [bool(page) for page in BLOCKS[block.name]]


# Damage


@pytest.mark.parametrize(
    "layout, text",
    [
        (Layout(said_page_size=8192), r"pages of 8192 bytes \(expected 4096\)"),
        (Layout(bitmap_shift=-1), "one behind the other"),
        (Layout(pages_shift=-P), "one behind the other"),
        (Layout(bitmap_shift=P), "one behind the other"),
    ],
)
def test_places_that_make_no_sense_are_damage(layout: Layout, text: str) -> None:
    data = mapped_stream(EVEN, layout)
    for source in both_sources(data):
        with pytest.raises(FormatError, match=text) as caught:
            read_snapshot(source)
        assert caught.value.offset == data.index(build.be32(layout.version) + build.be64(0)[:4])


def test_another_version_is_not_supported() -> None:
    with pytest.raises(UnsupportedError, match=r"version 2 .* \(expected 1\)"):
        read(mapped_stream(EVEN, Layout(version=2)))


@pytest.mark.parametrize("shift", [1 << 40, (1 << 63) - (1 << 20)])
def test_pages_that_are_not_in_the_file_are_truncated(shift: int) -> None:
    for source in both_sources(mapped_stream(EVEN, Layout(pages_shift=shift))):
        with pytest.raises(TruncatedError):
            read_snapshot(source)


def test_page_records_have_no_place_beside_pages_at_fixed_places() -> None:
    data = mapped_stream(EVEN)
    part = build.section(build.PART, build.ram_eos())
    records = build.ram_zero(0, block="ram") + build.ram_eos()
    data = data.replace(part, build.section(build.PART, records))
    for source in both_sources(data):
        with pytest.raises(FormatError, match="page records where pages have fixed places"):
            read_snapshot(source)


def test_a_file_that_ends_anywhere_in_its_list_is_truncated() -> None:
    data = mapped_stream({"a": [build.page(1)], "b": [b""]}, Layout(alignment=64))
    end = data.index(build.ram_eos(), data.index(build.page(1)))
    for kept in [*range(40, 200), *range(200, end, 501)]:
        for source in both_sources(data[:kept]):
            with pytest.raises(TruncatedError) as caught:
                read_snapshot(source)
            assert caught.value.offset is not None
            assert caught.value.offset <= kept
