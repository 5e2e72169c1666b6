"""What we make of a recorded command line, a real QEMU takes, beside the original VM."""

from __future__ import annotations

import json
import re
import socket
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from plain_qmp import PlainQmp
from vmstate_tools.guest.image import DiskFormat, make_boot_disk
from vmstate_tools.live.capture import Request as CaptureRequest
from vmstate_tools.live.capture import capture
from vmstate_tools.live.eager import Restored, restore_eager
from vmstate_tools.live.plan import Request, plan_restore
from vmstate_tools.qemu.images import FreshDisk, replace_images
from vmstate_tools.qemu.options import CommandLine

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from conftest import StartVm
    from vms import Qemu


def libvirt(boot: Path) -> list[str]:
    file = {"driver": "file", "filename": str(boot), "node-name": "storage", "discard": "unmap"}
    image = {"node-name": "format", "read-only": False, "driver": "qcow2", "file": "storage"}
    device = {"driver": "virtio-blk-pci", "drive": "format", "id": "virtio-disk0"}
    words = ("-blockdev", json.dumps(file), "-blockdev", json.dumps(image))
    return [*words, "-device", json.dumps(device)]


def proxmox(boot: Path) -> list[str]:
    cache = "cache=writeback,aio=threads,detect-zeroes=on,iops_rd=100000"
    return [
        *("-drive", f"file={boot},if=none,id=drive-scsi0,format=qcow2,{cache}"),
        *("-device", "virtio-scsi-pci,id=scsihw0"),
        *("-device", "scsi-hd,bus=scsihw0.0,scsi-id=0,drive=drive-scsi0,id=scsi0"),
    ]


def raw_node(boot: Path) -> list[str]:
    node = f"driver=file,filename={boot},node-name=d,aio=threads,discard=unmap"
    return ["-blockdev", node, "-device", "ide-hd,drive=d"]


def throttled(boot: Path) -> list[str]:
    return [
        *("-object", "throttle-group,id=g,x-iops-total=100000"),
        *("-blockdev", f"driver=file,filename={boot},node-name=f"),
        *("-blockdev", "driver=throttle,throttle-group=g,file=f,node-name=t"),
        *("-blockdev", "driver=raw,file=t,node-name=d", "-device", "virtio-blk-pci,drive=d"),
    ]


STYLES: dict[str, tuple[DiskFormat, Callable[[Path], list[str]]]] = {
    "image": ("raw", lambda boot: [str(boot)]),
    "hda": ("qcow2", lambda boot: ["-hda", str(boot)]),
    "drive": ("raw", lambda boot: ["-drive", f"file={boot},format=raw,if=virtio,file.locking=on"]),
    "libvirt": ("qcow2", libvirt),
    "proxmox": ("qcow2", proxmox),
    "raw node": ("raw", raw_node),
}


@pytest.mark.parametrize("style", STYLES)
def test_a_disk_of_any_style_is_replaced_by_its_overlay(
    start_vm: StartVm, short_path: Path, style: str
) -> None:
    disk_format, words = STYLES[style]
    boot = short_path / "boot"
    make_boot_disk(boot, disk_format=disk_format, memory_mib=1, pages_per_timer_tick=32)
    vm = start_vm(*words(boot))
    vm.wait_for_tick(2)
    capture(CaptureRequest(socket=vm.qmp_path, directory=short_path / "snap"), lambda _: None)
    with restored_vm(short_path) as restored:
        (overlay,) = restored.plan.overlays
        assert overlay.path.exists()
        vm.wait_for_next_tick()


def test_filters_between_disk_and_file_stay_in_between(
    start_vm: StartVm, qemu: Qemu, short_path: Path
) -> None:
    base, overlay = qemu.make_disk(short_path / "base"), short_path / "overlay"
    qemu.make_disk(overlay, backing=base)
    line = CommandLine.parse(["qemu", *throttled(base)])
    disk = FreshDisk(label="disk", names=(base,), overlay=overlay)
    vm = start_vm(*replace_images(line, [disk], short_path).line.to_argv()[1:], "-S")
    nodes = {node["node-name"]: node for node in vm.qmp("query-named-block-nodes")}
    assert nodes["d"]["drv"] == "qcow2"
    assert nodes["t"]["drv"] == "throttle"
    assert nodes["f"]["file"] == str(overlay)
    assert nodes["d"]["image"]["full-backing-filename"] == str(base)


def test_what_the_original_listens_on_and_writes_to_stays_its_own(
    start_vm: StartVm, short_path: Path
) -> None:
    boot, forwarded = short_path / "boot", free_port()
    make_boot_disk(boot, memory_mib=1, pages_per_timer_tick=32)
    vm = start_vm(
        *("-drive", f"file={boot},if=virtio,format=qcow2"),
        *("-netdev", f"user,id=n,hostfwd=tcp:127.0.0.1:{forwarded}-:22"),
        *("-device", "e1000,netdev=n", "-device", "virtio-serial", "-vga", "std"),
        *("-chardev", f"socket,id=agent,path={short_path}/agent,server=on,wait=off"),
        *("-device", "virtserialport,chardev=agent", "-vnc", f"unix:{short_path}/vnc"),
        *("-debugcon", f"file:{short_path}/debug"),
        *("-monitor", f"unix:{short_path}/monitor,server=on,wait=off"),
        *("-serial", f"unix:{short_path}/port,server=on,wait=off"),
        *("-D", short_path / "log", "-pidfile", short_path / "pid"),
    )
    vm.wait_for_tick(1)
    capture(CaptureRequest(socket=vm.qmp_path, directory=short_path / "snap"), lambda _: None)
    with restored_vm(short_path) as restored:
        run = restored.plan.places.files
        names = {path.name for path in run.iterdir()}
        assert {
            "agent.sock",
            "vnc0.sock",
            "serial1.sock",
            "debugcon0.log",
            "qemu-debug.log",
        } <= names
        qmp = PlainQmp(restored.plan.qmp_socket)
        networks = qmp("human-monitor-command", command_line="info usernet")
        qmp.close()
        (port,) = re.findall(r"TCP\[HOST_FORWARD\]\s+\d+\s+127\.0\.0\.1\s+(\d+)", networks)
        assert int(port) not in {0, forwarded}
        vm.wait_for_next_tick()
    assert (short_path / "pid").read_text() == f"{vm.pid}\n"
    for name in ("agent", "vnc", "port", "monitor"):
        with socket.socket(socket.AF_UNIX) as probe:
            probe.connect(str(short_path / name))


@contextmanager
def restored_vm(folder: Path) -> Iterator[Restored]:
    """Restore the snapshot in `folder` beside its original, and wait until it goes on."""
    restored = restore_eager(
        plan_restore(Request(snapshot=folder / "snap")), paused=False, on_progress=lambda _: None
    )
    try:
        serial = restored.plan.places.files / "serial.log"
        deadline = time.monotonic() + 20
        while b"tick" not in serial.read_bytes():
            assert time.monotonic() < deadline
            time.sleep(0.01)
        yield restored
    finally:
        restored.process.kill()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
