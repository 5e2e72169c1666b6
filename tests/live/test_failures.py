"""The failure table: whatever fails, the VM runs as before, and nothing untrue is left behind."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from vmstate_tools.core.errors import HostError, QemuError
from vmstate_tools.guest.disks import read_disk_counter
from vmstate_tools.live import capture as module
from vmstate_tools.live.capture import Request, capture
from vmstate_tools.live.moment import freeze
from vmstate_tools.live.preconditions import make_plan
from vmstate_tools.snapshot.manifest import is_finished

if TYPE_CHECKING:
    from conftest import StartGuest, StartVm
    from live.conftest import SmallFolder
    from vms import Qemu, Vm
    from vmstate_tools.live.preconditions import Plan

KILLS = 25
"""For each of two QEMUs."""


def request(vm: Vm, directory: Path, **options: Any) -> Request:
    return Request(socket=vm.qmp_path, directory=directory, **options)


def start_command(vm: Vm, directory: Path) -> subprocess.Popen[str]:
    """Start `vmstate snapshot` as a process of its own."""
    words = ["-m", "vmstate_tools", "snapshot", "--json", str(vm.qmp_path), str(directory)]
    return subprocess.Popen(
        [sys.executable, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def wait_for_bytes(path: Path, count: int) -> None:
    """Wait until the state file has grown to `count` bytes: the snapshot is half-way."""
    deadline = time.monotonic() + 30
    while not path.exists() or path.stat().st_size < count:
        assert time.monotonic() < deadline
        time.sleep(0.001)


def wait_until_running(vm: Vm, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while vm.status != "running":
        assert time.monotonic() < deadline, f"the VM is {vm.status} after {seconds} s"
        time.sleep(0.005)


def wait_until_settled(vm: Vm) -> None:
    """Wait until the guardian has put everything back."""
    deadline = time.monotonic() + 30
    while vm.qmp("query-migrate").get("status") in {"setup", "active"} or is_set(vm):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def is_set(vm: Vm) -> bool:
    entries = vm.qmp("query-migrate-capabilities")
    states: dict[str, bool] = {entry["capability"]: entry["state"] for entry in entries}
    return states["background-snapshot"]


def active_files(vm: Vm) -> list[str]:
    return [entry["inserted"]["file"] for entry in vm.qmp("query-block") if "inserted" in entry]


def nodes(vm: Vm) -> set[str]:
    return {node["node-name"] for node in vm.qmp("query-named-block-nodes", flat=True)}


def assert_as_before(vm: Vm, directory: Path, files: list[str]) -> None:
    """The VM runs on the disks that it had; nothing of the snapshot is left."""
    assert vm.status == "running"
    assert active_files(vm) == files
    assert not [name for name in nodes(vm) if name.startswith("vmstate-")]
    assert not is_set(vm)
    assert not directory.exists()
    assert not [path for path in directory.parent.iterdir() if directory.name in path.name]
    vm.wait_for_next_tick()


@pytest.fixture
def vm(built_in_guest: StartGuest) -> Vm:
    guest = built_in_guest(dirty_mib=16, pages_per_timer_tick=4096)
    guest.wait_for_tick(2)
    return guest


@pytest.fixture
def large_vm(built_in_guest: StartGuest) -> Vm:
    """A VM whose snapshot takes a second or more: the middle of it can be met."""
    guest = built_in_guest(dirty_mib=384, memory_mib=512, pages_per_timer_tick=0, disk_count=1)
    guest.wait_for_tick(1)
    return guest


def test_an_overlay_that_cannot_be_made_changes_nothing(
    built_in_guest: StartGuest, qemu: Qemu, small_folder: SmallFolder, tmp_path: Path
) -> None:
    folder = small_folder(64)
    second = qemu.make_disk(folder / "second.qcow2")
    vm = built_in_guest(
        *("-blockdev", f"driver=qcow2,node-name=second,file.driver=file,file.filename={second}"),
        *("-device", "virtio-blk-pci,drive=second"),
        disk_count=1,
    )
    vm.wait_for_tick(1)
    (folder / "filler").write_bytes(bytes(shutil.disk_usage(folder).free))
    files = active_files(vm)
    with pytest.raises(QemuError, match=r"second\.snap\.qcow2: QEMU cannot create the overlay"):
        capture(request(vm, tmp_path / "snap"), lambda _: None)
    assert_as_before(vm, tmp_path / "snap", files)
    assert sorted(path.name for path in folder.iterdir()) == ["filler", "second.qcow2"]


def test_a_migration_that_fails_at_once_changes_nothing(
    vm: Vm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    vm.qmp("object-add", qom_type="memory-backend-ram", id="late", size=1 << 20, share=True)

    async def plan_and_plug(*arguments: Any, **options: Any) -> Plan:
        plan = await make_plan(*arguments, **options)
        # After we have looked, somebody plugs in a device that cannot be migrated.
        vm.qmp("device_add", driver="ivshmem-plain", memdev="late", master="off", id="late")
        return plan

    monkeypatch.setattr(module, "make_plan", plan_and_plug)
    files = active_files(vm)
    with pytest.raises(QemuError, match=r"QEMU refused migrate: .*ivshmem"):
        capture(request(vm, tmp_path / "snap"), lambda _: None)
    assert_as_before(vm, tmp_path / "snap", files)


def test_a_transaction_that_fails_changes_nothing(
    vm: Vm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def freeze_behind_a_job(*arguments: Any, **options: Any) -> Any:
        # At the last moment, a block job takes the disk.
        vm.qmp("blockdev-add", driver="null-co", node_name="target", size=16 << 20)
        vm.qmp("blockdev-mirror", job_id="copy", device="disk1", target="target", sync="full")
        return await freeze(*arguments, **options)

    monkeypatch.setattr(module, "freeze", freeze_behind_a_job)
    files = active_files(vm)
    with pytest.raises(QemuError, match=r"QEMU refused transaction: "):
        capture(request(vm, tmp_path / "snap"), lambda _: None)
    vm.qmp("block-job-cancel", device="copy", force=True)
    assert_as_before(vm, tmp_path / "snap", files)


def test_a_target_that_fills_up_half_way_ends_the_snapshot_and_not_the_guest(
    large_vm: Vm, small_folder: SmallFolder
) -> None:
    files = active_files(large_vm)
    directory = small_folder(64) / "snap"
    with pytest.raises(HostError, match=r"vmstate\.bin: No space left on device"):
        capture(request(large_vm, directory, check_space=False), lambda _: None)
    assert_as_before(large_vm, directory, files)
    # What the guest wrote meanwhile is on its disk, and the overlay is gone.
    folder = os.path.dirname(files[0])  # noqa: PTH120
    assert not [name for name in os.listdir(folder) if "snap" in name]  # noqa: PTH208


def test_a_snapshot_that_takes_too_long_is_given_up(large_vm: Vm, tmp_path: Path) -> None:
    files = active_files(large_vm)
    with pytest.raises(QemuError, match=r"not finished within 0\.1 s \(--timeout\)"):
        capture(request(large_vm, tmp_path / "snap", timeout_seconds=0.1), lambda _: None)
    assert_as_before(large_vm, tmp_path / "snap", files)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_half_way_gives_up_and_leaves_nothing(
    large_vm: Vm, tmp_path: Path, number: signal.Signals
) -> None:
    files = active_files(large_vm)
    process = start_command(large_vm, tmp_path / "snap")
    wait_for_bytes(tmp_path / "snap/vmstate.bin", 10 << 20)
    process.send_signal(number)
    _, said = process.communicate(timeout=60)
    assert (process.returncode, said) == (130, "vmstate: interrupted\n")
    assert_as_before(large_vm, tmp_path / "snap", files)


def test_a_signal_at_any_moment_leaves_a_whole_snapshot_or_none(vm: Vm, tmp_path: Path) -> None:
    chance = random.Random(7)  # noqa: S311
    for round_number in range(8):
        directory = tmp_path / f"snap{round_number}"
        process = start_command(vm, directory)
        time.sleep(chance.uniform(0.0, 0.8))
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=60)
        too_early = "KeyboardInterrupt" in said and "capture.py" not in said  # Python's own start
        # Python ends by the signal itself, too, if that met it in an exec() (of a dataclass).
        assert too_early or process.returncode in {0, 130, -signal.SIGINT}, said
        # Interrupted when everything was done already, it is whole all the same.
        assert not directory.exists() or is_finished(directory)
        assert directory.exists() or process.returncode
        wait_until_running(vm, 1.0)
        assert not is_set(vm)
    capture(request(vm, tmp_path / "last"), lambda _: None)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_killed_at_any_moment_the_vm_runs_and_the_next_snapshot_works(
    vm: Vm, qemu: Qemu, tmp_path: Path
) -> None:
    chance = random.Random(11)  # noqa: S311
    for round_number in range(KILLS):
        directory = tmp_path / f"killed{round_number}"
        process = start_command(vm, directory)
        time.sleep(chance.uniform(0.25, 0.9))
        process.kill()
        process.communicate()
        wait_until_running(vm, 1.0)
        wait_until_settled(vm)
        vm.wait_for_next_tick()
    capture(request(vm, tmp_path / "next"), lambda _: None)
    tick = vm.wait_for_next_tick()
    files = active_files(vm)
    vm.kill()
    for layer in tmp_path.glob("*.qcow2"):
        subprocess.run([qemu.img, "check", "-q", layer], check=True)
    for file in files:
        assert read_disk_counter(Path(file), "qcow2").counter >= tick  # no write was lost


def start_script(vm: Vm, directory: Path, *lines: str) -> subprocess.Popen[str]:
    """Take a snapshot in a process of its own that these lines have tampered with."""
    script = [
        "import os, signal, sys",
        "from pathlib import Path",
        "from vmstate_tools.cli.main import run",
        "from vmstate_tools.live import capture as module, moment",
        *lines,
        "sys.exit(run(['snapshot', *sys.argv[1:]]))",
    ]
    command = [sys.executable, "-c", "\n".join(script), str(vm.qmp_path), str(directory)]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


def test_killed_in_the_pause_the_guardian_resumes_the_vm_within_a_second(
    vm: Vm, tmp_path: Path
) -> None:
    process = start_script(
        vm,
        tmp_path / "snap",
        "async def die(*arguments, **options):",
        "    os.kill(os.getpid(), signal.SIGKILL)",
        "moment._wait_until_protected = die",
    )
    process.communicate(timeout=60)
    assert process.returncode == -signal.SIGKILL
    wait_until_running(vm, 1.0)
    wait_until_settled(vm)
    assert not (tmp_path / "snap/manifest.json").exists()
    capture(request(vm, tmp_path / "next"), lambda _: None)
    vm.wait_for_next_tick()


def test_killed_before_the_pause_the_guardian_removes_the_overlays(vm: Vm, tmp_path: Path) -> None:
    files = active_files(vm)
    process = start_script(
        vm,
        tmp_path / "snap",
        "async def die(*arguments, **options):",
        "    os.kill(os.getpid(), signal.SIGKILL)",
        "module.freeze = die",
    )
    process.communicate(timeout=60)
    wait_until_settled(vm)
    deadline = time.monotonic() + 10
    while [name for name in nodes(vm) if name.startswith("vmstate-")]:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert vm.status == "running"
    assert active_files(vm) == files
    assert not list(tmp_path.glob("disk*.snap.qcow2"))


@pytest.mark.parametrize("wakes_up", [False, True])
def test_an_owner_that_is_stopped_in_the_pause_does_not_hold_the_vm(
    vm: Vm,
    tmp_path: Path,
    wakes_up: bool,  # noqa: FBT001
) -> None:
    process = start_script(
        vm,
        tmp_path / "snap",
        "module.PAUSE_LIMIT_SECONDS = 0.3",
        "original = moment._wait_until_protected",
        "async def sleep(*arguments, **options):",
        "    os.kill(os.getpid(), signal.SIGSTOP)",
        "    return await original(*arguments, **options)",
        "moment._wait_until_protected = sleep",
    )
    deadline = time.monotonic() + 20
    while "STOP" not in [event.name for event in vm.events]:
        vm.qmp("query-status")
        assert time.monotonic() < deadline
    wait_until_running(vm, 2.0)
    process.send_signal(signal.SIGCONT if wakes_up else signal.SIGKILL)
    _, said = process.communicate(timeout=60)
    # It may find that QEMU had protected memory and that nothing is lost: that is a snapshot.
    assert process.returncode in ({0, QemuError.exit_code} if wakes_up else {-signal.SIGKILL}), said
    assert said.count("\n") == (process.returncode == QemuError.exit_code)
    assert (tmp_path / "snap/manifest.json").exists() == (process.returncode == 0)
    wait_until_settled(vm)
    vm.wait_for_next_tick()


def test_a_qemu_that_dies_half_way_leaves_no_snapshot_and_a_sound_disk(
    large_vm: Vm, qemu: Qemu, tmp_path: Path
) -> None:
    process = start_command(large_vm, tmp_path / "snap")
    wait_for_bytes(tmp_path / "snap/vmstate.bin", 10 << 20)
    files = active_files(large_vm)
    large_vm.kill()
    _, said = process.communicate(timeout=60)
    assert process.returncode == 5
    assert said.startswith("vmstate: ")
    assert said.count("\n") == 1
    assert not (tmp_path / "snap").exists()
    for file in files:
        subprocess.run([qemu.img, "check", "-q", file], check=True)


def test_a_vm_that_somebody_resumes_in_the_pause_gives_no_torn_snapshot(
    vm: Vm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def freeze_against_an_operator(session: Any, **options: Any) -> Any:
        submit = session.submit

        def submit_late(command: str, *arguments: Any) -> Any:
            if command == "migrate":
                submit("cont")  # the operator's
            return submit(command, *arguments)

        session.submit = submit_late
        return await freeze(session, **options)

    monkeypatch.setattr(module, "freeze", freeze_against_an_operator)
    files = active_files(vm)
    with pytest.raises(QemuError, match=r"the VM was resumed before its memory was protected"):
        capture(request(vm, tmp_path / "snap"), lambda _: None)
    assert_as_before(vm, tmp_path / "snap", files)


def test_a_vm_without_disks_survives_the_same(start_vm: StartVm, tmp_path: Path) -> None:
    vm = start_vm(memory_mib=256)
    with pytest.raises(QemuError, match=r"not finished within"):
        capture(request(vm, tmp_path / "snap", timeout_seconds=0.001), lambda _: None)
    assert vm.status == "running"
    assert not is_set(vm)
    assert not (tmp_path / "snap").exists()
