from __future__ import annotations

import asyncio
import hashlib
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import vms
from plain_qmp import PlainQmp
from vmstate_tools.core.errors import QemuError, UsageError
from vmstate_tools.guest.disks import check_disk, read_disk_counter
from vmstate_tools.guest.image import make_boot_disk, make_data_disk
from vmstate_tools.guest.pattern import check_memory
from vmstate_tools.live import capture, eager
from vmstate_tools.live.eager import Restored, restore_eager
from vmstate_tools.live.plan import Request, plan_restore
from vmstate_tools.qemu.session import QmpLostError, Session

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from vms import Qemu, Vm
    from vmstate_tools.guest.pattern import MemoryVerdict

MEMORY_MIB = 8
SECONDS = 30.0


@pytest.fixture(scope="module")
def folder(qemu: Qemu) -> Iterator[Path]:
    """A short folder: a running guest, and `snap`, a snapshot of it with two disks."""
    path = Path(tempfile.mkdtemp(prefix="vms-", dir="/tmp"))
    boot, data = path / "boot.qcow2", path / "data.raw"
    make_boot_disk(boot, memory_mib=MEMORY_MIB)
    make_data_disk(data, disk_format="raw")
    raw = f"driver=raw,node-name=data,file.driver=file,file.filename={data}"
    vm = vms.start_vm(
        qemu,
        path / "vm",
        *("-blockdev", raw, "-device", "virtio-blk-pci,drive=data"),
        disks=[boot],
    )
    try:
        vm.wait_for_tick(2)
        request = capture.Request(socket=vm.qmp_path, directory=path / "snap")
        capture.capture(request, lambda _: None)
        yield path
    finally:
        vm.kill()
        shutil.rmtree(path)


@pytest.fixture
def restore(folder: Path) -> Iterator[Callable[..., Restored]]:
    """Restore `snap`, or what else is asked for; ended and removed after the test."""
    restored: list[Restored] = []

    def start(*, paused: bool = False, **changes: object) -> Restored:
        request = Request(**({"snapshot": folder / "snap"} | changes))  # type: ignore[arg-type]
        restored.append(
            restore_eager(plan_restore(request), paused=paused, on_progress=lambda _: None)
        )
        return restored[-1]

    yield start
    for one in restored:
        one.process.kill()
        for directory in {one.plan.places.files, one.plan.places.sockets}:
            shutil.rmtree(directory)


def digests(folder: Path) -> dict[str, str]:
    """Of everything that a restore has no business to write to."""
    files = [folder / "boot.qcow2", folder / "data.raw", *(folder / "snap").iterdir()]
    return {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


def run_files(folder: Path) -> list[Path]:
    return list(folder.glob("snap.restored-*"))


def ticks(restored: Restored) -> list[int]:
    log = (restored.plan.places.files / "serial.log").read_text()
    return [int(number) for number in re.findall(r"^tick (\d+)\r?$", log, re.MULTILINE)]


def wait_for_ticks(restored: Restored, count: int) -> list[int]:
    deadline = time.monotonic() + SECONDS
    while len(found := ticks(restored)) < count:
        assert time.monotonic() < deadline, restored.process.stderr.read_text()
        time.sleep(0.02)
    return found


def memory_verdict(qmp: PlainQmp, folder: Path) -> MemoryVerdict:
    dump = folder / "memory"
    qmp("pmemsave", val=0, size=(MEMORY_MIB + 2) << 20, filename=str(dump))
    memory = dump.read_bytes()
    return check_memory(lambda address, length: memory[address : address + length])


def test_memory_and_disks_of_the_restored_guest_are_of_one_moment(
    folder: Path, restore: Callable[..., Restored]
) -> None:
    restored = restore(paused=True)
    qmp = PlainQmp(restored.plan.qmp_socket)
    assert qmp("query-status")["status"] == "paused"
    verdict = memory_verdict(qmp, restored.plan.places.files)
    qmp.close()
    assert verdict.one_moment, str(verdict)
    for overlay in restored.plan.overlays:
        disk = check_disk(verdict.state, read_disk_counter(overlay.path, "qcow2"))
        assert disk.one_moment, str(disk)
    assert folder / "snap.restored-1" == restored.plan.places.files


def test_the_restored_guest_goes_on_where_the_snapshot_was_taken(
    folder: Path, restore: Callable[..., Restored]
) -> None:
    before = digests(folder)
    paused = restore(paused=True)
    qmp = PlainQmp(paused.plan.qmp_socket)
    counter = memory_verdict(qmp, paused.plan.places.files).state.counter
    qmp.close()
    running = restore()
    assert not running.is_paused
    assert 0 < running.seconds_to_running < SECONDS
    found = wait_for_ticks(running, 4)
    assert found[0] in {counter, counter + 1}
    assert found == list(range(found[0], found[0] + len(found)))
    assert read_disk_counter(running.plan.overlays[1].path, "qcow2").counter > counter
    assert digests(folder) == before


def test_a_given_command_line_loads_a_state_file_alone(
    folder: Path, qemu: Qemu, restore: Callable[..., Restored], tmp_path: Path
) -> None:
    state = tmp_path / "it's the $(state)"
    shutil.copy(folder / "snap/vmstate.bin", state)
    for name in ("boot.qcow2", "data.raw"):
        shutil.copy(folder / name, tmp_path)
    log = tmp_path / "serial.log"
    raw = f"driver=raw,node-name=data,file.driver=file,file.filename={tmp_path}/data.raw"
    boot = f"driver=qcow2,node-name=disk0,file.driver=file,file.filename={tmp_path}/boot.qcow2"
    restored = restore(
        snapshot=state,
        argv=[
            *(str(qemu.system), "-accel", "tcg", "-m", "32M", "-nodefaults", "-display", "none"),
            *("-serial", f"file:{log}"),
            *("-blockdev", boot, "-device", "virtio-blk-pci,drive=disk0"),
            *("-blockdev", raw, "-device", "virtio-blk-pci,drive=data"),
        ],
    )
    deadline = time.monotonic() + SECONDS
    while log.read_text().count("tick") < 2:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert restored.plan.overlays == ()


def given(qemu: Qemu, folder: Path, *words: str) -> list[str]:
    boot = f"driver=qcow2,node-name=disk0,file.driver=file,file.filename={folder}/boot.qcow2"
    return [
        *(str(qemu.system), "-accel", "tcg", "-nodefaults", "-display", "none"),
        *("-blockdev", boot, "-device", "virtio-blk-pci,drive=disk0"),
        *words,
    ]


def test_another_machine_is_refused_in_qemus_own_words(
    folder: Path, qemu: Qemu, restore: Callable[..., Restored]
) -> None:
    with pytest.raises(
        QemuError, match=r"^QEMU ended with exit code 1: .*[Mm]achine type"
    ) as caught:
        restore(argv=given(qemu, folder, "-m", "32M", "-machine", "q35"))
    assert "\n" not in str(caught.value)
    assert run_files(folder) == []


def test_other_memory_is_refused_in_qemus_own_words(
    folder: Path, qemu: Qemu, restore: Callable[..., Restored]
) -> None:
    with pytest.raises(QemuError, match=r"pc\.ram.*load of migration failed"):
        restore(argv=given(qemu, folder, "-m", "64M"))
    assert run_files(folder) == []


def test_a_command_line_that_qemu_does_not_know_is_refused_in_its_words(
    folder: Path, qemu: Qemu, restore: Callable[..., Restored]
) -> None:
    with pytest.raises(QemuError, match=r"-nonsense: invalid option$"):
        restore(argv=[str(qemu.system), "-nonsense"])
    assert run_files(folder) == []


def test_a_binary_that_is_not_there_leaves_nothing(
    folder: Path, restore: Callable[..., Restored]
) -> None:
    with pytest.raises(UsageError, match="no-such-qemu"):
        restore(argv=["no-such-qemu"])
    assert run_files(folder) == []


def test_a_run_directory_that_cannot_be_made_is_named(
    folder: Path, restore: Callable[..., Restored]
) -> None:
    with pytest.raises(UsageError, match=r"gone/run: No such file or directory \(--work-dir"):
        restore(directory=folder / "gone/run")


def test_a_run_directory_made_by_another_meanwhile_is_not_ours(folder: Path) -> None:
    plan = plan_restore(Request(snapshot=folder / "snap"))
    plan.places.files.mkdir()
    with pytest.raises(UsageError, match=r"File exists$"):
        restore_eager(plan, paused=True, on_progress=lambda _: None)
    plan.places.files.rmdir()


def test_sockets_are_elsewhere_when_the_run_directory_is_too_deep(
    folder: Path, restore: Callable[..., Restored]
) -> None:
    restored = restore(paused=True, directory=folder / ("d" * 90))
    assert restored.plan.qmp_socket.parent == restored.plan.places.sockets
    PlainQmp(restored.plan.qmp_socket).close()


def test_progress_counts_every_byte(folder: Path) -> None:
    counts: list[int] = []
    plan = plan_restore(Request(snapshot=folder / "snap"))
    restored = restore_eager(plan, paused=True, on_progress=counts.append)
    restored.process.kill()
    shutil.rmtree(plan.places.files)
    # QEMU need not read the description at the end.
    assert 0 < sum(counts) <= plan.state.stat().st_size


def test_qemu_that_dies_half_way_is_reported(
    folder: Path, restore: Callable[..., Restored], monkeypatch: pytest.MonkeyPatch
) -> None:
    load = eager._load_from

    async def load_and_die(session: Session, uri: str) -> None:
        process_id = session.peer_process_id()
        assert process_id is not None
        os.kill(process_id, signal.SIGKILL)
        await load(session, uri)

    monkeypatch.setattr(eager, "_load_from", load_and_die)
    with pytest.raises(QemuError, match=r"^QEMU ended by signal 9$"):
        restore()
    assert run_files(folder) == []


def script(folder: Path, *lines: str) -> Path:
    path = folder / "qemu"
    path.write_text("\n".join(["#!/bin/sh", *lines, ""]))
    path.chmod(0o755)
    return path


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_takes_everything_away(folder: Path, tmp_path: Path, number: int) -> None:
    pid = tmp_path / "pid"
    wrapper = script(tmp_path, f"echo $$ > {pid}", "exec sleep 60")
    words = ["-m", "vmstate_tools", "restore", str(folder / "snap"), "--", str(wrapper)]
    ours = subprocess.Popen([sys.executable, *words], stderr=subprocess.PIPE, text=True)
    while not pid.exists() or not pid.read_text():
        assert ours.poll() is None
        time.sleep(0.01)
    ours.send_signal(number)
    _, said = ours.communicate(timeout=SECONDS)
    assert (ours.returncode, said.splitlines()[-1]) == (130, "vmstate: interrupted")
    assert run_files(folder) == []
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid.read_text()), 0)


def test_a_start_that_takes_for_ever_is_given_up(
    folder: Path, tmp_path: Path, restore: Callable[..., Restored], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(eager, "START_SECONDS", 0.1)
    monkeypatch.setattr(eager, "END_SECONDS", 0.1)
    with pytest.raises(QemuError, match=r"QEMU does not answer on .* after 0\.1 s"):
        restore(argv=[str(script(tmp_path, "exec sleep 60"))])
    assert run_files(folder) == []


def test_a_load_that_reads_nothing_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(eager, "STALL_SECONDS", 0.05)

    async def watch() -> None:
        with (tmp_path / "state").open("w+b") as state:
            loading = asyncio.create_task(asyncio.sleep(60))
            try:
                await eager._watch(loading, state.fileno(), lambda _: None)
            finally:
                loading.cancel()

    with pytest.raises(QmpLostError, match=r"has not read on for 0\.05 s \(at byte 0x0 of"):
        asyncio.run(watch())


@pytest.mark.slow
def test_a_real_linux_goes_on_with_its_disks(
    linux_guest: Callable[[], Vm], tmp_path: Path, short_path: Path
) -> None:
    vm = linux_guest()
    last = vm.wait_for_tick(3)
    request = capture.Request(socket=vm.qmp_path, directory=tmp_path / "snap")
    capture.capture(request, lambda _: None)
    plan = plan_restore(Request(snapshot=tmp_path / "snap", directory=short_path / "run"))
    restored = restore_eager(plan, paused=False, on_progress=lambda _: None)
    try:
        found = wait_for_ticks(restored, 3)
    finally:
        restored.process.kill()
    assert last - 1 <= found[0] <= last + 3
    assert found == list(range(found[0], found[0] + len(found)))
    assert "torn" not in (plan.places.files / "serial.log").read_text()
    vm.wait_for_tick(found[-1])
