from __future__ import annotations

import struct
import subprocess
from typing import TYPE_CHECKING

import pytest

from vmstate_tools.core.errors import FormatError, TruncatedError, UsageError
from vmstate_tools.guest.disks import DiskCounter, check_disk, read_disk_counter
from vmstate_tools.guest.image import DiskFormat, make_data_disk
from vmstate_tools.guest.state import DiskState, GuestState

if TYPE_CHECKING:
    from pathlib import Path

STATE = GuestState(
    counter=9,
    pages_written=0,
    page_count=1,
    region_start=0x200000,
    disks=(
        DiskState(writing=9, written=8, status=0),
        DiskState(writing=8, written=8, status=0),
        DiskState(writing=0, written=0, status=0),
    ),
)


def write_sector(path: Path, disk_format: str, sector: bytes) -> None:
    content = path.with_suffix(".sector")
    content.write_bytes(sector.ljust(512, b"\0"))
    command = ["qemu-io", "-f", disk_format, "-c", f"write -s {content} 65536 512", str(path)]
    subprocess.run(command, check=True, capture_output=True)


@pytest.mark.parametrize("disk_format", ["raw", "qcow2"])
def test_the_counter_is_read_from(tmp_path: Path, disk_format: DiskFormat) -> None:
    path = tmp_path / "disk"
    make_data_disk(path, disk_format=disk_format)
    write_sector(path, disk_format, struct.pack("<8sQB", b"VMSGDISK", 2**33, 0x81))
    assert read_disk_counter(path, disk_format) == DiskCounter(counter=2**33, index=1)


@pytest.mark.parametrize("disk_format", ["raw", "qcow2"])
def test_a_disk_never_written_holds_no_counter(tmp_path: Path, disk_format: DiskFormat) -> None:
    path = tmp_path / "disk"
    make_data_disk(path, disk_format=disk_format)
    assert read_disk_counter(path, disk_format) == DiskCounter(counter=0, index=None)


def test_the_counter_is_read_through_an_overlay(tmp_path: Path) -> None:
    base, overlay = tmp_path / "base", tmp_path / "overlay"
    make_data_disk(base)
    write_sector(base, "qcow2", struct.pack("<8sQB", b"VMSGDISK", 4, 0x80))
    options = ("-q", "-f", "qcow2", "-F", "qcow2", "-b", str(base))
    subprocess.run(["qemu-img", "create", *options, str(overlay)], check=True)
    assert read_disk_counter(overlay, "qcow2").counter == 4


@pytest.mark.parametrize("disk_format", ["raw", "qcow2"])
def test_a_disk_of_somebody_else_is_refused(tmp_path: Path, disk_format: DiskFormat) -> None:
    path = tmp_path / "disk"
    make_data_disk(path, disk_format=disk_format)
    write_sector(path, disk_format, b"EFI PART")
    with pytest.raises(FormatError, match=r"disk: byte 0x10000 \(guest.disk\): not the built-in"):
        read_disk_counter(path, disk_format)


def test_a_raw_disk_that_is_too_small_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "disk"
    path.write_bytes(bytes(65536 + 500))
    with pytest.raises(TruncatedError, match="ends 12 bytes too early"):
        read_disk_counter(path, "raw")


def test_a_qcow2_disk_that_is_too_small_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "disk"
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", path, "64K"], check=True)
    with pytest.raises(TruncatedError, match="ends 512 bytes too early"):
        read_disk_counter(path, "qcow2")


@pytest.mark.parametrize("disk_format", ["raw", "qcow2"])
def test_a_missing_disk_is_named(tmp_path: Path, disk_format: DiskFormat) -> None:
    with pytest.raises(UsageError, match="none: No such file"):
        read_disk_counter(tmp_path / "none", disk_format)


@pytest.mark.parametrize(
    "index, counter, verdict",
    [
        (0, 7, "torn: the disk holds 7, memory says 8, and 9 on its way"),
        (0, 8, "one moment: the disk holds 8, memory says 8, and 9 on its way"),
        (0, 9, "one moment: the disk holds 9, memory says 8, and 9 on its way"),
        (0, 10, "torn: the disk holds 10, memory says 8, and 9 on its way"),
        (1, 8, "one moment: the disk holds 8, memory says 8"),
        (1, 9, "torn: the disk holds 9, memory says 8"),
    ],
)
def test_a_disk_holds_what_was_written_or_what_is_on_its_way(
    index: int, counter: int, verdict: str
) -> None:
    assert str(check_disk(STATE, DiskCounter(counter=counter, index=index))) == verdict


def test_a_disk_never_written_agrees_with_memory_that_says_so() -> None:
    assert check_disk(STATE, DiskCounter(counter=0, index=None), 2).one_moment
    assert not check_disk(STATE, DiskCounter(counter=0, index=None), 1).one_moment


@pytest.mark.parametrize(
    "disk, name",
    [
        (DiskCounter(counter=0, index=None), "a disk that was never written"),
        (DiskCounter(counter=8, index=3), "disk 3"),
    ],
)
def test_a_disk_that_the_guest_does_not_know_is_refused(disk: DiskCounter, name: str) -> None:
    with pytest.raises(UsageError, match=f"^{name}: the guest writes to 3 disks"):
        check_disk(STATE, disk)
