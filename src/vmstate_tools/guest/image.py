"""Make disks for the built-in guest: one that boots it, others that it only writes to."""

from __future__ import annotations

import tempfile
from importlib import resources
from pathlib import Path
from typing import Literal

from vmstate_tools.core.atomic import atomic_write
from vmstate_tools.core.errors import UsageError
from vmstate_tools.core.qemu_img import run_qemu_img
from vmstate_tools.guest.layout import (
    COUNTER_SECTOR,
    FLAG_WRITE_DISKS,
    MAX_MEMORY_MIB,
    PARAMETERS,
    PARAMETERS_MAGIC,
    PARAMETERS_OFFSET,
    SECTOR_BYTES,
)

DiskFormat = Literal["raw", "qcow2"]

DEFAULT_SIZE_BYTES = 16 << 20
MIN_SIZE_BYTES = (COUNTER_SECTOR + 1) * SECTOR_BYTES
MAX_PAGES_PER_TIMER_TICK = 0xFFFFFFFF


def make_boot_disk(
    path: Path,
    *,
    disk_format: DiskFormat = "qcow2",
    memory_mib: int = 16,
    pages_per_timer_tick: int = 1024,
    write_disks: bool = True,
    size_bytes: int = DEFAULT_SIZE_BYTES,
) -> None:
    """Make a disk that boots the guest.

    Args:
        memory_mib: Memory to dirty from 2 MiB on, in MiB; a smaller machine dirties what it has.
        pages_per_timer_tick: Pages between two waits for the 18.2 Hz timer; 0: never wait.
        write_disks: Write the counter to all disks, this one included, after every pass.
        size_bytes: Size of the disk, whole sectors of 512 bytes.

    Raises:
        UsageError: `path` exists, or a value is out of range.
        HostError: writing failed, or qemu-img is needed and not installed.
    """
    program = _program(memory_mib, pages_per_timer_tick, write_disks=write_disks)
    _make_disk(path, program, disk_format, size_bytes)


def make_data_disk(
    path: Path, *, disk_format: DiskFormat = "qcow2", size_bytes: int = DEFAULT_SIZE_BYTES
) -> None:
    """Make an empty disk, for the guest to write its counter to.

    Raises:
        UsageError: `path` exists, or the size is out of range.
        HostError: writing failed, or qemu-img is needed and not installed.
    """
    _make_disk(path, b"", disk_format, size_bytes)


def _program(memory_mib: int, pages_per_timer_tick: int, *, write_disks: bool) -> bytes:
    """Return the program with its parameter block filled in."""
    if not 0 <= memory_mib <= MAX_MEMORY_MIB:
        raise UsageError(f"memory to dirty: {memory_mib} MiB (expected 0 to {MAX_MEMORY_MIB})")
    if not 0 <= pages_per_timer_tick <= MAX_PAGES_PER_TIMER_TICK:
        raise UsageError(f"pages per timer tick: {pages_per_timer_tick} (expected 0 to 2^32 - 1)")
    program = bytearray(resources.files(__package__).joinpath("guest.bin").read_bytes())
    flags = FLAG_WRITE_DISKS if write_disks else 0
    PARAMETERS.pack_into(
        program, PARAMETERS_OFFSET, PARAMETERS_MAGIC, memory_mib, pages_per_timer_tick, flags
    )
    return bytes(program)


def _make_disk(path: Path, content: bytes, disk_format: DiskFormat, size_bytes: int) -> None:
    if size_bytes < MIN_SIZE_BYTES or size_bytes % SECTOR_BYTES:
        raise UsageError(
            f"size of {path}: {size_bytes} bytes (expected at least {MIN_SIZE_BYTES}, "
            f"in sectors of {SECTOR_BYTES})"
        )
    with atomic_write(path) as file:
        if disk_format == "raw":
            file.write(content)
            file.truncate(size_bytes)
        else:
            _write_qcow2(Path(file.name), content, size_bytes)


def _write_qcow2(path: Path, content: bytes, size_bytes: int) -> None:
    target = str(path.absolute())
    run_qemu_img("create", "-q", "-f", "qcow2", target, str(size_bytes))
    if content:
        with tempfile.NamedTemporaryFile(prefix="vmstate-guest-") as raw:
            raw.write(content)
            raw.flush()
            run_qemu_img("convert", "-n", "-f", "raw", "-O", "qcow2", raw.name, target)
