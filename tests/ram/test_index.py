from __future__ import annotations

import numpy as np
import pytest

from vmstate_tools.ram import index as index_module
from vmstate_tools.ram.blocks import RamBlock
from vmstate_tools.ram.encodings import COMPRESSED, FILLED, PATCHED
from vmstate_tools.ram.index import PageCounts, PageKind, PageRun, RamIndex
from vmstate_tools.ram.pages import PageBatch

P = 4096
STRIDE = 8 + P
ZERO = 1


def make_index(**page_counts: int) -> RamIndex:
    blocks = []
    first_page = 0
    for name, page_count in page_counts.items():
        blocks.append(
            RamBlock(
                name=name,
                size=page_count * P,
                first_page=first_page,
                page_count=page_count,
                page_size=None,
                address=None,
            )
        )
        first_page += page_count
    return RamIndex(blocks, P)


def apply(index: RamIndex, *records: tuple[int, int]) -> None:
    """Apply pairs of page and data offset."""
    page, data_offset = zip(*records, strict=True) if records else ((), ())
    index.apply(
        PageBatch(
            page=np.array(page, np.int64),
            data_offset=np.array(data_offset, np.uint64),
            end=0,
            needed=8,
            last=True,
        )
    )


def counts(index: RamIndex, name: str = "ram") -> tuple[int, int, int, int]:
    found = index.counts(name)
    assert found.total == index.block(name).page_count
    return found.stored, found.zero, found.absent, found.repeated


@pytest.fixture(params=[1 << 16, 1, 2, 3])
def step_pages(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index_module, "_STEP_PAGES", request.param)


def test_every_page_is_absent_at_first() -> None:
    index = make_index(ram=4)
    assert index.entries("ram").tolist() == [0, 0, 0, 0]
    assert index.counts("ram") == PageCounts(total=4, absent=4)


def test_a_batch_may_be_empty() -> None:
    index = make_index(ram=4)
    apply(index)
    assert counts(index) == (0, 0, 4, 0)


def test_pages_are_counted_by_kind() -> None:
    index = make_index(ram=5)
    apply(index, (0, 100), (1, ZERO), (3, 9000))
    assert index.entries("ram").tolist() == [100, ZERO, 0, 9000, 0]
    assert counts(index) == (2, 1, 2, 0)


@pytest.mark.parametrize("apart", [True, False])
@pytest.mark.parametrize(
    "first, second, stored, zero",
    [(100, 200, 1, 0), (100, ZERO, 0, 1), (ZERO, 100, 1, 0), (ZERO, ZERO, 0, 1)],
)
def test_the_last_copy_of_a_page_wins(
    first: int, second: int, stored: int, zero: int, *, apart: bool
) -> None:
    index = make_index(ram=2)
    if apart:
        apply(index, (1, first))
        apply(index, (1, second))
    else:
        apply(index, (1, first), (1, second))
    assert index.entries("ram").tolist() == [0, second]
    assert counts(index) == (stored, zero, 1, 1)


def test_pages_may_come_in_any_order() -> None:
    index = make_index(ram=6)
    apply(index, (5, 100), (2, 200), (5, ZERO), (0, 300), (2, 400), (5, 500))
    assert index.entries("ram").tolist() == [300, 0, 400, 0, 0, 500]
    assert counts(index) == (3, 0, 3, 3)


def test_blocks_are_counted_each_for_itself() -> None:
    index = make_index(ram=3, empty=0, rom=1, vga=2)
    apply(index, (0, 100), (1, 200), (3, ZERO), (4, 300), (5, 400))
    apply(index, (5, ZERO), (1, 500), (5, 600), (4, 700))
    assert counts(index, "ram") == (2, 0, 1, 1)
    assert counts(index, "empty") == (0, 0, 0, 0)
    assert counts(index, "rom") == (0, 1, 0, 0)
    assert counts(index, "vga") == (2, 0, 0, 3)
    assert index.entries("vga").tolist() == [700, 600]


def test_a_batch_may_leave_out_blocks_in_the_middle() -> None:
    index = make_index(ram=2, rom=2, vga=2)
    apply(index, (1, 100), (4, 200))
    assert [counts(index, name) for name in ("ram", "rom", "vga")] == [
        (1, 0, 1, 0),
        (0, 0, 2, 0),
        (1, 0, 1, 0),
    ]


def test_an_unknown_block_is_a_key_error() -> None:
    with pytest.raises(KeyError):
        make_index(ram=2).counts("rom")


def test_an_absurd_size_costs_no_memory_until_it_is_used() -> None:
    index = make_index(ram=1 << 30)
    apply(index, ((1 << 30) - 1, 100))
    assert counts(index) == (1, 0, (1 << 30) - 1, 0)


# Pages that are taken back


@pytest.mark.usefixtures("step_pages")
def test_pages_that_are_taken_back_are_absent() -> None:
    index = make_index(rom=3, ram=9, vga=2)
    first = index.block("ram").first_page
    apply(index, *((first + page, ZERO if page % 2 else 100 + page) for page in range(8)))
    apply(index, (0, 50), (first + 9, 60))
    index.discard("ram", 2, 3)
    assert index.entries("ram").tolist() == [100, 1, 0, 0, 0, 1, 106, 1, 0]
    assert counts(index, "ram") == (2, 3, 4, 0)
    index.discard("ram", 0, 9)
    assert counts(index, "ram") == (0, 0, 9, 0)
    assert counts(index, "rom") == (1, 0, 2, 0)
    assert counts(index, "vga") == (1, 0, 1, 0)
    apply(index, (first, 300))
    index.discard("ram", 0, 1)
    assert counts(index, "ram") == (0, 0, 9, 0)


def test_taking_back_an_absurd_number_of_pages_costs_no_memory() -> None:
    index = make_index(ram=1 << 30)
    apply(index, (0, 100), ((1 << 30) - 1, 100))
    index.discard("ram", 0, 1 << 30)
    assert counts(index) == (0, 0, 1 << 30, 0)


# Encodings


def test_encoded_pages_count_as_stored() -> None:
    index = make_index(ram=4)
    apply(index, (0, COMPRESSED | 100), (1, FILLED | 200), (2, PATCHED | 300))
    assert counts(index) == (3, 0, 1, 0)


@pytest.mark.parametrize("apart", [True, False])
def test_a_patch_knows_what_it_changes(*, apart: bool) -> None:
    index = make_index(ram=9)
    records = [
        *[(8, PATCHED | 10), (3, 500), (4, ZERO), (3, PATCHED | 20), (8, PATCHED | 30)],
        *[(4, COMPRESSED | 600), (4, PATCHED | 40), (3, PATCHED | 50), (5, PATCHED | 60), (5, 700)],
    ]
    for part in [[record] for record in records] if apart else [records]:
        apply(index, *part)
    entries = index.entries("ram").tolist()
    assert entries[5] == 700
    assert index.patches.chain(entries[3]) == (500, [20, 50])
    assert index.patches.chain(entries[4]) == (COMPRESSED | 600, [40])
    assert index.patches.chain(entries[8]) == (0, [10, 30])
    assert len(index.patches) == 6


# Runs


def run(kind: PageKind, first_page: int, page_count: int, data_offset: int = 0) -> PageRun:
    return PageRun(
        kind=kind,
        first_page=first_page,
        page_count=page_count,
        data_offset=data_offset,
        data_stride=STRIDE if kind is PageKind.STORED else 0,
    )


@pytest.mark.usefixtures("step_pages")
def test_runs_cover_every_page_once_in_order() -> None:
    index = make_index(rom=3, ram=12)
    first = index.block("ram").first_page
    entries = [0, 0, ZERO, ZERO, ZERO, 100, 100 + STRIDE, 100 + 2 * STRIDE, 50, 50 + P, 0]
    apply(index, *((first + page, entry) for page, entry in enumerate(entries) if entry))
    assert list(index.iter_runs("ram")) == [
        run(PageKind.ABSENT, 0, 2),
        run(PageKind.ZERO, 2, 3),
        run(PageKind.STORED, 5, 3, 100),
        run(PageKind.STORED, 8, 1, 50),
        run(PageKind.STORED, 9, 1, 50 + P),
        run(PageKind.ABSENT, 10, 2),
    ]


@pytest.mark.usefixtures("step_pages")
def test_a_zero_page_is_no_part_of_a_run_of_stored_ones() -> None:
    index = make_index(ram=2)
    apply(index, (0, ZERO), (1, ZERO + STRIDE))
    assert [found.page_count for found in index.iter_runs("ram")] == [1, 1]


@pytest.mark.usefixtures("step_pages")
def test_encoded_pages_are_runs_without_a_place() -> None:
    index = make_index(ram=8)
    entries = [100, COMPRESSED | 5000, COMPRESSED | 5000 + STRIDE, COMPRESSED | 6000]
    entries += [FILLED | 6001, PATCHED | 7000, PATCHED | 9000, ZERO]
    apply(index, *enumerate(entries))
    assert list(index.iter_runs("ram")) == [
        run(PageKind.STORED, 0, 1, 100),
        run(PageKind.COMPRESSED, 1, 3),
        run(PageKind.FILLED, 4, 1),
        run(PageKind.PATCHED, 5, 2),
        run(PageKind.ZERO, 7, 1),
    ]


def test_a_block_that_was_never_mentioned_is_one_run() -> None:
    assert list(make_index(ram=200_000).iter_runs("ram")) == [run(PageKind.ABSENT, 0, 200_000)]


def test_an_empty_block_has_no_runs() -> None:
    assert list(make_index(ram=0).iter_runs("ram")) == []
