"""Background snapshots of real VMs: one moment, nothing lost, everything as it was."""

from __future__ import annotations

import hashlib
import json
import subprocess
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from vmstate_tools.guest.disks import check_disk, read_disk_counter
from vmstate_tools.guest.pattern import check_memory
from vmstate_tools.guest.state import read_guest_state
from vmstate_tools.live import capture as module
from vmstate_tools.live.capture import Capture, Request, capture
from vmstate_tools.live.drain import StreamQueue
from vmstate_tools.reports import snapshot as report
from vmstate_tools.snapshot.manifest import read_manifest
from vmstate_tools.snapshot.open import open_snapshot

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from conftest import StartGuest, StartVm
    from vms import Qemu, Vm


def take(vm: Vm, directory: Path, **options: Any) -> Capture:
    return capture(Request(socket=vm.qmp_path, directory=directory, **options), lambda _: None)


def run_states(vm: Vm) -> list[str]:
    return [event.name for event in vm.events if event.name in {"STOP", "RESUME"}]


def capabilities(vm: Vm) -> dict[str, bool]:
    return {entry["capability"]: entry["state"] for entry in vm.qmp("query-migrate-capabilities")}


def active_file(vm: Vm, disk: int) -> str:
    entries = [entry for entry in vm.qmp("query-block") if "inserted" in entry]
    return str(entries[disk]["inserted"]["file"])


def assert_one_moment(directory: Path) -> None:
    """Memory is not torn, and each frozen disk holds what memory says."""
    manifest = read_manifest(directory)
    with open_snapshot(directory) as snapshot:
        image = snapshot.memory

        def read(address: int, length: int) -> bytes:
            return image.read("pc.ram", address, length)

        verdict = check_memory(read)
        assert verdict.one_moment, str(verdict)
        state = read_guest_state(read)
    for number, disk in enumerate(manifest.disks):
        frozen = read_disk_counter(directory / disk.frozen.path, "qcow2")
        disk_verdict = check_disk(state, frozen, number)
        assert disk_verdict.one_moment, str(disk_verdict)


def test_memory_and_disks_are_of_one_moment_and_the_guest_goes_on(
    built_in_guest: StartGuest, tmp_path: Path
) -> None:
    vm = built_in_guest(dirty_mib=16, pages_per_timer_tick=0)
    vm.wait_for_tick(3)
    result = take(vm, tmp_path / "snap")
    assert vm.status == "running"
    vm.wait_for_next_tick()
    assert_one_moment(tmp_path / "snap")
    assert run_states(vm) == ["STOP", "RESUME"]
    assert [disk.overlay.path for disk in result.manifest.disks] == [
        active_file(vm, 0),
        active_file(vm, 1),
    ]


def test_many_snapshots_of_a_guest_that_writes_flat_out_are_never_torn(
    built_in_guest: StartGuest, tmp_path: Path
) -> None:
    vm = built_in_guest(dirty_mib=24, pages_per_timer_tick=0)
    vm.wait_for_tick(2)
    for number in range(5):
        take(vm, tmp_path / f"snap{number}")
    for number in range(5):
        assert_one_moment(tmp_path / f"snap{number}")


def test_the_downtime_is_what_the_events_of_qemu_say(
    built_in_guest: StartGuest, tmp_path: Path
) -> None:
    vm = built_in_guest()
    vm.wait_for_tick(1)
    downtime = take(vm, tmp_path / "snap").manifest.downtime
    vm.qmp("query-status")
    seconds = {event.name: event.seconds for event in vm.events}
    assert downtime is not None
    assert downtime.total_seconds == pytest.approx(seconds["RESUME"] - seconds["STOP"], abs=1e-6)
    parts = downtime.overlays_seconds + downtime.setup_seconds + downtime.device_state_seconds
    assert parts == pytest.approx(downtime.total_seconds, abs=3e-6)


def test_without_disks_qemu_stops_the_guest_only_once_and_by_itself(
    built_in_guest: StartGuest, tmp_path: Path
) -> None:
    vm = built_in_guest()
    vm.wait_for_tick(1)
    files = active_file(vm, 0), active_file(vm, 1)
    result = take(vm, tmp_path / "snap", disks="none")
    vm.qmp("query-status")
    assert (active_file(vm, 0), active_file(vm, 1)) == files
    assert run_states(vm) == ["STOP", "RESUME"]
    names = [(event.name, event.data.get("status")) for event in vm.events]
    assert names.index(("MIGRATION", "active")) < names.index(("STOP", None))
    assert [disk.reason for disk in result.manifest.skipped_disks] == ["--disks none"] * 2


def test_a_paused_vm_stays_paused(built_in_guest: StartGuest, tmp_path: Path) -> None:
    vm = built_in_guest()
    vm.wait_for_tick(1)
    vm.qmp("stop")
    result = take(vm, tmp_path / "snap")
    assert vm.status == "paused"
    assert result.manifest.downtime is None
    assert not result.manifest.was_running
    # QEMU 7.2 starts it for an instant, and we say so; 10.0 does not.
    vm.qmp("query-status")
    assert (result.ran_while_paused_seconds is not None) == ("RESUME" in run_states(vm))
    assert_one_moment(tmp_path / "snap")
    take(vm, tmp_path / "again")
    assert vm.status == "paused"
    vm.qmp("cont")
    vm.wait_for_next_tick()


def test_the_capabilities_are_put_back(built_in_guest: StartGuest, tmp_path: Path) -> None:
    vm = built_in_guest()
    vm.wait_for_tick(1)
    wanted = {"xbzrle": True, "x-ignore-shared": True, "events": True}
    vm.qmp(
        "migrate-set-capabilities",
        capabilities=[{"capability": name, "state": state} for name, state in wanted.items()],
    )
    before = capabilities(vm)
    take(vm, tmp_path / "snap")
    assert capabilities(vm) == before
    assert before["xbzrle"]


def test_only_the_named_disk_gets_an_overlay(built_in_guest: StartGuest, tmp_path: Path) -> None:
    vm = built_in_guest()
    vm.wait_for_tick(1)
    result = take(vm, tmp_path / "snap", disks="disk1")
    assert [disk.node for disk in result.manifest.disks] == ["disk1"]
    assert active_file(vm, 0) == str(tmp_path / "disk0.qcow2")
    assert active_file(vm, 1) == str(tmp_path / "disk1.snap.qcow2")


def test_overlays_can_go_to_a_folder_of_their_own(
    built_in_guest: StartGuest, tmp_path: Path
) -> None:
    folder = tmp_path / "overlays"
    folder.mkdir()
    vm = built_in_guest()
    vm.wait_for_tick(1)
    take(vm, tmp_path / "snap", overlay_folder=folder)
    assert active_file(vm, 1) == str(folder / "disk1.snap.qcow2")


def test_a_raw_disk_is_frozen_under_a_qcow2_overlay_and_a_cdrom_is_left_out(
    start_vm: StartVm, qemu: Qemu, tmp_path: Path
) -> None:
    raw, iso = tmp_path / "data.raw", qemu.make_disk(tmp_path / "cd.qcow2")
    raw.write_bytes(bytes(1 << 20))
    vm = start_vm(
        *("-drive", f"if=virtio,id=data,format=raw,file={raw}"),
        *("-drive", f"if=ide,media=cdrom,id=cd,file={iso}"),
        *("-drive", "if=ide,media=cdrom,id=empty"),
    )
    manifest = take(vm, tmp_path / "snap").manifest
    (disk,) = manifest.disks
    assert (disk.device, disk.frozen.format, disk.frozen.virtual_size) == ("data", "raw", 1 << 20)
    assert [skipped.reason for skipped in manifest.skipped_disks] == ["read-only"]
    info = qemu_img_info(qemu, tmp_path / "data.snap.qcow2")
    assert (info["backing-filename"], info["backing-filename-format"]) == (str(raw), "raw")


def test_a_disk_named_by_a_relative_path_is_found(
    start_vm: StartVm, qemu: Qemu, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    qemu.make_disk(tmp_path / "disk.qcow2")
    vm = start_vm("-drive", "if=virtio,file=disk.qcow2")
    monkeypatch.chdir("/")
    (disk,) = take(vm, tmp_path / "snap").manifest.disks
    assert disk.frozen.path == str(tmp_path / "disk.qcow2")


def test_a_second_snapshot_freezes_the_overlay_of_the_first(
    built_in_guest: StartGuest, qemu: Qemu, tmp_path: Path
) -> None:
    vm = built_in_guest(disk_count=1)
    vm.wait_for_tick(1)
    first = take(vm, tmp_path / "monday").manifest.disks[0]
    second = take(vm, tmp_path / "tuesday").manifest.disks[0]
    assert second.frozen.path == first.overlay.path
    assert [layer.path for layer in second.backing_chain] == [first.frozen.path]
    assert second.overlay.path == str(tmp_path / "disk0.tuesday.qcow2")
    vm.wait_for_next_tick()
    assert_one_moment(tmp_path / "monday")
    assert_one_moment(tmp_path / "tuesday")
    vm.kill()
    for name in ("disk0.qcow2", "disk0.monday.qcow2", "disk0.tuesday.qcow2"):
        subprocess.run([qemu.img, "check", "-q", tmp_path / name], check=True)


def test_the_manifest_says_what_is_there(
    built_in_guest: StartGuest, qemu: Qemu, tmp_path: Path
) -> None:
    vm = built_in_guest("-name", "web1", "-uuid", "11111111-2222-3333-4444-555555555555")
    vm.wait_for_tick(1)
    take(vm, tmp_path / "snap")
    manifest = read_manifest(tmp_path / "snap")
    state = (tmp_path / "snap" / manifest.state.name).read_bytes()
    digest = manifest.files[manifest.state.name]
    assert (digest.bytes, digest.sha256) == (len(state), hashlib.sha256(state).hexdigest())
    assert manifest.qemu.version == qemu.version
    assert manifest.qemu.argv is not None
    assert set(vm.command[1:]) <= set(manifest.qemu.argv)  # a wrapper may have added some
    assert manifest.machine.startswith("pc-i440fx-")
    assert (manifest.accelerator, manifest.cpu_model) == ("tcg", "qemu64-x86_64-cpu")
    assert (manifest.vm_name, manifest.vm_uuid) == ("web1", "11111111-2222-3333-4444-555555555555")
    main_block = manifest.ram_blocks[0]
    assert (main_block.name, main_block.size) == ("pc.ram", 32 << 20)
    assert sorted(path.name for path in (tmp_path / "snap").iterdir()) == [
        "manifest.json",
        "vmstate.bin",
    ]


def test_nobody_else_may_read_what_was_secret_before(
    built_in_guest: StartGuest, tmp_path: Path
) -> None:
    vm = built_in_guest(disk_count=1)
    vm.wait_for_tick(1)
    (tmp_path / "disk0.qcow2").chmod(0o640)
    take(vm, tmp_path / "snap")
    modes = [
        path.stat().st_mode & 0o777
        for path in (tmp_path / "snap/vmstate.bin", tmp_path / "disk0.snap.qcow2")
    ]
    assert modes == [0o600, 0o640]


def test_a_stream_that_qemu_writes_is_the_file_to_the_byte(
    built_in_guest: StartGuest, tmp_path: Path
) -> None:
    vm = built_in_guest()
    vm.wait_for_tick(1)
    totals = take(vm, tmp_path / "snap").manifest.totals
    ram = vm.qmp("query-migrate")["ram"]
    assert (totals.pages_stored, totals.pages_zero) == (ram["normal"], ram["duplicate"])
    transferred = ram["transferred"]
    assert abs((tmp_path / "snap/vmstate.bin").stat().st_size - transferred) < transferred * 0.05


def test_what_a_slow_target_cannot_take_waits_in_a_temporary_file(
    built_in_guest: StartGuest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "StreamQueue", partial(StreamQueue, memory_limit_bytes=0))
    vm = built_in_guest()
    vm.wait_for_tick(1)
    spill = tmp_path / "spill"
    spill.mkdir()
    result = take(vm, tmp_path / "snap", spill_folder=spill)
    assert result.spilled_bytes == result.manifest.files["vmstate.bin"].bytes
    assert not list(spill.iterdir())
    assert "waited in a temporary file" in report.as_text(result)
    assert_one_moment(tmp_path / "snap")


@pytest.mark.slow
def test_a_real_linux_with_two_disks_goes_on_undisturbed(
    linux_guest: Callable[[], Vm], tmp_path: Path
) -> None:
    vm = linux_guest()
    vm.wait_for_tick(3)
    before = vm.ticks()[-1]
    take(vm, tmp_path / "snap")
    after = vm.wait_for_tick(before + 3)
    ticks = vm.ticks()
    assert ticks == list(range(ticks[0], after + 1))
    assert not [line for line in vm.serial_lines() if "error" in line.lower()]


def qemu_img_info(qemu: Qemu, path: Path) -> dict[str, Any]:
    said = subprocess.run(
        [qemu.img, "info", "-U", "--output=json", path], capture_output=True, check=True
    ).stdout
    information: dict[str, Any] = json.loads(said)
    return information
