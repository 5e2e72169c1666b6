from __future__ import annotations

import re
import subprocess
import time
from typing import TYPE_CHECKING

import pytest

from vmstate_tools.guest.disks import check_disk, read_disk_counter
from vmstate_tools.guest.image import DiskFormat, make_boot_disk, make_data_disk
from vmstate_tools.guest.layout import STATE_ADDRESS
from vmstate_tools.guest.pattern import check_memory, registers_agree
from vmstate_tools.guest.state import GuestState, ReadMemory, read_guest_state

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import StartVm
    from vms import Qemu, Vm

MEMORY_MIB = 8
BUSES = {"ide": "ide-hd", "virtio": "virtio-blk-pci"}


def drive(path: Path, disk_format: str, device: str, *, read_only: bool = False) -> list[str]:
    node = f"driver={disk_format},file.driver=file,file.filename={path},node-name={path.stem}"
    access = f"read-only={'on' if read_only else 'off'},file.locking=off"
    return ["-blockdev", f"{node},{access}", "-device", f"{device},drive={path.stem}"]


def dump_memory(vm: Vm, name: str = "memory") -> bytes:
    path = vm.folder / name
    vm.qmp("pmemsave", val=0, size=(MEMORY_MIB + 2) << 20, filename=str(path))
    return path.read_bytes()


def reader(memory: bytes) -> ReadMemory:
    return lambda address, length: memory[address : address + length]


def guest_state(vm: Vm) -> GuestState:
    return read_guest_state(reader(dump_memory(vm)))


def quit_qemu(vm: Vm) -> None:
    vm.qmp("quit")
    vm.process.wait(30)


@pytest.mark.parametrize("disk_format", ["raw", "qcow2"])
@pytest.mark.parametrize("bus", BUSES)
@pytest.mark.parametrize("machine", ["pc", "q35"])
def test_a_stopped_guest_has_disk_and_memory_of_one_moment(
    start_vm: StartVm, tmp_path: Path, machine: str, bus: str, disk_format: DiskFormat
) -> None:
    path = tmp_path / "boot"
    make_boot_disk(path, disk_format=disk_format, memory_mib=MEMORY_MIB, pages_per_timer_tick=0)
    vm = start_vm(*drive(path, disk_format, BUSES[bus]), machine=machine)
    vm.wait_for_tick(3)
    vm.qmp("stop")
    verdict = check_memory(reader(dump_memory(vm)))
    quit_qemu(vm)
    assert verdict.one_moment, str(verdict)
    assert verdict.state.page_count == MEMORY_MIB * 256
    ticks = vm.ticks()
    assert ticks == list(range(1, len(ticks) + 1))
    assert ticks[-1] in {verdict.state.counter, verdict.state.counter - 1}
    disk = check_disk(verdict.state, read_disk_counter(path, disk_format))
    assert disk.one_moment, str(disk)
    assert disk.counter in {verdict.state.counter, verdict.state.counter - 1}


@pytest.fixture
def flat_out(start_vm: StartVm, tmp_path: Path) -> Vm:
    """A guest that does nothing but dirty memory, and has done so for a while."""
    path = tmp_path / "boot"
    make_boot_disk(path, memory_mib=MEMORY_MIB, pages_per_timer_tick=0, write_disks=False)
    vm = start_vm(disks=[path])
    vm.wait_for_tick(2)
    return vm


def test_every_stop_finds_one_moment_and_registers_that_agree(flat_out: Vm) -> None:
    agreed = 0
    for _ in range(20):
        flat_out.qmp("stop")
        read = reader(dump_memory(flat_out))
        verdict = check_memory(read)
        registers = flat_out.hmp("info registers")
        flat_out.qmp("cont")
        eip, edi = (
            int(re.search(rf"{name}=([0-9a-f]+)", registers)[1], 16)  # type: ignore[index]
            for name in ("[ER]IP", "[ER]DI")
        )
        agree = registers_agree(read, verdict, eip=eip, edi=edi)
        assert verdict.one_moment, str(verdict)
        assert agree is not False
        agreed += agree is True
    assert agreed


def test_memory_of_two_moments_is_torn(flat_out: Vm) -> None:
    flat_out.qmp("stop")
    early = dump_memory(flat_out)
    flat_out.qmp("cont")
    flat_out.wait_for_tick(flat_out.ticks()[-1] + 3)
    flat_out.qmp("stop")
    late = dump_memory(flat_out)
    half = len(early) // 2
    verdict = check_memory(reader(early[:half] + late[half:]))
    assert not verdict.one_moment
    assert verdict.wrong_pages[0] == (half - (2 << 20)) // 4096
    assert verdict.wrong_pages.size == (len(early) - half) // 4096


def test_memory_dumped_while_the_guest_runs_on_is_torn(flat_out: Vm) -> None:
    flat_out.qmp("stop")
    early = dump_memory(flat_out)
    flat_out.qmp("cont")
    flat_out.wait_for_next_tick()
    flat_out.qmp("stop")
    late = dump_memory(flat_out)
    state = slice(STATE_ADDRESS, STATE_ADDRESS + 4096)
    mixed = bytearray(late)
    mixed[state] = early[state]
    assert not check_memory(reader(bytes(mixed))).one_moment


def test_a_guest_told_to_leave_the_disks_alone_does(flat_out: Vm, tmp_path: Path) -> None:
    flat_out.qmp("stop")
    assert guest_state(flat_out).disks == ()
    quit_qemu(flat_out)
    assert read_disk_counter(tmp_path / "boot", "qcow2").index is None


def test_every_disk_is_written_and_says_which_it_is(start_vm: StartVm, tmp_path: Path) -> None:
    boot, others = tmp_path / "boot", [tmp_path / "one", tmp_path / "two", tmp_path / "three"]
    make_boot_disk(boot, memory_mib=1, pages_per_timer_tick=0)
    for other in others:
        make_data_disk(other)
    vm = start_vm(memory_mib=16, disks=[boot, *others])
    vm.wait_for_tick(2)
    vm.qmp("stop")
    state = guest_state(vm)
    quit_qemu(vm)
    found = [read_disk_counter(path, "qcow2") for path in (boot, *others)]
    assert found[0].index == 0
    assert sorted(disk.index for disk in found if disk.index is not None) == [0, 1, 2, 3]
    assert all(check_disk(state, disk).one_moment for disk in found)


def test_a_read_only_disk_is_given_up_and_the_others_go_on(
    start_vm: StartVm, tmp_path: Path
) -> None:
    boot, other = tmp_path / "boot", tmp_path / "other"
    make_boot_disk(boot, memory_mib=1, pages_per_timer_tick=0)
    make_data_disk(other)
    vm = start_vm(*drive(other, "qcow2", "virtio-blk-pci", read_only=True), disks=[boot])
    vm.wait_for_tick(3)
    vm.qmp("stop")
    written, refused = guest_state(vm).disks
    assert (written.status, refused.written) == (0, 0)
    assert written.written >= 2
    assert refused.status & 0x100


def test_a_second_boot_knows_what_the_first_has_written(start_vm: StartVm, tmp_path: Path) -> None:
    quick, slow, data = (tmp_path / name for name in ("quick", "slow", "data"))
    make_boot_disk(quick, memory_mib=1, pages_per_timer_tick=0)
    make_boot_disk(slow, memory_mib=1, pages_per_timer_tick=1)
    make_data_disk(data)
    first = start_vm(disks=[quick, data])
    first.wait_for_tick(5)
    quit_qemu(first)
    left = read_disk_counter(data, "qcow2").counter
    second = start_vm(disks=[slow, data])
    deadline = time.monotonic() + 10
    while dump_memory(second)[STATE_ADDRESS : STATE_ADDRESS + 8] != b"VMSGSTAT":
        assert time.monotonic() < deadline
    state = guest_state(second)
    assert state.counter < left
    assert state.disks[1].written == state.disks[1].writing == left


def test_a_small_machine_dirties_what_it_has(start_vm: StartVm, tmp_path: Path) -> None:
    path = tmp_path / "boot"
    make_boot_disk(path, memory_mib=512, pages_per_timer_tick=0)
    vm = start_vm(memory_mib=10, disks=[path])
    vm.wait_for_tick(2)
    vm.qmp("stop")
    verdict = check_memory(reader(dump_memory(vm)))
    assert verdict.one_moment, str(verdict)
    assert 6 * 256 < verdict.state.page_count < 7 * 256


def test_a_guest_without_memory_to_dirty_counts(start_vm: StartVm, tmp_path: Path) -> None:
    path = tmp_path / "boot"
    make_boot_disk(path, memory_mib=0)
    vm = start_vm(disks=[path])
    vm.wait_for_tick(2)
    vm.qmp("stop")
    assert guest_state(vm).page_count == 0


def test_a_paced_guest_dirties_no_faster_than_told(start_vm: StartVm, tmp_path: Path) -> None:
    path = tmp_path / "boot"
    make_boot_disk(path, memory_mib=1, pages_per_timer_tick=256)
    vm = start_vm(disks=[path])
    start_tick, start_seconds = vm.wait_for_tick(2), time.monotonic()
    ticks = vm.wait_for_tick(start_tick + 9) - start_tick
    assert ticks / (time.monotonic() - start_seconds) < 1.3 * 18.2


def test_a_machine_without_a_serial_port_is_as_good(qemu: Qemu, tmp_path: Path) -> None:
    path = tmp_path / "boot"
    make_boot_disk(path, disk_format="raw", memory_mib=1, pages_per_timer_tick=0)
    machine = ("-accel", "tcg", "-m", "16M", "-nodefaults", "-display", "none")
    disk = drive(path, "raw", "ide-hd")
    process = subprocess.Popen([qemu.system, *machine, *disk], stdin=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 20
        while read_disk_counter(path, "raw").counter < 3:
            assert time.monotonic() < deadline
            time.sleep(0.02)
    finally:
        process.kill()
        process.wait()
