from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

import pytest

from vmstate_tools.qemu.blocks import Disk, Layer, overlay_obstacle, read_disks
from vmstate_tools.qemu.session import Session

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import StartVm
    from vms import Qemu, Vm


def disks_of(vm: Vm, process_id: int | None = None) -> list[Disk]:
    async def run() -> list[Disk]:
        async with await Session.connect(vm.qmp_path) as session:
            return await read_disks(session, process_id)

    return asyncio.run(run())


def disk(path: str, image_format: str = "qcow2", *, encrypted: bool = False) -> Disk:
    return Disk(
        node="node",
        device=None,
        format=image_format,
        virtual_size_bytes=1 << 20,
        chain=(Layer(path=path, format=image_format),),
        read_only=False,
        encrypted=encrypted,
        cache_direct=False,
        cache_no_flush=False,
    )


def test_a_chain_is_read_from_the_top_down(start_vm: StartVm, qemu: Qemu, tmp_path: Path) -> None:
    base = qemu.make_disk(tmp_path / "base.qcow2")
    top = qemu.make_disk(tmp_path / "top.qcow2", backing=base)
    (found,) = disks_of(start_vm(disks=[top]))
    assert found.chain == (
        Layer(path=str(top), format="qcow2"),
        Layer(path=str(base), format="qcow2"),
    )
    assert (found.node, found.virtual_size_bytes) == ("disk0", 64 << 20)


@pytest.mark.parametrize(
    "arguments, device",
    [
        (["if=virtio,id=data"], "data"),
        (["if=none,id=backend", "-device", "virtio-blk-pci,drive=backend,id=vda"], "backend"),
    ],
)
def test_a_disk_is_called_as_the_user_called_it(
    start_vm: StartVm, qemu: Qemu, tmp_path: Path, arguments: list[str], device: str
) -> None:
    image = qemu.make_disk(tmp_path / "d.qcow2")
    drive, *rest = arguments
    (found,) = disks_of(start_vm("-drive", f"{drive},file={image}", *rest))
    assert found.device == device


def test_a_disk_of_a_device_with_an_id_is_called_by_it(
    start_vm: StartVm, qemu: Qemu, tmp_path: Path
) -> None:
    image = qemu.make_disk(tmp_path / "d.qcow2")
    node = f"driver=qcow2,node-name=n,file.driver=file,file.filename={image}"
    (found,) = disks_of(start_vm("-blockdev", node, "-device", "virtio-blk-pci,drive=n,id=vda"))
    assert (found.device, found.label) == ("vda", "disk vda (n)")


def test_cache_settings_are_kept_for_the_overlay(
    start_vm: StartVm, qemu: Qemu, tmp_path: Path
) -> None:
    image = qemu.make_disk(tmp_path / "d.qcow2")
    (found,) = disks_of(start_vm("-drive", f"if=virtio,file={image},cache=unsafe"))
    assert (found.cache_direct, found.cache_no_flush) == (False, True)


def test_a_relative_name_stays_where_the_process_is_unknown(
    start_vm: StartVm, qemu: Qemu, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    qemu.make_disk(tmp_path / "d.qcow2")
    vm = start_vm("-drive", "if=virtio,file=d.qcow2")
    assert disks_of(vm)[0].chain[0].path == "d.qcow2"
    assert disks_of(vm, process_id=2**22 + 1)[0].chain[0].path == "d.qcow2"


def test_a_part_of_a_file_is_not_taken_for_the_file(start_vm: StartVm, tmp_path: Path) -> None:
    raw = tmp_path / "d.raw"
    raw.write_bytes(bytes(1 << 20))
    node = f"driver=raw,node-name=n,offset=4096,size=65536,file.driver=file,file.filename={raw}"
    (found,) = disks_of(start_vm("-blockdev", node, "-device", "virtio-blk-pci,drive=n"))
    assert json.loads(found.chain[0].path.removeprefix("json:"))["offset"] == 4096
    assert overlay_obstacle(found) is not None


def test_obstacles_are_told_apart(tmp_path: Path) -> None:
    image = tmp_path / "d.qcow2"
    image.touch()
    assert overlay_obstacle(disk(str(image))) is None
    assert "encrypted" in str(overlay_obstacle(disk(str(image), encrypted=True)))
    assert "a throttle filter" in str(overlay_obstacle(disk(str(image), "throttle")))
    assert "No such file" in str(overlay_obstacle(disk("nbd://host/export")))
    assert "neither a file nor" in str(overlay_obstacle(disk(str(tmp_path))))
