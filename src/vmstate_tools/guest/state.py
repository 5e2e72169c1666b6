"""What the built-in guest says about itself, in one page of low memory."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from vmstate_tools.core.errors import FormatError
from vmstate_tools.guest.layout import (
    DISK,
    DISKS_OFFSET,
    MAX_DISKS,
    PAGE_BYTES,
    REGION_ADDRESS,
    REGION_LIMIT,
    STATE,
    STATE_ADDRESS,
    STATE_BYTES,
    STATE_MAGIC,
)

ReadMemory = Callable[[int, int], bytes | bytearray | memoryview]
"""Guest-physical address and length to so many bytes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DiskState:
    """What the guest knows of one of its disks."""

    writing: int
    """Counter that it was about to write, or has written."""
    written: int
    """Counter that the BIOS confirmed last; 0: none."""
    status: int
    """0, or 0x100 + the BIOS error after which the disk was given up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GuestState:
    """The guest at one instant: pages below `pages_written` hold `counter`, others one less."""

    counter: int
    """The pass that was begun last; 0 before the first."""
    pages_written: int
    """Pages that hold `counter`; `page_count` after the pass, while disks are written."""
    page_count: int
    """Pages in the region."""
    region_start: int
    """Guest-physical address of page 0."""
    disks: tuple[DiskState, ...]
    """In the order of the BIOS; empty if the guest was told to leave them alone."""

    def page_address(self, page: int) -> int:
        """Guest-physical address of a page of the region."""
        return self.region_start + page * PAGE_BYTES


def read_guest_state(read: ReadMemory, source: str = "guest memory") -> GuestState:
    """Read the state page.

    Args:
        source: What error messages call the memory.

    Raises:
        FormatError: no guest has set itself up there, or its numbers contradict each other.
    """
    page = bytes(read(STATE_ADDRESS, STATE_BYTES))
    magic, counter, completed, position, page_count, start, disk_count = STATE.unpack_from(page)
    if magic != STATE_MAGIC:
        problem = f"the built-in guest is not there (magic {magic!r}, expected {STATE_MAGIC!r})"
        raise FormatError(problem, source=source, offset=STATE_ADDRESS, field="guest.magic")
    # Between two passes the position is stale for an instant; the end of one counts.
    pages_written = page_count if counter == completed else position
    sound = (
        counter - completed in {0, 1}
        and pages_written <= page_count <= (REGION_LIMIT - REGION_ADDRESS) // PAGE_BYTES
        and start == REGION_ADDRESS
        and disk_count <= MAX_DISKS
    )
    if not sound:
        problem = (
            f"impossible state (counter {counter}, completed {completed}, page {position} of "
            f"{page_count} at {start:#x}, {disk_count} disks)"
        )
        raise FormatError(problem, source=source, offset=STATE_ADDRESS, field="guest.state")
    return GuestState(
        counter=counter,
        pages_written=pages_written,
        page_count=page_count,
        region_start=start,
        disks=tuple(
            _read_disk(page, DISKS_OFFSET + index * DISK.size) for index in range(disk_count)
        ),
    )


def _read_disk(page: bytes, offset: int) -> DiskState:
    writing, written, status = DISK.unpack_from(page, offset)
    return DiskState(writing=writing, written=written, status=status)
