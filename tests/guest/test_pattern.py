from __future__ import annotations

import numpy as np
import pytest

from builders.guest_memory import FILL_END, FILL_START, REGION_ADDRESS, GuestMemory
from vmstate_tools.core.errors import TruncatedError
from vmstate_tools.guest import pattern
from vmstate_tools.guest.pattern import NO_PASS, check_memory, registers_agree


@pytest.mark.parametrize("counter", [1, 2, 2**32, 2**40 + 3])
@pytest.mark.parametrize("position", [0, 1, 5, 8])
def test_pages_up_to_the_position_and_the_pass_before_are_one_moment(
    counter: int, position: int
) -> None:
    verdict = check_memory(GuestMemory(counter=counter, position=position, page_count=8).read)
    assert verdict.one_moment
    assert str(verdict) == f"one moment (pass {counter}, {position} of 8 pages)"


def test_the_instant_before_the_first_pass_is_one_moment() -> None:
    assert check_memory(GuestMemory(counter=0, completed=0).read).one_moment


def test_no_pages_at_all_are_one_moment() -> None:
    assert check_memory(GuestMemory(page_count=0).read).one_moment


def test_the_instant_between_two_passes_is_one_moment() -> None:
    assert check_memory(GuestMemory(counter=5, completed=5, position=0).read).one_moment


def test_more_pages_than_one_chunk_are_one_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pattern, "CHUNK_PAGES", 3)
    assert check_memory(GuestMemory(position=4, border_words=9).read).one_moment


@pytest.mark.parametrize("border_words", range(1, 129))
def test_the_page_at_the_border_may_be_written_in_part(border_words: int) -> None:
    verdict = check_memory(GuestMemory(position=2, border_words=border_words).read)
    assert verdict.one_moment
    least, greatest = verdict.border_words
    assert least <= border_words <= greatest


def test_a_page_written_in_part_elsewhere_is_torn() -> None:
    memory = GuestMemory(counter=5, position=2)
    memory.write_page(4, 5, words=64)
    verdict = check_memory(memory.read)
    assert not verdict.one_moment
    assert verdict.wrong_pages.tolist() == [4]
    assert verdict.wrong_passes.tolist() == [NO_PASS]


def test_a_border_page_written_out_of_order_is_torn() -> None:
    memory = GuestMemory(counter=5, position=2, border_words=64)
    memory.put(REGION_ADDRESS + 2 * 4096 + 12, bytes(4))
    assert check_memory(memory.read).wrong_pages.tolist() == [2]


def test_the_next_page_already_written_is_torn() -> None:
    memory = GuestMemory(counter=5, position=2)
    memory.write_page(3, 5)
    verdict = check_memory(memory.read)
    assert verdict.wrong_pages.tolist() == [3]
    assert verdict.wrong_passes.tolist() == [5]


def test_pages_of_a_later_moment_are_named_with_their_pass() -> None:
    memory = GuestMemory(counter=5, position=2, page_count=8)
    for page in range(4, 8):
        memory.write_page(page, 9 if page < 7 else 8)
    verdict = check_memory(memory.read)
    assert str(verdict) == (
        "torn: 4 pages disagree with the state (pass 5, 2 of 8 pages): "
        "pages 4 to 6 are of pass 9; page 7 is of pass 8"
    )


def test_lost_pages_are_of_pass_zero() -> None:
    memory = GuestMemory(page_count=8)
    memory.put(REGION_ADDRESS + 6 * 4096, bytes(2 * 4096))
    assert str(check_memory(memory.read)).endswith(": pages 6 to 7 are of pass 0")


def test_pages_that_changed_places_are_damaged() -> None:
    memory = GuestMemory(page_count=8)
    one, two = (REGION_ADDRESS + page * 4096 for page in (5, 6))
    content = memory.read(one, 4096), memory.read(two, 4096)
    memory.put(two, content[0])
    memory.put(one, content[1])
    assert str(check_memory(memory.read)).endswith(": pages 5 to 6 are damaged")


@pytest.mark.parametrize("offset", [0, 8, 13, 63, 64, 511, 512, 4095])
@pytest.mark.parametrize("page", [1, 2, 6])
def test_a_changed_byte_anywhere_is_found(page: int, offset: int) -> None:
    memory = GuestMemory(counter=5, position=2)
    memory.data[REGION_ADDRESS + page * 4096 + offset] ^= 0x40
    assert check_memory(memory.read).wrong_pages.tolist() == [page]


def test_a_torn_first_pass_is_found() -> None:
    memory = GuestMemory(counter=1, position=2)
    memory.write_page(5, 1)
    assert check_memory(memory.read).wrong_passes.tolist() == [1]


def test_many_runs_are_counted_not_listed() -> None:
    memory = GuestMemory(counter=5, page_count=40)
    for page in range(1, 40, 2):
        memory.write_page(page, 9)
    text = str(check_memory(memory.read))
    assert text.count("of pass 9") == pattern.MAX_RUNS_SHOWN
    assert text.endswith("; 12 more runs")


def test_wrong_pages_are_numpy_arrays_of_one_length() -> None:
    memory = GuestMemory()
    memory.write_page(3, 9)
    verdict = check_memory(memory.read)
    assert verdict.wrong_pages.dtype == np.uint32
    assert verdict.wrong_passes.dtype == np.uint64
    assert verdict.wrong_pages.shape == verdict.wrong_passes.shape == (1,)


def test_memory_that_ends_too_early_says_by_how_much() -> None:
    memory = GuestMemory(page_count=8)
    del memory.data[-100:]
    with pytest.raises(TruncatedError, match=r"^ram: byte 0x200000 .* ends 100 bytes too early"):
        check_memory(memory.read, "ram")


@pytest.mark.parametrize("words", [1, 15, 16, 17, 100, 127])
def test_registers_agree_when_the_next_store_is_at_the_border(words: int) -> None:
    memory = GuestMemory(position=2, border_words=words)
    edi = REGION_ADDRESS + 2 * 4096 + words // 16 * 512 + words % 16 * 4
    assert registers_agree(memory.read, check_memory(memory.read), eip=FILL_START, edi=edi)


@pytest.mark.parametrize("distance", [-4096, -12, 12, 512, 4096])
def test_registers_of_another_instant_disagree(distance: int) -> None:
    memory = GuestMemory(position=2, border_words=20)
    edi = REGION_ADDRESS + 2 * 4096 + 512 + 4 * 4 + distance
    agree = registers_agree(memory.read, check_memory(memory.read), eip=FILL_START, edi=edi)
    assert agree is False


def test_registers_say_nothing_outside_the_code_that_writes_pages() -> None:
    memory = GuestMemory()
    verdict = check_memory(memory.read)
    assert registers_agree(memory.read, verdict, eip=FILL_END, edi=0) is None
