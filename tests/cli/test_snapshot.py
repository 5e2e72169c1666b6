from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import pytest

from vmstate_tools.cli.main import run

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import StartGuest, StartVm


def test_it_says_what_was_done_in_a_few_lines(
    built_in_guest: StartGuest, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    vm = built_in_guest()
    vm.wait_for_tick(1)
    assert run(["snapshot", str(vm.qmp_path), str(tmp_path / "monday")]) == 0
    out, err = capsys.readouterr()
    lines = dict(line.split(maxsplit=1) for line in out.splitlines())
    assert lines["snapshot"] == str(tmp_path / "monday")
    pause = r"[\d.]+ ms \(overlays [\d.]+ ms, setup [\d.]+ ms, device state [\d.]+ ms\)"
    assert re.fullmatch(pause, lines["pause"])
    assert re.fullmatch(r"[\d,]+ pages stored, [\d,]+ pages zero", lines["memory"])
    assert lines["overlay"] == str(tmp_path / "disk1.monday.qcow2")  # the last of two
    assert err == ""


def test_json_holds_what_scripts_rely_on(
    built_in_guest: StartGuest, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    vm = built_in_guest(disk_count=1)
    vm.wait_for_tick(1)
    assert run(["snapshot", str(vm.qmp_path), str(tmp_path / "snap"), "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["schema"] == "vmstate/snapshot/1"
    assert document["directory"] == str(tmp_path / "snap")
    assert 0 < document["downtime_seconds"] == document["downtime"]["total_seconds"]
    assert document["duration_seconds"] > document["downtime_seconds"]
    assert document["bytes"] == (tmp_path / "snap/vmstate.bin").stat().st_size
    assert document["disks"] == [
        {
            "node": "disk0",
            "frozen": str(tmp_path / "disk0.qcow2"),
            "overlay": str(tmp_path / "disk0.snap.qcow2"),
        }
    ]


def test_a_paused_vm_has_no_pause_of_ours(
    built_in_guest: StartGuest, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    vm = built_in_guest(disk_count=1)
    vm.wait_for_tick(1)
    vm.qmp("stop")
    arguments = ["snapshot", str(vm.qmp_path), str(tmp_path / "snap"), "--disks", "none"]
    assert run(arguments) == 0
    out = capsys.readouterr().out
    assert "pause     none of ours (the VM was paused, and is)" in out
    assert "left out  disk0: --disks none" in out
    # QEMU 7.2 lets it run for an instant; that is not kept from anybody.
    vm.qmp("query-status")
    ran = "RESUME" in [event.name for event in vm.events]
    assert ("let the paused VM run for" in out) == ran


@pytest.mark.parametrize("quiet", [["-q"], []])
def test_without_a_terminal_there_is_no_progress(
    start_vm: StartVm, tmp_path: Path, capsys: pytest.CaptureFixture[str], quiet: list[str]
) -> None:
    vm = start_vm()
    assert run(["snapshot", str(vm.qmp_path), str(tmp_path / "snap"), *quiet]) == 0
    assert capsys.readouterr().err == ""


def test_no_socket_is_a_wrong_use(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["snapshot", str(tmp_path / "no.qmp"), str(tmp_path / "snap")]) == 2
    err = capsys.readouterr().err
    assert err == (
        f"vmstate: {tmp_path}/no.qmp: no QMP socket answers there: No such file or directory\n"
    )


def test_a_vm_that_cannot_be_snapshotted_is_a_failure_of_qemu(
    start_vm: StartVm, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    vm = start_vm("-S")
    assert run(["snapshot", str(vm.qmp_path), str(tmp_path / "snap")]) == 5
    err = capsys.readouterr().err
    assert err.startswith("vmstate: no snapshot is possible: the VM is in state prelaunch")
    assert err.count("\n") == 1
