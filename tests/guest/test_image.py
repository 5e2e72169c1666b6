from __future__ import annotations

import struct
import subprocess
from typing import TYPE_CHECKING

import pytest

from vmstate_tools.core.errors import HostError, QemuError, UsageError
from vmstate_tools.guest.image import MIN_SIZE_BYTES, DiskFormat, make_boot_disk, make_data_disk

if TYPE_CHECKING:
    from pathlib import Path


def read_as_raw(path: Path, disk_format: str) -> bytes:
    raw = path.with_suffix(".out")
    subprocess.run(["qemu-img", "convert", "-f", disk_format, "-O", "raw", path, raw], check=True)
    return raw.read_bytes()


@pytest.mark.parametrize("disk_format", ["raw", "qcow2"])
def test_a_boot_disk_holds_the_program_with_its_parameters(
    tmp_path: Path, disk_format: DiskFormat
) -> None:
    path = tmp_path / "boot"
    make_boot_disk(
        path,
        disk_format=disk_format,
        memory_mib=48,
        pages_per_timer_tick=77,
        write_disks=False,
        size_bytes=1 << 20,
    )
    content = read_as_raw(path, disk_format)
    assert struct.unpack_from("<8s3I", content, 8) == (b"VMSGUEST", 48, 77, 0)
    assert content[510:512] == b"\x55\xaa"
    assert len(content) == 1 << 20


def test_a_boot_disk_writes_disks_unless_told_otherwise(tmp_path: Path) -> None:
    make_boot_disk(tmp_path / "boot", disk_format="raw")
    assert struct.unpack_from("<I", (tmp_path / "boot").read_bytes(), 0x18) == (1,)


@pytest.mark.parametrize("disk_format", ["raw", "qcow2"])
def test_a_data_disk_is_zeros(tmp_path: Path, disk_format: DiskFormat) -> None:
    path = tmp_path / "data"
    make_data_disk(path, disk_format=disk_format, size_bytes=MIN_SIZE_BYTES)
    assert read_as_raw(path, disk_format) == bytes(MIN_SIZE_BYTES)


def test_an_existing_file_stays_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "boot"
    path.write_bytes(b"precious")
    with pytest.raises(UsageError, match="exists already"):
        make_boot_disk(path)
    assert path.read_bytes() == b"precious"


@pytest.mark.parametrize("memory_mib", [-1, 2047])
def test_memory_outside_the_region_is_refused(tmp_path: Path, memory_mib: int) -> None:
    with pytest.raises(UsageError, match=rf"^memory to dirty: {memory_mib} MiB \(expected 0 to"):
        make_boot_disk(tmp_path / "boot", memory_mib=memory_mib)


@pytest.mark.parametrize("pages", [-1, 2**32])
def test_a_speed_that_does_not_fit_is_refused(tmp_path: Path, pages: int) -> None:
    with pytest.raises(UsageError, match=rf"^pages per timer tick: {pages} "):
        make_boot_disk(tmp_path / "boot", pages_per_timer_tick=pages)


@pytest.mark.parametrize("size_bytes", [0, MIN_SIZE_BYTES - 512, MIN_SIZE_BYTES + 1])
def test_a_size_without_room_for_the_counter_is_refused(tmp_path: Path, size_bytes: int) -> None:
    with pytest.raises(UsageError, match=f"data: {size_bytes} bytes"):
        make_data_disk(tmp_path / "data", size_bytes=size_bytes)


def test_a_missing_qemu_img_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(HostError, match=r"^qemu-img: No such file"):
        make_data_disk(tmp_path / "data")
    assert list(tmp_path.iterdir()) == []


def test_what_qemu_img_complains_about_is_passed_on(tmp_path: Path) -> None:
    with pytest.raises(QemuError, match=r"^qemu-img create: .*too large"):
        make_data_disk(tmp_path / "data", size_bytes=1 << 62)
