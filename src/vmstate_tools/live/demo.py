"""The VM of the demonstration: the built-in guest, started as a user would start a VM."""

from __future__ import annotations

import re
import shutil
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vmstate_tools.core.errors import HostError, QemuError
from vmstate_tools.guest.image import make_boot_disk, make_data_disk
from vmstate_tools.qemu.process import QemuProcess

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

QEMU = "qemu-system-x86_64"
BOOT_NAME = "system.qcow2"
DATA_NAME = "data.qcow2"
QMP_NAME = "vm.qmp"
CONSOLE_NAME = "console.log"

MEMORY_MIB = 64
DIRTY_MIB = 32
PAGES_PER_TIMER_TICK = 1024
"""At 18.2 timer ticks a second, the guest goes through its memory twice a second."""

ARGV = (
    *(QEMU, "-accel", "tcg", "-m", str(MEMORY_MIB), "-nodefaults", "-display", "none"),
    *("-drive", f"file={BOOT_NAME},if=virtio,node-name=system"),
    *("-drive", f"file={DATA_NAME},if=virtio,node-name=data"),
    *("-serial", f"file:{CONSOLE_NAME}", "-qmp", f"unix:{QMP_NAME},server=on,wait=off"),
)
"""Names are relative to the folder of the VM, so that sockets have short names anywhere."""

TICK_SECONDS = 30.0
"""The guest boots in a second and counts twice a second; a loaded machine takes longer."""

POLL_SECONDS = 0.02

_TICK = re.compile(rb"^tick ([0-9]+)\r?$", re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Console:
    """What a guest prints on its serial port: `tick N`, after every pass over its memory."""

    process: QemuProcess
    log: Path

    def ticks(self) -> list[int]:
        """Return the numbers that it has printed, in order."""
        try:
            return [int(number) for number in _TICK.findall(self.log.read_bytes())]
        except FileNotFoundError:
            return []

    def wait_for(self, count: int) -> list[int]:
        """Wait until it has printed `count` numbers, and return them all.

        Raises:
            QemuError: QEMU ended, or the guest is silent.
        """
        deadline = time.monotonic() + TICK_SECONDS
        while len(ticks := self.ticks()) < count:
            self.process.check_alive()
            if time.monotonic() > deadline:
                problem = f"it printed {len(ticks)} of {count} lines in {TICK_SECONDS:g} s"
                raise QemuError(f"the guest of the demonstration does not count: {problem}")
            time.sleep(POLL_SECONDS)
        return ticks


def check_programs() -> None:
    """Make sure that QEMU is installed.

    Raises:
        HostError: it is not.
    """
    packages = {QEMU: "qemu-system-x86", "qemu-img": "qemu-utils"}
    missing = [name for name in packages if shutil.which(name) is None]
    if missing:
        install = " ".join(packages[name] for name in missing)
        names = " and ".join(missing)
        raise HostError(f"{names} not found; on Debian and Ubuntu: apt-get install {install}")


def make_disks(folder: Path) -> None:
    """Make a disk that boots the guest, and one more that it writes to."""
    make_boot_disk(
        folder / BOOT_NAME, memory_mib=DIRTY_MIB, pages_per_timer_tick=PAGES_PER_TIMER_TICK
    )
    make_data_disk(folder / DATA_NAME)


def start_guest(folder: Path, argv: Sequence[str] = ARGV) -> Console:
    """Start the VM in `folder`."""
    process = QemuProcess.start(argv, directory=folder, working_directory=folder)
    return Console(process=process, log=folder / CONSOLE_NAME)
