"""Device values are those that a stopped QEMU shows, and every byte of every device has one."""

from __future__ import annotations

import re
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from vmstate_tools.device.address import find_field, parse_field_path
from vmstate_tools.snapshot.open import Snapshot, open_snapshot

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from conftest import StartVm
    from vms import Vm

BIOS_SECONDS = 0.4
SAVE_SECONDS = 60.0
HPET_CONFIG = 0xFED00010
REGISTERS = ("AX", "CX", "DX", "BX", "SP", "BP", "SI", "DI")
SEGMENTS = ("ES", "CS", "SS", "DS", "FS", "GS")


def null_disk(device: str, number: int) -> list[str]:
    node = f"driver=null-co,node-name=null{number},size=4194304,read-zeroes=on"
    return ["-blockdev", node, "-device", f"{device},drive=null{number}"]


DEVICES: dict[str, tuple[str, list[str]]] = {
    "pc-virtio": (
        "pc",
        [
            *null_disk("virtio-blk-pci", 0),
            *("-device", "virtio-net-pci,romfile=", "-device", "virtio-rng-pci"),
            *("-device", "virtio-scsi-pci,id=scsi"),
            *null_disk("scsi-hd,bus=scsi.0", 1),
            *("-device", "virtio-serial-pci", "-chardev", "null,id=port"),
            *("-device", "virtserialport,chardev=port", "-device", "virtio-balloon-pci"),
            *("-device", "virtio-gpu-pci"),
        ],
    ),
    "pc-classic": (
        "pc",
        [
            *("-vga", "std", "-device", "e1000,romfile=", "-device", "rtl8139,romfile="),
            *("-device", "piix3-usb-uhci,id=uhci", "-device", "usb-tablet,bus=uhci.0"),
            *("-device", "lsi53c895a,id=lsi", "-device", "sdhci-pci", "-smp", "2"),
            *null_disk("scsi-hd,bus=lsi.0", 0),
            *null_disk("ide-hd", 1),
        ],
    ),
    "q35-usb-ahci": (
        "q35",
        [
            *("-device", "ich9-ahci,id=ahci", "-device", "pcie-root-port,id=root0"),
            *null_disk("ide-hd,bus=ahci.0", 0),
            *("-device", "usb-ehci,id=ehci", "-device", "usb-tablet,bus=ehci.0"),
            *("-device", "qemu-xhci,id=xhci", "-device", "usb-kbd,bus=xhci.0"),
            *("-device", "e1000e,romfile=,bus=root0", "-device", "intel-hda"),
            *("-audiodev", "none,id=sound", "-device", "hda-duplex,audiodev=sound"),
            *("-vga", "std"),
        ],
    ),
    "microvm": ("microvm", ["-device", "virtio-rng-device"]),
    "no-footers": ("pc", ["-global", "migration.send-section-footer=off"]),
}
"""Machine and arguments: as many kinds of devices as can be saved."""


@contextmanager
def saved(vm: Vm) -> Iterator[Snapshot]:
    file: Path = vm.folder / "state"
    vm.qmp("migrate", uri=f"exec:cat > {file}.part && mv {file}.part {file}")
    deadline = time.monotonic() + SAVE_SECONDS
    while not (file.exists() and vm.qmp("query-migrate").get("status") == "completed"):
        assert time.monotonic() < deadline, vm.qmp("query-migrate")
        time.sleep(0.01)
    with open_snapshot(file) as snapshot:
        yield snapshot


def run_the_bios_a_while(vm: Vm) -> None:
    time.sleep(BIOS_SECONDS)
    vm.qmp("stop")


def value_of(snapshot: Snapshot, path: str) -> object:
    wanted = parse_field_path(path)
    (device,) = (device for device in snapshot.devices if device.label == wanted.device)
    decoded = snapshot.decode(device)
    assert decoded is not None
    return find_field(decoded, wanted).to_plain()


def hex_values(text: str, pattern: str) -> list[int]:
    return [int(digits, 16) for digits in re.findall(pattern, text)]


@pytest.mark.parametrize("machine, arguments", DEVICES.values(), ids=list(DEVICES))
def test_every_byte_of_every_device_is_explained(
    start_vm: StartVm, machine: str, arguments: list[str]
) -> None:
    vm = start_vm(*arguments, machine=machine, memory_mib=16)
    run_the_bios_a_while(vm)
    with saved(vm) as snapshot:
        assert len(snapshot.devices) > 10
        for device in snapshot.devices:
            assert device.problem is None
            decoded = snapshot.decode(device)
            assert decoded is not None
            assert decoded.problems == ()
            assert decoded.values.size == device.size


def test_cpu_registers_are_those_of_the_monitor(start_vm: StartVm) -> None:
    vm = start_vm(machine="q35", memory_mib=16)
    run_the_bios_a_while(vm)
    said = vm.hmp("info registers")
    with saved(vm) as snapshot:
        general = [hex_values(said, rf"\b[ER]{name}=(\w+)")[0] for name in REGISTERS]
        assert value_of(snapshot, "cpu#0::env.regs") == [*general, *[0] * 8]
        assert value_of(snapshot, "cpu#0::env.eip") == hex_values(said, r"\b[ER]IP=(\w+)")[0]
        for number in (0, 2, 3, 4):
            shown = hex_values(said, rf"\bCR{number}=(\w+)")[0]
            assert value_of(snapshot, f"cpu#0::env.cr[{number}]") == shown
        for number, name in enumerate(SEGMENTS):
            path = f"cpu#0::env.segs[{number}]"
            (shown_segment,) = re.findall(rf"^{name} =(\w+) (\w+) (\w+)", said, re.MULTILINE)
            parts = [value_of(snapshot, f"{path}::{part}") for part in ("selector", "base")]
            assert parts == [int(digits, 16) for digits in shown_segment[:2]]


def test_device_registers_are_those_that_the_guest_would_read(start_vm: StartVm) -> None:
    vm = start_vm(machine="pc", memory_mib=16)
    run_the_bios_a_while(vm)
    hpet = hex_values(vm.hmp(f"xp /1gx {HPET_CONFIG:#x}"), r": 0x(\w+)")
    pic = vm.hmp("info pic")
    with saved(vm) as snapshot:
        assert [value_of(snapshot, "hpet#0::config")] == hpet
        found = re.findall(r"pic(\d): irr=(\w+) imr=(\w+) isr=(\w+)", pic)
        assert len(found) == 2
        for number, *masks in found:
            names = (f"i8259#{number}::{name}" for name in ("irr", "imr", "isr"))
            shown = [int(mask, 16) for mask in masks]
            assert [value_of(snapshot, name) for name in names] == shown


def test_pci_configuration_is_that_of_the_monitor(start_vm: StartVm) -> None:
    vm = start_vm("-device", "e1000,romfile=,addr=05.0", machine="pc", memory_mib=16)
    run_the_bios_a_while(vm)
    (ids,) = re.findall(
        r"Bus  0, device   5, .*?PCI device (\w{4}):(\w{4})", vm.hmp("info pci"), re.DOTALL
    )
    with saved(vm) as snapshot:
        config = value_of(snapshot, "0000:00:05.0/e1000#0::parent_obj::config[0]")
        assert isinstance(config, str)
        head = bytes.fromhex(config)[:4]
        shown = [int(digits, 16) for digits in ids]
        assert [int.from_bytes(head[i : i + 2], "little") for i in (0, 2)] == shown
