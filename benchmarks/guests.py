"""The guests that are measured: the built-in one, doing nothing or as much as it can."""

from __future__ import annotations

import tempfile
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import vms
from vmstate_tools.guest.image import make_boot_disk, make_data_disk

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.effort import Effort
    from vms import Qemu, Vm

UNTOUCHED_MIB = 4
"""Low memory, where the program is, and the last MiB: the guest does not write there."""

LINUX_SECONDS = 300.0

WARM_UP_TICKS = 2
"""Passes over its memory before anything is measured: every page has been written by then."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """How much the guest writes."""

    name: str
    pages_per_timer_tick: int
    """Pages between two waits for the 18.2 Hz timer; 0: it never waits."""
    dirty_mib: int | None
    """Memory that it writes to, over and over; None: all of it."""


IDLE = Workload(name="idle", pages_per_timer_tick=64, dirty_mib=1)
FLAT_OUT = Workload(name="flat out", pages_per_timer_tick=0, dirty_mib=None)


def find_qemus(effort: Effort) -> list[Qemu]:
    """Return the QEMUs to measure with, the system's own first.

    Raises:
        SystemExit: there is none.
    """
    found = [qemu for qemu in (vms.system_qemu(), vms.newer_qemu()) if qemu is not None]
    if not found:
        raise SystemExit("no QEMU is installed: run scripts/install-qemu --for-tests")
    return found[: effort.qemu_count]


@contextmanager
def running_guest(
    qemu: Qemu, workload: Workload, memory_mib: int, disk_count: int = 2
) -> Iterator[Vm]:
    """Start a fresh guest with qcow2 disks `disk0`, ... and wait until it is at work.

    Its folder is there for whatever belongs to it, and goes with it.
    """
    with tempfile.TemporaryDirectory(prefix="vmsb-") as name:
        folder = Path(name)
        disks = [folder / f"disk{number}.qcow2" for number in range(disk_count)]
        make_boot_disk(
            disks[0],
            memory_mib=workload.dirty_mib or memory_mib - UNTOUCHED_MIB,
            pages_per_timer_tick=workload.pages_per_timer_tick,
        )
        for disk in disks[1:]:
            make_data_disk(disk)
        vm = vms.start_vm(qemu, folder / "vm", memory_mib=memory_mib, disks=disks)
        try:
            vm.wait_for_tick(WARM_UP_TICKS)
            yield vm
        finally:
            vm.kill()


@contextmanager
def running_linux(qemu: Qemu, memory_mib: int, used_mib: int) -> Iterator[Vm]:
    """Start a Linux guest and wait until it has filled a file in its memory.

    Raises:
        SystemExit: it was not prepared.
        TimeoutError: it does not get there.
    """
    arguments = vms.linux_arguments(stamp_kib=used_mib << 10)
    if arguments is None:
        raise SystemExit("there is no Linux guest: run scripts/install-qemu --for-tests")
    with tempfile.TemporaryDirectory(prefix="vmsb-") as folder:
        vm = vms.start_vm(qemu, Path(folder) / "vm", *arguments, memory_mib=memory_mib)
        try:
            deadline = time.monotonic() + LINUX_SECONDS
            while not any("is up" in line for line in vm.serial_lines()):
                if time.monotonic() > deadline:
                    raise TimeoutError(f"Linux is not up after {LINUX_SECONDS:g} s")
                time.sleep(0.1)
            yield vm
        finally:
            vm.kill()
