from __future__ import annotations

import os
import shlex
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from builders import stream as build
from builders.manifest import manifest
from builders.snapshot_directory import snapshot_directory
from vmstate_tools.core.errors import FormatError, UnsupportedError, UsageError
from vmstate_tools.live.plan import MAX_SOCKET_PATH_BYTES, Plan, Request, plan_restore
from vmstate_tools.snapshot.manifest import Base, Qemu

if TYPE_CHECKING:
    from pathlib import Path

QEMU = manifest().qemu


def recorded(folder: Path, *words: str, **changes: Any) -> Qemu:
    argv = ("qemu-system-x86_64", *words)
    return replace(QEMU, **({"argv": argv, "working_directory": str(folder)} | changes))


def snapshot(folder: Path, *words: str, disks: int = 0, **changes: Any) -> Path:
    values = {"qemu": recorded(folder, *words)} | changes
    return snapshot_directory(folder / "snap", build.stream(), disks, **values)


def argv(plan: Plan) -> list[str]:
    return plan.to_argv(incoming="defer", stopped=True)


def test_the_recorded_command_line_gets_overlays_and_a_start(tmp_path: Path) -> None:
    directory = snapshot(tmp_path, "-M", "pc", "-hda", "disk0.qcow2", disks=1)
    plan = plan_restore(Request(snapshot=directory))
    run = tmp_path / "snap.restored-1"
    assert argv(plan) == [
        *("qemu-system-x86_64", "-M", "pc-i440fx-7.2", "-hda", f"{run}/disk0.qcow2"),
        *("-qmp", f"unix:{plan.qmp_socket},server=on,wait=off", "-S", "-incoming", "defer"),
    ]
    (overlay,) = plan.overlays
    assert (overlay.frozen, overlay.frozen_format) == (f"{tmp_path}/disk0.qcow2", "qcow2")
    assert not run.exists()


def test_a_command_line_from_before_an_earlier_snapshot_names_the_base(tmp_path: Path) -> None:
    directory = snapshot(tmp_path, "-M", "pc", "-hda", "disk0.raw", disks=1)
    assert f"{tmp_path}/snap.restored-1/disk0.qcow2" in argv(
        plan_restore(Request(snapshot=directory))
    )


def test_a_given_command_line_that_names_the_layer_in_use_gets_the_frozen_one(
    tmp_path: Path,
) -> None:
    directory = snapshot(tmp_path, disks=1)
    words = ["qemu", "-hda", f"{tmp_path}/disk0.1.qcow2"]
    plan = plan_restore(Request(snapshot=directory, argv=words))
    assert argv(plan)[:3] == ["qemu", "-hda", f"{tmp_path}/snap.restored-1/disk0.qcow2"]


def test_a_disk_that_a_given_command_line_does_not_name_gets_no_overlay(tmp_path: Path) -> None:
    directory = snapshot(tmp_path, disks=1)
    plan = plan_restore(Request(snapshot=directory, argv=["qemu"]))
    assert plan.overlays == ()
    assert plan.notes == (
        f"disk virtio0 ({tmp_path}/disk0.qcow2) of the snapshot is not on the command line",
    )


def test_run_directories_are_numbered(tmp_path: Path) -> None:
    directory = snapshot(tmp_path)
    (tmp_path / "snap.restored-1").mkdir()
    assert plan_restore(Request(snapshot=directory)).places.files == tmp_path / "snap.restored-2"


def test_the_run_directory_and_the_socket_can_be_named(tmp_path: Path) -> None:
    directory = snapshot(tmp_path)
    request = Request(
        snapshot=directory, directory=tmp_path / "run", qmp_socket=tmp_path / "socket"
    )
    plan = plan_restore(request)
    assert (plan.places.files, plan.qmp_socket) == (tmp_path / "run", tmp_path / "socket")


def test_what_exists_is_not_used_again(tmp_path: Path) -> None:
    directory, taken = snapshot(tmp_path), tmp_path / "taken"
    taken.mkdir()
    with pytest.raises(UsageError, match=r"taken: exists already$"):
        plan_restore(Request(snapshot=directory, directory=taken))
    with pytest.raises(UsageError, match=r"taken: exists already$"):
        plan_restore(Request(snapshot=directory, qmp_socket=taken))


def test_a_socket_name_too_long_for_the_kernel_is_refused(tmp_path: Path) -> None:
    request = Request(snapshot=snapshot(tmp_path), qmp_socket=tmp_path / ("s" * 108))
    with pytest.raises(UsageError, match=r"too long .*at most 107 bytes"):
        plan_restore(request)


def test_sockets_move_where_the_run_directory_is_too_deep(tmp_path: Path) -> None:
    deep = tmp_path / ("d" * 100)
    deep.mkdir()
    plan = plan_restore(Request(snapshot=snapshot(deep)))
    assert plan.places.sockets != plan.places.files
    assert len(os.fsencode(plan.qmp_socket)) <= MAX_SOCKET_PATH_BYTES


def test_a_state_file_needs_a_command_line(tmp_path: Path) -> None:
    file = tmp_path / "state"
    file.write_bytes(build.stream())
    with pytest.raises(UsageError, match="does not hold QEMU's command line; give one after --"):
        plan_restore(Request(snapshot=file))
    plan = plan_restore(Request(snapshot=file, argv=["qemu", "-m", "64"]))
    assert plan.state == file
    assert argv(plan)[:3] == ["qemu", "-m", "64"]


def test_what_changes_the_layout_of_the_stream_is_passed_on(tmp_path: Path) -> None:
    file = tmp_path / "state"
    file.write_bytes(build.stream(subsections=build.capabilities("x-ignore-shared")))
    plan = plan_restore(Request(snapshot=file, argv=["qemu"]))
    assert plan.capabilities == ("x-ignore-shared",)


def test_a_stream_without_configuration_has_no_capabilities(tmp_path: Path) -> None:
    file = tmp_path / "state"
    file.write_bytes(build.stream(machine=None))
    assert plan_restore(Request(snapshot=file, argv=["qemu"])).capabilities == ()


@pytest.mark.parametrize("layer", ["disk0.qcow2", "disk0.raw"])
def test_a_missing_layer_is_named(tmp_path: Path, layer: str) -> None:
    directory = snapshot(tmp_path, "-hda", "disk0.qcow2", disks=1)
    (tmp_path / layer).unlink()
    with pytest.raises(UsageError, match=rf"^{tmp_path}/{layer}: disk disk0: is missing$"):
        plan_restore(Request(snapshot=directory))


def test_a_damaged_layer_is_named(tmp_path: Path) -> None:
    directory = snapshot(tmp_path, "-hda", "disk0.qcow2", disks=1)
    (tmp_path / "disk0.qcow2").write_bytes(b"hello")
    with pytest.raises(FormatError, match=r"disk0\.qcow2: disk disk0: is not a qcow2 image"):
        plan_restore(Request(snapshot=directory))


def test_a_state_that_was_cut_is_named(tmp_path: Path) -> None:
    directory = snapshot(tmp_path)
    (directory / "vmstate.bin").write_bytes(b"QEVM")
    with pytest.raises(FormatError, match=r"vmstate\.bin: is 4 bytes long \(expected"):
        plan_restore(Request(snapshot=directory))


def test_what_is_no_stream_is_called_what_it_is(tmp_path: Path) -> None:
    file = tmp_path / "state"
    file.write_bytes(b"\x28\xb5\x2f\xfd" + bytes(100))
    with pytest.raises(UnsupportedError, match="compressed with zstd"):
        plan_restore(Request(snapshot=file, argv=["qemu"]))


def test_an_incremental_snapshot_is_not_loaded(tmp_path: Path) -> None:
    directory = snapshot(tmp_path, base=Base(path=str(tmp_path), sha256="0" * 64))
    with pytest.raises(UnsupportedError, match="without its base"):
        plan_restore(Request(snapshot=directory))


def test_a_snapshot_without_a_command_line_says_so(tmp_path: Path) -> None:
    directory = snapshot(tmp_path, qemu=recorded(tmp_path, argv=None))
    with pytest.raises(UsageError, match="snap: QEMU's command line was not recorded"):
        plan_restore(Request(snapshot=directory))


def test_a_working_directory_that_is_gone_is_named(tmp_path: Path) -> None:
    directory = snapshot(tmp_path, qemu=recorded(tmp_path / "gone"))
    with pytest.raises(UsageError, match="gone is gone"):
        plan_restore(Request(snapshot=directory))


@pytest.mark.parametrize("binary,expected", [("/opt/qemu", "/opt/qemu"), (None, "no-such-qemu")])
def test_a_program_that_is_not_in_path_is_found_where_it_was(
    tmp_path: Path, binary: str | None, expected: str
) -> None:
    qemu = recorded(tmp_path, argv=("no-such-qemu",), binary=binary, working_directory=None)
    plan = plan_restore(Request(snapshot=snapshot(tmp_path, qemu=qemu)))
    assert plan.line.program == expected


def test_the_commands_by_hand_are_ready_for_a_shell(tmp_path: Path) -> None:
    folder = tmp_path / "it's here"
    folder.mkdir()
    directory = snapshot(folder, "-M", "pc", "-hda", "disk0.qcow2", disks=1)
    plan = plan_restore(Request(snapshot=directory))
    cd, mkdir, overlay, start = (shlex.split(line) for line in plan.to_shell(paused=False))
    run = folder / "snap.restored-1"
    assert cd == ["cd", str(folder)]
    assert mkdir[:2] == ["mkdir", str(run)]
    assert overlay == [
        *("qemu-img", "create", "-q", "-f", "qcow2"),
        *("-b", f"{folder}/disk0.qcow2", "-F", "qcow2", f"{run}/disk0.qcow2", "1048576"),
    ]
    assert start[-2:] == ["-incoming", f"exec:cat {shlex.quote(str(directory / 'vmstate.bin'))}"]
    assert "-S" not in start
    assert "-S" in shlex.split(plan.to_shell(paused=True)[-1])
