"""Judge the disks of the built-in guest: are they of the same moment as its memory?"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vmstate_tools.core.errors import FormatError, TruncatedError, UsageError
from vmstate_tools.core.qemu_img import run_qemu_img
from vmstate_tools.guest.layout import (
    COUNTER_SECTOR,
    DISK_MAGIC,
    DISK_SECTOR,
    FIRST_DRIVE,
    SECTOR_BYTES,
)

if TYPE_CHECKING:
    from pathlib import Path

    from vmstate_tools.guest.image import DiskFormat
    from vmstate_tools.guest.state import DiskState, GuestState

COUNTER_OFFSET = COUNTER_SECTOR * SECTOR_BYTES


@dataclass(frozen=True, slots=True, kw_only=True)
class DiskCounter:
    """What the guest has left on a disk."""

    counter: int
    """The pass after which it was written; 0: never."""
    index: int | None
    """Which disk it was to the BIOS, from 0; None if it was never written."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DiskVerdict:
    """A disk beside what memory says of it."""

    counter: int
    """What the disk holds."""
    state: DiskState
    """What memory says."""

    @property
    def one_moment(self) -> bool:
        """Tell whether disk and memory are of the same instant."""
        return self.counter in {self.state.writing, self.state.written}

    def __str__(self) -> str:
        """Say it in one line."""
        writing, written = self.state.writing, self.state.written
        said = f"{written}" if writing == written else f"{written}, and {writing} on its way"
        verdict = "one moment" if self.one_moment else "torn"
        return f"{verdict}: the disk holds {self.counter}, memory says {said}"


def read_disk_counter(path: Path, disk_format: DiskFormat) -> DiskCounter:
    """Read the counter from a disk, through its backing chain; QEMU may have it open.

    Raises:
        UsageError: there is no such file.
        FormatError: something else than the guest has written there.
        TruncatedError: the disk is too small.
        HostError: qemu-img is needed and not installed, or fails.
    """
    sector = _read_raw(path) if disk_format == "raw" else _read_with_qemu_img(path, disk_format)
    if len(sector) < SECTOR_BYTES:
        problem = f"the disk ends {SECTOR_BYTES - len(sector)} bytes too early"
        raise TruncatedError(problem, source=str(path), offset=COUNTER_OFFSET, field="guest.disk")
    if not any(sector):
        return DiskCounter(counter=0, index=None)
    magic, counter, drive = DISK_SECTOR.unpack_from(sector)
    if magic != DISK_MAGIC:
        problem = f"not the built-in guest's (magic {magic!r}, expected {DISK_MAGIC!r})"
        raise FormatError(problem, source=str(path), offset=COUNTER_OFFSET, field="guest.disk")
    return DiskCounter(counter=counter, index=drive - FIRST_DRIVE)


def check_disk(state: GuestState, disk: DiskCounter, index: int | None = None) -> DiskVerdict:
    """Compare a disk with what memory says of it.

    Args:
        index: Which disk it is to the BIOS; needed for a disk that was never written.

    Raises:
        UsageError: the guest does not know a disk of that index.
    """
    known = disk.index if index is None else index
    if known is None or known >= len(state.disks):
        name = "a disk that was never written" if known is None else f"disk {known}"
        raise UsageError(f"{name}: the guest writes to {len(state.disks)} disks; which is it?")
    return DiskVerdict(counter=disk.counter, state=state.disks[known])


def _read_raw(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            file.seek(COUNTER_OFFSET)
            return file.read(SECTOR_BYTES)
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}") from error


def _read_with_qemu_img(path: Path, disk_format: DiskFormat) -> bytes:
    if not path.exists():
        raise UsageError(f"{path}: No such file or directory")
    with tempfile.NamedTemporaryFile(prefix="vmstate-guest-") as start:
        # From the start of the disk, because QEMU 7.2's `count` includes what `skip` skips.
        # -U: a running QEMU holds a lock, but one sector is read whole or not at all.
        blocks = (f"bs={COUNTER_OFFSET + SECTOR_BYTES}", "count=1")
        files = (f"if={path.absolute()}", f"of={start.name}")
        run_qemu_img("dd", "-U", "-f", disk_format, "-O", "raw", *blocks, *files)
        start.seek(COUNTER_OFFSET)
        return start.read(SECTOR_BYTES)
