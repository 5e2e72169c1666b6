from __future__ import annotations

import json
import shlex
import subprocess
import time
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from builders import stream as build
from builders.manifest import manifest
from builders.snapshot_directory import snapshot_directory
from plain_qmp import PlainQmp
from vmstate_tools.cli.main import run
from vmstate_tools.guest.image import make_boot_disk
from vmstate_tools.live.capture import Request, capture
from vmstate_tools.qemu.process import stop_process

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import StartVm


@pytest.fixture
def unloaded(tmp_path: Path) -> Path:
    """A snapshot directory that no QEMU has to load."""
    argv = ("qemu-system-x86_64", "-M", "pc", "-hda", "disk0.qcow2", "-vnc", ":1")
    qemu = replace(manifest().qemu, argv=argv, working_directory=str(tmp_path))
    return snapshot_directory(tmp_path / "snap", build.stream(), 1, qemu=qemu)


@pytest.fixture
def taken(start_vm: StartVm, short_path: Path) -> Path:
    """A snapshot of the built-in guest."""
    boot = short_path / "boot.qcow2"
    make_boot_disk(boot, memory_mib=2)
    vm = start_vm(disks=[boot])
    vm.wait_for_tick(1)
    capture(Request(socket=vm.qmp_path, directory=short_path / "snap"), lambda _: None)
    return short_path / "snap"


def test_a_dry_run_prints_what_to_paste_and_makes_nothing(
    unloaded: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["restore", str(unloaded), "--dry-run", "--paused"]) == 0
    out, err = capsys.readouterr()
    cd, _, create, start = (shlex.split(line) for line in out.splitlines())
    assert cd == ["cd", str(unloaded.parent)]
    assert create[:2] == ["qemu-img", "create"]
    assert start[:3] == ["qemu-system-x86_64", "-M", "pc-i440fx-7.2"]
    assert "-S" in start
    assert err.startswith("vmstate: note: -vnc :1 is now -vnc unix:")
    assert not unloaded.with_name("snap.restored-1").exists()


def test_a_dry_run_in_json(unloaded: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["restore", str(unloaded), "--dry-run", "--json", "-q"]) == 0
    out, err = capsys.readouterr()
    document = json.loads(out)
    run_directory = f"{unloaded}.restored-1"
    assert err == ""
    assert document["schema"] == "vmstate/restore/1"
    assert (document["pid"], document["seconds_to_running"]) == (None, None)
    assert (document["mode"], document["paused"]) == ("eager", False)
    assert document["directory"] == run_directory
    assert document["overlays"] == [
        {"overlay": f"{run_directory}/disk0.qcow2", "frozen": f"{unloaded.parent}/disk0.qcow2"}
    ]
    assert document["argv"][:3] == ["qemu-system-x86_64", "-M", "pc-i440fx-7.2"]
    assert len(document["notes"]) == 1


def test_a_command_line_after_two_dashes_is_the_one_that_counts(
    unloaded: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["qemu", "-m", "64", "-hda", f"{unloaded.parent}/disk0.qcow2", "-vnc", ":1"]
    assert run(["restore", str(unloaded), "--dry-run", "--json", "--", *words]) == 0
    out, err = capsys.readouterr()
    words[4] = f"{unloaded}.restored-1/disk0.qcow2"
    assert json.loads(out)["argv"][: len(words)] == words
    assert err == ""


@pytest.mark.parametrize("mode", ["instant", "lazy"])
def test_a_mode_that_is_not_there_yet_says_so(
    unloaded: Path, mode: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["restore", str(unloaded), "--mode", mode]) == 2
    assert "comes in a later version" in capsys.readouterr().err


def test_a_restore_tells_how_to_reach_the_vm(
    taken: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["restore", str(taken), "--mode", "eager", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    stop_process(document["pid"])
    assert document["schema"] == "vmstate/restore/1"
    assert (document["mode"], document["paused"]) == ("eager", False)
    assert document["qmp"] == f"{taken}.restored-1/qmp.sock"
    assert 0 < document["seconds_to_running"] < 30


def test_a_restore_says_what_it_did(taken: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["restore", str(taken), "--paused", "-q"]) == 0
    lines = dict(line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines())
    stop_process(int(lines["process"]))
    assert lines["paused"].endswith("after the start of QEMU")
    assert lines["files"] == f"{taken}.restored-1"
    assert lines["overlay"] == f"{taken}.restored-1/disk0.qcow2"
    assert lines["frozen"] == f"{taken.parent}/boot.qcow2"


def test_what_a_dry_run_prints_works_in_a_shell(
    taken: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["restore", str(taken), "--dry-run", "--paused"]) == 0
    *before, start = capsys.readouterr().out.splitlines()
    script = "\n".join(["set -e", *before, f"exec {start}"])
    with subprocess.Popen(["sh", "-c", script]) as process:
        try:
            assert wait_until_paused(taken.with_name("snap.restored-1") / "qmp.sock", process)
        finally:
            process.kill()


def wait_until_paused(socket: Path, process: subprocess.Popen[bytes]) -> bool:
    while not socket.exists():
        assert process.poll() is None
        time.sleep(0.01)
    qmp = PlainQmp(socket)
    try:
        while (status := qmp("query-status")["status"]) == "inmigrate":
            time.sleep(0.01)
    finally:
        qmp.close()
    return bool(status == "paused")


def test_a_failed_restore_is_one_line(unloaded: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["restore", str(unloaded), "-q", "--", "false"]) == 5
    assert capsys.readouterr().err == "vmstate: QEMU ended with exit code 1\n"
