from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builders import stream as build
from builders.sources import bytes_source
from vmstate_tools.ram.writer import PageWriter, block_list, iter_page_records
from vmstate_tools.snapshot.open import Snapshot, read_snapshot
from vmstate_tools.stream.writer import write_pieces

P = 4096
EMPTY = b""
PAGES: list[bytes | None] = [build.page(1), EMPTY, EMPTY, build.page(2), build.page(3), EMPTY]


def content(pages: list[bytes | None]) -> bytes:
    return b"".join(page or bytes(P) for page in pages)


def test_block_list_is_as_qemu_writes_it() -> None:
    blocks = {"pc.ram": 5 * P, "pc.bios": P}
    found = block_list((name, size, None) for name, size in blocks.items())
    assert found == build.ram_setup(blocks)


def test_block_list_has_addresses_where_it_must() -> None:
    found = block_list([("a", P, 0), ("b", P, 0xFFFC0000)])
    extra = {"a": build.be64(0), "b": build.be64(0xFFFC0000)}
    assert found == build.ram_setup({"a": P, "b": P}, extra=extra)


def test_pages_of_zeros_become_zero_pages() -> None:
    found = b"".join(PageWriter(P).pages("pc.ram", 0, content(PAGES)))
    assert found == build.ram_pages("pc.ram", PAGES)


def test_page_that_is_zero_but_for_its_last_byte_is_stored() -> None:
    page = bytes(P - 1) + b"\1"
    found = b"".join(PageWriter(P).pages("r", 0, bytes(P) + page))
    assert found == build.ram_pages("r", [EMPTY, page])


def test_stored_pages_may_be_zero() -> None:
    found = b"".join(PageWriter(P).stored("r", 0, bytes(2 * P)))
    assert found == build.ram_page(0, bytes(P), block="r") + build.ram_page(P, bytes(P))


def test_block_is_named_when_it_changes() -> None:
    writer = PageWriter(P)
    calls = [("a", P), ("a", 0), ("b", 0), ("a", 5 * P)]
    found = b"".join(writer.zero(name, offset, 1) for name, offset in calls)
    assert found == b"".join(
        [
            build.ram_zero(P, block="a"),
            build.ram_zero(0),
            build.ram_zero(0, block="b"),
            build.ram_zero(5 * P, block="a"),
        ]
    )


@pytest.mark.parametrize("page_size", [256, 65536, 4 << 20])
def test_memory_longer_than_a_step_is_written_whole(page_size: int) -> None:
    pages: list[bytes | None] = [build.page(n, page_size=page_size) for n in range(1, 4)]
    pages = (pages * (1 + (3 << 20) // page_size // 3))[: 1 + (3 << 20) // page_size]
    data = b"".join(page or EMPTY for page in pages)
    found = b"".join(PageWriter(page_size).pages("r", 0, data))
    assert found == build.ram_pages("r", pages, page_size=page_size)


def normalised(snapshot: Snapshot) -> bytes:
    out = io.BytesIO()
    write_pieces(snapshot.source, iter_page_records(snapshot.source, snapshot.memory), out)
    return out.getvalue()


def snapshot_of(blocks: dict[str, int], records: bytes) -> Snapshot:
    data = build.header() + build.configuration(subsections=build.page_bits(12))
    data += build.section(build.START, build.ram_setup(blocks) + build.ram_eos())
    data += build.section(build.PART, records + build.ram_eos()) + build.eof()
    return read_snapshot(bytes_source(data))


def test_each_page_is_written_once_by_address() -> None:
    records = b"".join(
        [
            build.ram_page(3 * P, build.page(9), block="r"),
            build.ram_page(0, build.page(8)),
            build.ram_zero(P),
            build.ram_page(0, build.page(2), block="s"),
            build.ram_page(0, build.page(1), block="r"),
            build.ram_page(P, build.page(4)),
            build.ram_page(2 * P, build.page(5)),
        ]
    )
    found = normalised(snapshot_of({"r": 5 * P, "s": P}, records))
    pages: list[bytes | None] = [build.page(seed) for seed in (1, 4, 5, 9)]
    assert found == build.ram_pages("r", pages) + build.ram_pages("s", [build.page(2)])


def test_encoded_pages_are_written_plain() -> None:
    records = build.ram_zero(P, block="r", fill=0x5A) + build.ram_page(0, build.page(1))
    found = normalised(snapshot_of({"r": 2 * P}, records))
    assert found == build.ram_pages("r", [build.page(1), b"\x5a" * P])


@pytest.mark.parametrize("count", [1, 15, 16, 17, 600])
def test_pages_in_any_order_come_out_by_address(count: int) -> None:
    pages: list[bytes | None] = [build.page(number) for number in range(1, count + 1)]
    backwards = [
        build.ram_page(number * P, page or EMPTY, block=None if number < count - 1 else "r")
        for number, page in reversed(list(enumerate(pages)))
    ]
    found = normalised(snapshot_of({"r": count * P}, b"".join(backwards)))
    assert found == build.ram_pages("r", pages)


@pytest.mark.parametrize("count", [15, 16, 300])
def test_long_and_short_runs_are_written_alike(count: int) -> None:
    pages: list[bytes | None] = [build.page(number) for number in range(1, count + 1)]
    again = build.ram_page((count // 2) * P, build.page(777))
    expected = [*pages]
    expected[count // 2] = build.page(777)
    found = normalised(snapshot_of({"r": count * P}, build.ram_pages("r", pages) + again))
    assert found == build.ram_pages("r", expected)


PAGE = st.none() | st.just(EMPTY) | st.integers(1, 9).map(build.page)


@given(st.dictionaries(st.sampled_from("abc"), st.lists(PAGE, min_size=1), min_size=1))
def test_memory_in_order_is_written_as_it_was(blocks: dict[str, list[bytes | None]]) -> None:
    sizes = {name: len(pages) * P for name, pages in blocks.items()}
    records = b"".join(build.ram_pages(name, pages) for name, pages in blocks.items())
    assert normalised(snapshot_of(sizes, records)) == records
