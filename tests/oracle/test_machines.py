"""The machines that other tests rely on do what those rely on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from vmstate_tools.guest.disks import read_disk_counter

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from conftest import StartGuest, StartVm
    from vms import Qemu, Vm


def test_qemu_answers_on_its_control_socket(start_vm: StartVm, qemu: Qemu) -> None:
    vm = start_vm("-S")
    version = vm.qmp("query-version")["qemu"]
    assert "{major}.{minor}.{micro}".format(**version) == qemu.version
    assert vm.status == "prelaunch"


def test_events_carry_their_time(start_vm: StartVm) -> None:
    vm = start_vm()
    vm.qmp("stop")
    vm.qmp("cont")
    stop, resume = vm.qmp.wait_for_event("STOP"), vm.qmp.wait_for_event("RESUME")
    assert 0 < resume.seconds - stop.seconds < 10


def test_built_in_guest_writes_to_every_disk(built_in_guest: StartGuest, tmp_path: Path) -> None:
    vm = built_in_guest(disk_count=2)
    tick = vm.wait_for_tick(3)
    for number in range(2):
        assert read_disk_counter(tmp_path / f"disk{number}.qcow2", "qcow2").counter >= tick


@pytest.mark.slow
def test_linux_guest_stamps_memory_and_both_disks(
    linux_guest: Callable[[], Vm], qemu: Qemu, tmp_path: Path
) -> None:
    vm = linux_guest()
    tick = vm.wait_for_tick(2)
    vm.kill()
    stamps = [qemu.read_disk(tmp_path / f"disk{number}.qcow2", 0, 512) for number in range(2)]
    assert "linux guest is up, disks: vda vdb" in vm.serial_lines()
    assert not [line for line in vm.serial_lines() if "torn" in line]
    assert all(int(stamp.split()[1]) >= tick for stamp in stamps)


@pytest.mark.slow
def test_linux_guest_tells_a_disk_that_is_not_of_its_moment(
    start_vm: StartVm, linux: list[str | Path], qemu: Qemu, tmp_path: Path
) -> None:
    disk = qemu.make_disk(tmp_path / "disk.qcow2")
    node = f"driver=qcow2,node-name=disk,file.driver=file,file.filename={disk}"
    shared = ["-blockdev", node, "-device", "virtio-blk-pci,drive=disk,share-rw=on"]
    vm = start_vm(*linux, *shared, memory_mib=256)
    vm.wait_for_tick(1)
    while not any("torn" in line for line in vm.serial_lines()):
        # A stamp that the guest is about to replace anyway goes unnoticed.
        assert vm.hmp('qemu-io disk "write -P 0 0 512"') == ""
        assert vm.wait_for_next_tick() < 50
    torn = next(line for line in vm.serial_lines() if "torn" in line)
    assert torn.startswith("torn vda, expected")
