"""A real QEMU loads what was edited, and shows the new values."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Protocol

import pytest

from migrating import load, save
from vmstate_tools.cli.main import run
from vmstate_tools.device.address import find_field, parse_field_path
from vmstate_tools.snapshot.open import open_snapshot

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from conftest import StartVm
    from vms import Vm

DEVICES = ("-device", "e1000,romfile=,addr=05.0")
MEMORY_MIB = 16
PCI_INTERRUPT_LINE = 0x3C
SET_CLOCK = "mc146818rtc::base_rtc=916358400"  # 15 January 1999


class LoadEdited(Protocol):
    """Edits a state, and loads it."""

    def __call__(self, *settings: str, paused: bool = ..., machine: str = ...) -> Vm:
        """Do it; without `paused` the run state decides."""


@pytest.fixture
def save_new(start_vm: StartVm, short_path: Path) -> Callable[[str], Path]:
    """Save a VM that never ran."""

    def start(machine: str) -> Path:
        vm = start_vm("-S", *DEVICES, machine=machine, memory_mib=MEMORY_MIB)
        save(vm, short_path / "saved")
        return short_path / "saved"

    return start


@pytest.fixture
def saved(save_new: Callable[[str], Path]) -> Path:
    return save_new("pc")


@pytest.fixture
def load_edited(start_vm: StartVm, short_path: Path) -> LoadEdited:
    saved, edited = short_path / "saved", short_path / "edited"

    def start(*settings: str, paused: bool = True, machine: str = "pc") -> Vm:
        words = [word for setting in settings for word in ("--set", setting)]
        assert run(["edit", str(saved), *words, "-o", str(edited)]) == 0
        more = ["-S"] if paused else []
        incoming = ("-incoming", "defer")
        vm = start_vm(*more, *incoming, *DEVICES, machine=machine, memory_mib=MEMORY_MIB)
        load(vm, edited)
        return vm

    return start


def value_of(file: Path, name: str) -> object:
    path = parse_field_path(name)
    with open_snapshot(file) as snapshot:
        (device,) = (one for one in snapshot.devices if one.label == path.device)
        decoded = snapshot.decode(device)
        assert decoded is not None
        return find_field(decoded, path).to_plain()


@pytest.mark.usefixtures("saved")
def test_registers_are_those_that_were_set(load_edited: LoadEdited) -> None:
    vm = load_edited(
        "cpu::env.regs[0]=0x12345678",
        "cpu::env.regs[7]=4294967295",
        "cpu::env.eip=4660",
        "cpu::env.cr[3]=0x5000",
        "cpu::env.segs[3]::base=0xabc0",
        "cpu::env.segs[3]::selector=0xabc",
    )
    said = vm.hmp("info registers")
    for shown in ("EAX=12345678", "EDI=ffffffff", "EIP=00001234", "CR3=00005000"):
        assert shown in said
    assert "DS =0abc 0000abc0" in said


@pytest.mark.usefixtures("saved")
def test_device_fields_are_those_that_were_set(load_edited: LoadEdited) -> None:
    vm = load_edited("i8259#0::imr=0x5a", "i8259#1::irr=3", "hpet::config=1", SET_CLOCK)
    pic = vm.hmp("info pic")
    assert re.search(r"pic0: irr=\w+ imr=5a", pic)
    assert re.search(r"pic1: irr=03", pic)
    assert "0x0000000000000001" in vm.hmp("xp /1gx 0xfed00010")
    said = vm.qmp("qom-get", path="/machine", property="rtc-time")
    assert (said["tm_mday"], said["tm_mon"], said["tm_year"]) == (15, 0, 99)


def test_buffer_is_the_one_that_was_set(load_edited: LoadEdited, saved: Path) -> None:
    field = "0000:00:05.0/e1000#0::parent_obj::config[0]"
    config = bytearray.fromhex(str(value_of(saved, field)))
    config[PCI_INTERRUPT_LINE] = 11
    vm = load_edited(f"{field}={config.hex()}")
    assert re.search(r"device   5, .*?IRQ 11,", vm.hmp("info pci"), re.DOTALL)


@pytest.mark.usefixtures("saved")
def test_subsection_is_loaded_and_saved_again_as_it_was_set(
    load_edited: LoadEdited, short_path: Path
) -> None:
    field = "cpu#0::cpu/poll_control_msr::env.poll_control_msr"
    save(load_edited(f"{field}=0x77"), short_path / "again")
    assert value_of(short_path / "again", field) == 0x77


@pytest.mark.parametrize("state", ["running", "paused", "shutdown", "suspended", "io-error"])
@pytest.mark.usefixtures("saved")
def test_run_state_is_the_one_that_was_set(load_edited: LoadEdited, state: str) -> None:
    assert load_edited(f"globalstate={state}", paused=False).status == state


def test_machine_is_the_one_that_was_set(
    load_edited: LoadEdited, save_new: Callable[[str], Path]
) -> None:
    save_new("pc-i440fx-2.12")
    setting = "machine=pc-i440fx-3.0"
    vm = load_edited(setting, "globalstate=paused", paused=False, machine="pc-i440fx-3.0")
    assert vm.status == "paused"
