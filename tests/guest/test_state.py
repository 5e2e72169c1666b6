from __future__ import annotations

from typing import Any

import pytest

from builders.guest_memory import GuestMemory, disk_record
from vmstate_tools.core.errors import FormatError
from vmstate_tools.guest.state import DiskState, read_guest_state


def test_state_says_how_far_the_guest_is() -> None:
    memory = GuestMemory(counter=7, position=3, page_count=8)
    state = read_guest_state(memory.read)
    assert (state.counter, state.pages_written, state.page_count) == (7, 3, 8)
    assert state.page_address(2) == 0x202000


def test_a_completed_pass_has_written_all_pages_whatever_the_position() -> None:
    memory = GuestMemory(counter=7, completed=7, position=0, page_count=8)
    assert read_guest_state(memory.read).pages_written == 8


def test_state_knows_every_disk_in_the_order_of_the_bios() -> None:
    memory = GuestMemory(disks=[disk_record(5, 4), disk_record(3, 2, 0x103)])
    assert read_guest_state(memory.read).disks == (
        DiskState(writing=5, written=4, status=0),
        DiskState(writing=3, written=2, status=0x103),
    )


def test_memory_without_the_guest_is_refused_by_address() -> None:
    memory = GuestMemory(magic=bytes(8))
    with pytest.raises(FormatError, match=r"^ram: byte 0x9000 \(guest.magic\): the built-in"):
        read_guest_state(memory.read, "ram")


@pytest.mark.parametrize(
    "fields",
    [
        {"counter": 7, "completed": 5},
        {"counter": 7, "completed": 8},
        {"position": 9, "page_count": 8},
        {"page_count": 2**32 - 1},
        {"region_start": 0},
        {"disk_count": 5},
    ],
)
def test_numbers_that_contradict_each_other_are_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(FormatError, match=r"byte 0x9000 \(guest.state\): impossible state"):
        read_guest_state(GuestMemory(**fields).read)
