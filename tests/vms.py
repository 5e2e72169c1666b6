"""Real virtual machines for tests."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from plain_qmp import PlainQmp, QmpEvent

if TYPE_CHECKING:
    from collections.abc import Sequence

START_SECONDS = 20.0
TICK = re.compile(r"^tick (\d+)$")


def test_cache() -> Path:
    """Return the folder that `scripts/install-qemu --for-tests` fills."""
    user_cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(os.environ.get("VMSTATE_TEST_CACHE") or Path(user_cache) / "vmstate-tools")


@dataclass(frozen=True, slots=True, kw_only=True)
class Qemu:
    """A QEMU: its two programs."""

    system: Path
    img: Path

    @property
    def version(self) -> str:
        """As it says itself: `7.2.22`."""
        said = subprocess.run(
            [self.system, "--version"], capture_output=True, text=True, check=True
        ).stdout
        return said.split()[3]

    def make_disk(self, path: Path, *, mib: int = 64, backing: Path | None = None) -> Path:
        """Make a qcow2 image, empty or on top of the qcow2 image `backing`."""
        base = [] if backing is None else ["-b", str(backing), "-F", "qcow2"]
        size = [] if backing is not None else [f"{mib}M"]
        subprocess.run(
            [self.img, "create", "-q", "-f", "qcow2", *base, path, *size],
            capture_output=True,
            check=True,
        )
        return path

    def read_disk(self, path: Path, offset: int, length: int) -> bytes:
        """Return what a guest would read from a qcow2 image that no QEMU has open.

        Args:
            offset: In bytes. `offset + length` is a multiple of 512.
        """
        raw = path.with_suffix(".raw")
        blocks = [f"if={path}", f"of={raw}", "bs=512", f"count={(offset + length) // 512}"]
        subprocess.run(
            [self.img, "dd", "-f", "qcow2", "-O", "raw", *blocks],
            capture_output=True,
            check=True,
        )
        data = raw.read_bytes()
        raw.unlink()
        return data[offset:]


def system_qemu() -> Qemu | None:
    """Return the installed QEMU."""
    found = shutil.which("qemu-system-x86_64"), shutil.which("qemu-img")
    return _qemu(*(Path(path) for path in found if path))


def newer_qemu() -> Qemu | None:
    """Return the QEMU 10.0 that the test cache holds."""
    folder = test_cache() / "qemu-10/bin"
    return _qemu(*(path for path in (folder / "qemu-system-x86_64", folder / "qemu-img")))


def _qemu(*programs: Path) -> Qemu | None:
    if len(programs) != 2 or not all(program.exists() for program in programs):
        return None
    return Qemu(system=programs[0], img=programs[1])


@dataclass(slots=True, kw_only=True)
class Vm:
    """A QEMU process, by TCG, without default devices.

    It has two QMP sockets, since each serves one client at a time: `qmp` is connected to the
    one, and the other, `qmp_path`, is for the code under test.
    """

    folder: Path
    """Short enough for sockets in it. Holds `serial.log` and `stderr.log` too."""
    command: list[str]
    process: subprocess.Popen[bytes]
    _qmp: PlainQmp | None = field(default=None, repr=False)

    @property
    def pid(self) -> int:
        """Process id of QEMU."""
        return self.process.pid

    @property
    def qmp_path(self) -> Path:
        """The QMP socket that nobody is connected to."""
        return self.folder / "qmp"

    @property
    def qmp(self) -> PlainQmp:
        """The test's own QMP connection: `vm.qmp("query-status")`."""
        assert self._qmp is not None
        return self._qmp

    @property
    def events(self) -> list[QmpEvent]:
        """All events up to now."""
        return list(self.qmp.events)

    @property
    def status(self) -> str:
        """The run state."""
        return str(self.qmp("query-status")["status"])

    def hmp(self, line: str) -> str:
        """Run a command of the human monitor and return what it prints."""
        return str(self.qmp("human-monitor-command", command_line=line))

    def serial_lines(self) -> list[str]:
        """Whole lines that the guest has printed."""
        text = (self.folder / "serial.log").read_text(encoding="utf-8", errors="replace")
        return [line.rstrip("\r") for line in text.split("\n")[:-1]]

    def ticks(self) -> list[int]:
        """The N of every `tick N` that the guest has printed, in order."""
        matches = (TICK.match(line) for line in self.serial_lines())
        return [int(match[1]) for match in matches if match]

    def wait_for_tick(self, number: int, seconds: float = 60.0) -> int:
        """Wait until the guest has printed `tick number` or a later one; return the latest."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            ticks = self.ticks()
            if ticks and ticks[-1] >= number:
                return ticks[-1]
            self._assert_alive()
            time.sleep(0.01)
        last = self.serial_lines()[-5:]
        raise TimeoutError(f"no `tick {number}` within {seconds} s; the guest's last words: {last}")

    def wait_for_next_tick(self, seconds: float = 60.0) -> int:
        """Wait until the guest prints one more tick: it runs."""
        ticks = self.ticks()
        return self.wait_for_tick(ticks[-1] + 1 if ticks else 0, seconds)

    def stderr(self) -> str:
        """What QEMU has complained about."""
        return (self.folder / "stderr.log").read_text(encoding="utf-8", errors="replace")

    def kill(self) -> None:
        """End it at once, by SIGKILL."""
        if self._qmp is not None:
            self._qmp.close()
        self.process.kill()
        self.process.wait()

    def connect(self) -> None:
        """Wait until QEMU listens, and connect."""
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            self._assert_alive()
            try:
                self._qmp = PlainQmp(self.folder / "test-qmp")
            except (FileNotFoundError, ConnectionRefusedError):
                time.sleep(0.005)
            else:
                return
        raise TimeoutError(f"QEMU does not listen after {START_SECONDS} s: {self.stderr()}")

    def _assert_alive(self) -> None:
        code = self.process.poll()
        assert code is None, f"QEMU ended with {code}: {self.stderr()}"


def start_vm(
    qemu: Qemu,
    folder: Path,
    *arguments: str | Path,
    memory_mib: int = 32,
    machine: str = "pc",
    disks: Sequence[Path] = (),
) -> Vm:
    """Start a VM and connect to it. Whoever starts it calls `kill`.

    Args:
        folder: An empty folder with a short path.
        arguments: More of QEMU's command line; with `-S` the guest does not run yet.
        disks: qcow2 images, each a virtio disk with node name `disk0`, `disk1`, ...
    """
    folder.mkdir(exist_ok=True)
    command: list[Any] = [
        *(qemu.system, "-accel", "tcg", "-machine", machine, "-m", f"{memory_mib}M"),
        *("-nodefaults", "-display", "none"),
        *("-qmp", f"unix:{folder / 'qmp'},server=on,wait=off"),
        *("-chardev", f"socket,id=test-qmp,path={folder / 'test-qmp'},server=on,wait=off"),
        *("-mon", "chardev=test-qmp,mode=control"),
        *("-chardev", f"file,id=serial,path={folder / 'serial.log'},append=on"),
        *("-serial", "chardev:serial"),
        *disk_arguments(disks),
        *arguments,
    ]
    command = [str(word) for word in command]
    with (folder / "stderr.log").open("ab") as stderr:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=stderr
        )
    vm = Vm(folder=folder, command=command, process=process)
    try:
        vm.connect()
    except BaseException:
        vm.kill()
        raise
    return vm


def disk_arguments(disks: Sequence[Path]) -> list[str]:
    """Return the arguments for qcow2 images as virtio disks `disk0`, `disk1`, ..."""
    words = []
    for number, disk in enumerate(disks):
        node = f"driver=qcow2,node-name=disk{number},file.driver=file,file.filename={disk}"
        words += ["-blockdev", node, "-device", f"virtio-blk-pci,drive=disk{number}"]
    return words


def linux_arguments(*, stamp_kib: int = 256) -> list[str | Path] | None:
    """Return the arguments that boot the Linux test guest, or None if it was not prepared.

    Args:
        stamp_kib: How much memory it stamps in each round (scripts/testbed/init.sh).
    """
    folder = test_cache() / "linux-guest"
    kernel, initramfs = folder / "vmlinuz", folder / "initramfs.cpio"
    if not initramfs.exists():
        return None
    line = f"console=ttyS0 quiet panic=-1 stamp_kib={stamp_kib}"
    return ["-kernel", kernel, "-initrd", initramfs, "-append", line]
