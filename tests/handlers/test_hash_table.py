from __future__ import annotations

import pytest

from builders import handlers as h
from builders.payloads import read_payloads
from vmstate_tools.core.errors import FormatError, TruncatedError
from vmstate_tools.handlers.hash_table import HashTableContent, HashTableReader

LAST = (1 << 18) // 16


def content(table: int | None, stored: int = 0, invalid: int = 0) -> HashTableContent:
    return HashTableContent(table_bytes=table, stored_entries=stored, invalid_entries=invalid)


def test_entries_are_counted_through_all_sections() -> None:
    found = read_payloads(
        HashTableReader,
        h.hash_table(21),
        h.hash_runs(h.hash_run(5, bytes(48), invalid=2), h.hash_run(100, invalid=7)),
        h.hash_runs(),
        h.hash_runs(h.hash_run(5, bytes(16))),
    )
    assert found == content(1 << 21, stored=4, invalid=9)


def test_a_guest_may_have_no_hash_table() -> None:
    assert read_payloads(HashTableReader, h.hash_table(0xFFFFFFFF)) == content(None)


def test_a_table_may_grow_or_go_on_the_way() -> None:
    sizes = [h.hash_table(18), h.hash_runs(), h.hash_table(19)]
    assert read_payloads(HashTableReader, *sizes) == content(1 << 19)
    assert read_payloads(HashTableReader, *sizes, h.hash_table(0xFFFFFFFF)) == content(None)


def test_the_last_entry_belongs_to_the_table() -> None:
    runs = h.hash_runs(h.hash_run(LAST - 2, bytes(16), invalid=1))
    assert read_payloads(HashTableReader, h.hash_table(18), runs) == content(1 << 18, 1, 1)


@pytest.mark.parametrize("stored, invalid", [(2, 1), (1, 2), (0, 3)])
def test_entries_outside_of_the_table_are_refused(stored: int, invalid: int) -> None:
    runs = h.hash_runs(h.hash_run(LAST - 2, bytes(16 * stored), invalid=invalid))
    with pytest.raises(FormatError, match=f"up to {LAST + 1}, in a table of {LAST}") as caught:
        read_payloads(HashTableReader, h.hash_table(18), runs)
    assert caught.value.offset == 4


def test_entries_without_a_table_are_refused() -> None:
    with pytest.raises(FormatError, match="in a table of 0"):
        read_payloads(HashTableReader, h.hash_runs(h.hash_run(0, bytes(16))))


@pytest.mark.parametrize("shift", [1, 17, 47, 0xFFFFFFFE])
def test_a_size_that_no_table_has_is_refused(shift: int) -> None:
    with pytest.raises(FormatError, match=rf"2\^{shift} bytes"):
        read_payloads(HashTableReader, h.hash_table(shift))


def test_entries_that_are_cut_off_are_truncated() -> None:
    with pytest.raises(TruncatedError) as caught:
        read_payloads(HashTableReader, h.hash_table(18), h.hash_table(0) + h.hash_run(0, stored=9))
    assert caught.value.offset == 12
