from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest

from builders import stream as build
from builders.slow_ram import SlowRam
from vmstate_tools.core.errors import FormatError, UnsupportedError
from vmstate_tools.ram import pages
from vmstate_tools.ram.blocks import RamBlock
from vmstate_tools.ram.encodings import COMPRESSED, FILLED, PATCHED, ZERO_PAGE
from vmstate_tools.ram.pages import PageBatch, PageScanner

if TYPE_CHECKING:
    from collections.abc import Iterator

P = 4096
OFFSET = 1000
DATA = bytes(P)


def block(name: str, first_page: int, page_count: int) -> RamBlock:
    return RamBlock(
        name=name,
        size=page_count * P,
        first_page=first_page,
        page_count=page_count,
        page_size=None,
        address=None,
    )


RAM = block("ram", 0, 3000)
ROM = block("rom", 3000, 1)


def scanner(page_size: int = P) -> PageScanner:
    return PageScanner({"ram": RAM, "rom": ROM}, page_size, "guest.mig")


def scan(records: bytes) -> PageBatch:
    return scanner().scan(memoryview(records), OFFSET)


def scan_all(records: bytes, window_bytes: int = 1 << 30) -> Iterator[PageBatch]:
    """Scan with windows of this length or what is needed, to the end of the section."""
    one = scanner()
    end, needed, last = 0, 8, False
    while not last:
        assert end + needed <= len(records)
        window = memoryview(records)[end : end + max(needed, window_bytes)]
        batch = one.scan(window, OFFSET + end)
        yield batch
        end, needed, last = batch.end - OFFSET, batch.needed, batch.last
    assert end == len(records)


def found(records: bytes, window_bytes: int = 1 << 30) -> list[tuple[int, int]]:
    """Page and data offset (from the first record on) of every record."""
    return [
        (page, max(data_offset - OFFSET, 1))
        for batch in scan_all(records, window_bytes)
        for page, data_offset in zip(batch.page.tolist(), batch.data_offset.tolist(), strict=True)
    ]


def found_slowly(records: bytes) -> list[tuple[int, int]]:
    slow = SlowRam()
    seen: list[tuple[int, int]] = []

    class Entries(dict[tuple[str, int], int]):
        def __setitem__(self, key: tuple[str, int], value: int) -> None:
            seen.append((key[1] + (ROM.first_page if key[0] == "rom" else 0), value))

    slow.entries = Entries()
    slow.read(records, 0)
    return seen


def test_a_section_may_have_no_records() -> None:
    batch = scan(build.ram_eos() + b"more")
    assert (batch.end, batch.last, len(batch.page)) == (OFFSET + 8, True, 0)


def test_a_page_is_found_where_its_data_is() -> None:
    records = build.ram_page(5 * P, DATA, block="ram") + build.ram_eos()
    assert found(records) == [(5, 8 + 4)]


def test_a_zero_page_has_no_data() -> None:
    assert found(build.ram_zero(5 * P, block="ram") + build.ram_eos()) == [(5, 1)]


def test_records_continue_in_the_block_of_the_one_before() -> None:
    records = build.ram_zero(0, block="rom") + build.ram_zero(0, block="ram")
    records += build.ram_zero(P) + build.ram_zero(0, block="rom") + build.ram_eos()
    assert found(records) == [(3000, 1), (0, 1), (1, 1), (3000, 1)]


def test_the_block_is_remembered_across_sections() -> None:
    one = scanner()
    one.scan(memoryview(build.ram_zero(0, block="rom") + build.ram_eos()), 0)
    batch = one.scan(memoryview(build.ram_zero(0) + build.ram_eos()), 0)
    assert batch.page.tolist() == [3000]


@pytest.mark.parametrize("length", [1, 2, 31, 32, 33, 63, 64, 65, 255, 287, 288, 289, 290, 2000])
@pytest.mark.parametrize("zero", [True, False])
def test_runs_of_any_length_are_found_whole(length: int, *, zero: bool) -> None:
    content = [b"" if zero else DATA] * length
    records = build.ram_pages("ram", content) + build.ram_zero(2500 * P) + build.ram_eos()
    assert found(records) == found_slowly(records)


def test_a_jump_to_another_page_ends_a_run() -> None:
    records = build.ram_pages("ram", [b""] * 700)
    records += b"".join(build.ram_zero((1000 + n) * P) for n in range(700))
    assert found(records + build.ram_eos()) == found_slowly(records + build.ram_eos())


def test_a_page_that_comes_again_is_found_again() -> None:
    records = build.ram_pages("ram", [b""] * 100) + build.ram_pages("ram", [DATA] * 100)
    assert len(found(records + build.ram_eos())) == 200


def mixture(seed: int) -> bytes:
    """Runs of all lengths and kinds, jumps, names."""
    chance = random.Random(seed)  # noqa: S311 (to be the same each time)
    records = build.ram_zero(0, block="ram")
    for _ in range(60):
        first = chance.randrange(2000)
        name = chance.choice(["ram", None])
        data = chance.choice([b"", DATA])
        for number in range(chance.choice([1, 1, 2, 40, 200])):
            address = (first + number) * P
            records += (
                build.ram_page(address, data, block=name)
                if data
                else build.ram_zero(address, block=name)
            )
            name = None
        if chance.random() < 0.2:
            records += build.ram_zero(0, block="rom") + build.ram_zero(P, block="ram")
    return records + build.ram_eos()


@pytest.mark.parametrize("window_bytes", [1, 5000, 100_000, 1 << 30])
def test_a_mixture_is_found_like_the_slow_reader_finds_it(window_bytes: int) -> None:
    records = mixture(seed=window_bytes)
    assert found(records, window_bytes) == found_slowly(records)


def test_batches_are_of_a_limited_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pages, "MAX_BATCH_PAGES", 100)
    records = mixture(seed=1) + b"what follows"
    batches = list(scan_all(records[: -len(b"what follows")]))
    assert len(batches) > 10
    assert max(len(batch.page) for batch in batches) <= 100 + 100 + 32


def test_only_whole_records_are_found() -> None:
    for record in (
        build.ram_page(P, DATA, block="ram"),
        build.ram_zero(P, block="ram"),
        build.ram_eos(),
    ):
        for kept in [*range(30), len(record) - 1]:
            if kept < len(record):
                batch = scan(record[:kept])
                assert (len(batch.page), batch.end, batch.last) == (0, OFFSET, False)
                assert kept < batch.needed <= len(record)


def test_whole_records_are_found_before_one_that_is_cut_off() -> None:
    first = build.ram_zero(0, block="ram")
    for record in (build.ram_page(P, DATA), build.ram_zero(P)):
        for kept in (0, 1, 7, 8, len(record) - 1):
            batch = scan(first + record[:kept])
            assert batch.page.tolist() == [0]
            assert batch.end == OFFSET + len(first)


@pytest.mark.parametrize("page_size", [256, 1024, 65536])
def test_pages_may_have_another_size(page_size: int) -> None:
    content = [build.page(1, page_size=page_size), b"", build.page(2, page_size=page_size)]
    records = build.ram_pages("ram", content, page_size=page_size) + build.ram_eos()
    batch = scanner(page_size).scan(memoryview(records), 0)
    assert batch.page.tolist() == [0, 1, 2]
    assert batch.last
    assert batch.data_offset.tolist()[2] == len(records) - 8 - page_size


# Encodings


@pytest.mark.parametrize("number", [0, 1, 20, 700])
def test_a_page_filled_with_one_byte_is_found_where_that_is(number: int) -> None:
    records = [build.ram_zero(page * P) for page in range(1, 800)]
    records.insert(0, build.ram_zero(0, block="ram"))
    records[number] = records[number][:-1] + b"\x5a"
    entries = scan(b"".join(records)).data_offset.tolist()
    place = OFFSET + len(b"".join(records[: number + 1])) - 1
    assert entries.pop(number) == FILLED | place
    assert set(entries) == {ZERO_PAGE}


@pytest.mark.parametrize("name", [None, "rom", "ram"])
def test_records_that_say_their_length_are_found_among_others(name: str | None) -> None:
    page = 0 if name == "rom" else 7
    front = build.ram_zero(0, block="ram") + build.ram_page(P, DATA)
    patch = build.ram_patch(page * P, b"\0\1abc", block=name)
    compressed = build.ram_compressed(page * P, b"12345", block=name)
    records = front + patch + compressed + build.ram_zero(0, block="ram") + build.ram_eos()
    batch = scan(records)
    number = ROM.first_page if name == "rom" else page
    assert batch.page.tolist() == [0, 1, number, number, 0]
    patch_place = records.index(b"\1\0\5\0\1abc") + OFFSET
    compressed_place = records.index(b"\0\0\0\x0512345") + OFFSET
    assert batch.data_offset.tolist()[2:] == [
        PATCHED | patch_place,
        COMPRESSED | compressed_place,
        ZERO_PAGE,
    ]


def test_only_whole_records_that_say_their_length_are_found() -> None:
    for record in (
        build.ram_patch(P, b"\0\1a", block="ram"),
        build.ram_compressed(P, bytes(9), block="ram"),
    ):
        for kept in range(len(record)):
            batch = scan(record[:kept])
            assert (len(batch.page), batch.end) == (0, OFFSET)
            assert kept < batch.needed <= len(record)


# Damage


def test_what_came_before_a_record_that_makes_no_sense_is_handed_out_first() -> None:
    sound = build.ram_pages("ram", [b""] * 50)
    one = scanner()
    batch = one.scan(memoryview(sound + build.be64(0)), OFFSET)
    assert batch.page.tolist() == list(range(50))
    with pytest.raises(FormatError) as caught:
        one.scan(memoryview(build.be64(0)), batch.end)
    assert caught.value.offset == OFFSET + len(sound)


@pytest.mark.parametrize(
    "records, text",
    [
        (build.ram_zero(0), "a page of the block before, and there is none"),
        (build.ram_zero(3000 * P, block="ram"), r"a page at 0xbb8000 in a block of 0xbb8000 bytes"),
        (build.ram_page((1 << 64) - P, DATA, block="ram"), "a page at 0xfffffffffffff000"),
        (build.ram_zero(0, block="rom") + build.ram_zero(P), "in a block of 0x1000 bytes"),
        (build.be64(0), "flags 0x0 in 0x0 make no sense"),
        (build.be64(0x20), "flags 0x20 in 0x20 make no sense"),
        (build.be64(0x0A) + build.str8("ram") + b"0", "flags 0xa "),
        (build.be64(0x30), "flags 0x30 "),
        (build.be64(P | 0x10), "flags 0x10 in 0x1010 make no sense"),
        (build.be64(0x408), "flags 0x408 "),
    ],
)
def test_records_that_make_no_sense_are_damage(records: bytes, text: str) -> None:
    front = build.ram_zero(0, block="ram") * 40 if "none" not in text else b""
    with pytest.raises(FormatError, match=text) as caught:
        found(front + records + bytes(2 * P))
    last_record = len(records) - 9 if "0x1000 bytes" in text else 0
    assert caught.value.offset == OFFSET + len(front) + last_record


def test_a_block_that_is_not_listed_is_damage() -> None:
    with pytest.raises(FormatError, match="no block is named 'r\xe4m'") as caught:
        scan(build.ram_zero(0, block="r\xe4m"))
    assert caught.value.offset == OFFSET + 9


def test_a_run_that_leaves_its_block_is_damage_where_it_does() -> None:
    records = build.ram_zero(2000 * P, block="ram")
    records += b"".join(build.ram_zero(page * P) for page in range(2001, 3100))
    with pytest.raises(FormatError, match="a page at 0xbb8000") as caught:
        scan(records)
    assert caught.value.offset == OFFSET + len(build.ram_zero(0, block="ram")) + 999 * 9


def test_a_run_does_not_wrap_around_at_the_last_address() -> None:
    top = (1 << 64) - 40 * P
    records = build.ram_zero(0, block="ram")
    records += b"".join(build.ram_zero((top + n * P) % (1 << 64)) for n in range(300))
    with pytest.raises(FormatError, match=f"a page at {top:#x}"):
        scan(records)


@pytest.mark.parametrize(
    "flags, text",
    [
        (build.RAM_HOOK, "RDMA"),
        (build.RAM_MULTIFD_FLUSH, "capability multifd"),
        (build.RAM_MEM_SIZE, "second list of blocks"),
        (0x001, "ancient"),
    ],
)
def test_records_of_other_kinds_are_not_supported(flags: int, text: str) -> None:
    front = build.ram_zero(0, block="ram")
    with pytest.raises(UnsupportedError, match=text) as caught:
        found(front + build.be64(P | flags) + bytes(P))
    assert caught.value.offset == OFFSET + len(front)


@pytest.mark.parametrize(
    "record, text",
    [
        (build.ram_patch(P, b"\0\1a", method=2), "a difference by method 2"),
        (build.ram_patch(P, b"\0\1a", length=P + 1), "a page in 4097 bytes"),
        (build.ram_patch(P, b"\0\1a", length=P + 1, block="rom"), "a page in 4097 bytes"),
        (build.ram_compressed(P, b"", length=P + 15), "a page in 4111 bytes .at most 4110"),
    ],
)
def test_sizes_that_no_page_has_are_damage(record: bytes, text: str) -> None:
    front = build.ram_zero(0, block="ram")
    with pytest.raises(FormatError, match=text) as caught:
        found(front + record)
    assert caught.value.offset == OFFSET + len(front)
