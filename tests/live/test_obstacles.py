"""What stops a snapshot before the VM is touched, each said in words."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from typing import TYPE_CHECKING

import pytest

from vmstate_tools.core.errors import QemuError, UsageError, VmstateError
from vmstate_tools.live.capture import Request, capture
from vmstate_tools.snapshot.manifest import read_manifest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from conftest import StartVm
    from live.conftest import SmallFolder
    from vms import Qemu, Vm


def take(vm: Vm, directory: Path, **options: str) -> None:
    capture(Request(socket=vm.qmp_path, directory=directory, **options), lambda _: None)  # type: ignore[arg-type]


def assert_untouched(vm: Vm, directory: Path, status: str = "running") -> None:
    """Nothing was done to the VM, and nothing is left on the disk."""
    assert vm.status == status
    assert [event.name for event in vm.events if event.name in {"STOP", "RESUME"}] == []
    states = {entry["capability"]: entry["state"] for entry in vm.qmp("query-migrate-capabilities")}
    assert not states["background-snapshot"]
    assert not directory.exists()


def test_a_vm_that_never_ran_is_refused(start_vm: StartVm, tmp_path: Path) -> None:
    vm = start_vm("-S")
    with pytest.raises(QemuError, match=r"the VM is in state prelaunch: it never ran, .*abort"):
        take(vm, tmp_path / "snap")
    assert_untouched(vm, tmp_path / "snap", "prelaunch")


def test_a_vm_that_waits_for_a_migration_is_refused(start_vm: StartVm, tmp_path: Path) -> None:
    vm = start_vm("-incoming", "defer")
    with pytest.raises(QemuError, match=r"in state inmigrate: it waits for an incoming migration"):
        take(vm, tmp_path / "snap")


def test_a_migration_under_way_is_in_the_way(start_vm: StartVm, tmp_path: Path) -> None:
    vm = start_vm()
    vm.qmp("migrate-set-parameters", max_bandwidth=4096)
    vm.qmp("migrate", uri="exec:cat > /dev/null")
    with pytest.raises(QemuError, match=r"a migration is under way \((active|setup)\)"):
        take(vm, tmp_path / "snap")
    assert vm.status == "running"


def test_a_device_that_cannot_be_migrated_is_named(start_vm: StartVm, tmp_path: Path) -> None:
    memory = "memory-backend-ram,id=shared,size=1M,share=on"
    vm = start_vm("-object", memory, "-device", "ivshmem-plain,memdev=shared,master=off")
    with pytest.raises(QemuError, match=r"no snapshot is possible: .*ivshmem"):
        take(vm, tmp_path / "snap")
    assert_untouched(vm, tmp_path / "snap")


def test_memory_that_is_shared_through_a_file_is_named(start_vm: StartVm, tmp_path: Path) -> None:
    backend = f"memory-backend-file,id=ram,size=32M,mem-path={tmp_path / 'ram'},share=on"
    vm = start_vm("-object", backend, machine="pc,memory-backend=ram")
    with pytest.raises(QemuError, match=r"a memory backend of this VM cannot be write-protected"):
        take(vm, tmp_path / "snap")
    assert_untouched(vm, tmp_path / "snap")


@pytest.fixture
def vhost_user_disk(qemu: Qemu, short_path: Path) -> Iterator[Path]:
    """A disk in another process, which maps the guest's memory."""
    daemon = shutil.which("qemu-storage-daemon")
    assert daemon is not None  # it comes with qemu-img
    image = qemu.make_disk(short_path / "vhost.qcow2")
    path = short_path / "vhost"
    export = f"type=vhost-user-blk,id=e,node-name=n,writable=on,addr.type=unix,addr.path={path}"
    blockdev = f"driver=qcow2,node-name=n,file.driver=file,file.filename={image}"
    process = subprocess.Popen([daemon, "--blockdev", blockdev, "--export", export])
    while not path.exists():
        assert process.poll() is None
        time.sleep(0.01)
    yield path
    process.kill()
    process.wait()


def test_a_vhost_user_device_writes_behind_our_back(
    start_vm: StartVm, vhost_user_disk: Path, tmp_path: Path
) -> None:
    vm = start_vm(
        *("-object", "memory-backend-memfd,id=ram,size=32M,share=on"),
        *("-chardev", f"socket,id=vu,path={vhost_user_disk}"),
        *("-device", "vhost-user-blk-pci,id=vblk,chardev=vu"),
        machine="pc,memory-backend=ram",
    )
    with pytest.raises(QemuError, match=r"vblk \(vhost-user-blk-pci\): writes guest memory behind"):
        take(vm, tmp_path / "snap")
    assert_untouched(vm, tmp_path / "snap")


def test_a_running_block_job_is_in_the_way(start_vm: StartVm, qemu: Qemu, tmp_path: Path) -> None:
    disk = qemu.make_disk(tmp_path / "disk.qcow2")
    vm = start_vm(disks=[disk])
    vm.qmp("blockdev-add", driver="null-co", node_name="target", size=64 << 20)
    vm.qmp("blockdev-mirror", job_id="copy", device="disk0", target="target", sync="full")
    with pytest.raises(QemuError, match=r"block job copy \(mirror\) is running"):
        take(vm, tmp_path / "snap")
    assert_untouched(vm, tmp_path / "snap")


def test_an_encrypted_disk_gets_no_plain_overlay(
    start_vm: StartVm, qemu: Qemu, tmp_path: Path
) -> None:
    disk = tmp_path / "secret.qcow2"
    key = "secret,id=key,data=abc"
    options = "encrypt.format=luks,encrypt.key-secret=key,encrypt.iter-time=10"
    create = ["create", "-q", "--object", key, "-f", "qcow2", "-o", options, str(disk), "1M"]
    subprocess.run([qemu.img, *create], check=True)
    node = "driver=qcow2,node-name=d,encrypt.format=luks,encrypt.key-secret=key"
    node += f",file.driver=file,file.filename={disk}"
    vm = start_vm("-object", key, "-blockdev", node, "-device", "virtio-blk-pci,drive=d")
    with pytest.raises(QemuError, match=r"disk d: it is encrypted, and an overlay would hold"):
        take(vm, tmp_path / "snap")
    take(vm, tmp_path / "snap", disks="none")


def test_a_disk_that_is_no_file_is_named(start_vm: StartVm, tmp_path: Path) -> None:
    node = "driver=null-co,node-name=nothing,size=1048576"
    vm = start_vm("-blockdev", node, "-device", "virtio-blk-pci,drive=nothing")
    with pytest.raises(QemuError, match=r"disk nothing: .*null-co.* cannot be seen from here"):
        take(vm, tmp_path / "snap")
    assert_untouched(vm, tmp_path / "snap")


def test_a_filter_between_a_disk_and_its_file_is_looked_through(
    start_vm: StartVm, qemu: Qemu, tmp_path: Path
) -> None:
    disk = qemu.make_disk(tmp_path / "disk.qcow2")
    file = "file.driver=throttle,file.throttle-group=slow,file.file.driver=file"
    file += f",file.file.filename={disk}"
    vm = start_vm(
        *("-object", "throttle-group,id=slow"),
        *("-blockdev", f"driver=qcow2,node-name=d,{file}", "-device", "virtio-blk-pci,drive=d"),
    )
    take(vm, tmp_path / "snap")
    take(vm, tmp_path / "again")
    (second,) = read_manifest(tmp_path / "again").disks
    layers = [second.frozen.path, *(layer.path for layer in second.backing_chain)]
    assert layers == [str(tmp_path / "disk.snap.qcow2"), str(tmp_path / "disk.qcow2")]


def test_a_filter_on_top_of_a_disk_is_explained(
    start_vm: StartVm, qemu: Qemu, tmp_path: Path
) -> None:
    disk = qemu.make_disk(tmp_path / "disk.qcow2")
    vm = start_vm(
        *("-object", "throttle-group,id=slow"),
        *("-blockdev", f"driver=qcow2,node-name=d,file.driver=file,file.filename={disk}"),
        *("-blockdev", "driver=throttle,node-name=t,throttle-group=slow,file=d"),
        *("-device", "virtio-blk-pci,drive=t"),
    )
    with pytest.raises(QemuError, match=r"a throttle filter lies on top of it"):
        take(vm, tmp_path / "snap")


def test_too_little_space_for_the_worst_case_is_said_beforehand(
    start_vm: StartVm, small_folder: SmallFolder
) -> None:
    vm, directory = start_vm(), small_folder(8) / "snap"
    with pytest.raises(QemuError, match=r"has 8 MiB free, and the state may need 160 MiB"):
        take(vm, directory)
    assert_untouched(vm, directory)


def test_a_user_without_userfaultfd_is_told_how_to_permit_it(
    start_vm: StartVm, qemu: Qemu, tmp_path: Path
) -> None:
    if os.geteuid():
        pytest.skip("only root can start a QEMU that becomes a user without the permission")
    words = subprocess.run(
        [qemu.system, "-help"], capture_output=True, text=True, check=True
    ).stdout
    become = ["-runas", "nobody"] if "-runas" in words else ["-run-with", "user=nobody"]
    vm = start_vm(*become)
    with pytest.raises(QemuError, match=r"not permitted to QEMU: run it as root, or set sysctl"):
        take(vm, tmp_path / "snap")
    assert_untouched(vm, tmp_path / "snap")


@pytest.mark.parametrize(
    "disks, problem",
    [
        ("disk7", r"--disks disk7: the VM has no such disk \(it has: cdrom, disk0\)"),
        ("cdrom", r"--disks cdrom: the disk is read-only"),
    ],
)
def test_a_disk_that_cannot_be_chosen_is_named(
    start_vm: StartVm, qemu: Qemu, tmp_path: Path, disks: str, problem: str
) -> None:
    image = qemu.make_disk(tmp_path / "image.qcow2")
    vm = start_vm(
        "-drive",
        f"if=ide,media=cdrom,id=cdrom,file={image}",
        disks=[qemu.make_disk(tmp_path / "d")],
    )
    with pytest.raises(UsageError, match=problem):
        take(vm, tmp_path / "snap", disks=disks)
    assert_untouched(vm, tmp_path / "snap")


def test_an_overlay_never_replaces_a_file(start_vm: StartVm, qemu: Qemu, tmp_path: Path) -> None:
    vm = start_vm(disks=[qemu.make_disk(tmp_path / "disk.qcow2")])
    precious = tmp_path / "disk.snap.qcow2"
    precious.write_text("precious")
    with pytest.raises(UsageError, match=r"disk\.snap\.qcow2: exists already; it would be"):
        take(vm, tmp_path / "snap")
    assert precious.read_text() == "precious"
    assert_untouched(vm, tmp_path / "snap")


def test_a_directory_that_exists_is_left_alone(start_vm: StartVm, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"exists already"):
        take(start_vm(), tmp_path)


def test_a_directory_cannot_be_made_in_one_that_is_not_there(
    start_vm: StartVm, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=r"nowhere: no such directory"):
        take(start_vm(), tmp_path / "nowhere" / "snap")


def test_every_obstacle_is_named_at_once(start_vm: StartVm, tmp_path: Path) -> None:
    node = "driver=null-co,node-name=nothing,size=1048576"
    vm = start_vm("-S", "-blockdev", node, "-device", "virtio-blk-pci,drive=nothing")
    with pytest.raises(VmstateError, match=r"prelaunch.*; .*cannot be seen from here"):
        take(vm, tmp_path / "snap")
