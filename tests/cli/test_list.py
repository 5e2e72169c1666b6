import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from builders.manifest import manifest
from builders.snapshot_directory import snapshot_directory
from vmstate_tools.cli.main import run
from vmstate_tools.snapshot.manifest import MANIFEST_NAME, RamBlock


def listed(capsys: pytest.CaptureFixture[str], *arguments: Path | str) -> list[str]:
    assert run(["list", *map(str, arguments)]) == 0
    return capsys.readouterr().out.splitlines()


def listed_json(capsys: pytest.CaptureFixture[str], *places: Path) -> list[dict[str, object]]:
    assert run(["list", "--json", *map(str, places)]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["schema"] == "vmstate/list/1"
    snapshots: list[dict[str, object]] = document["snapshots"]
    return snapshots


def test_a_snapshot_is_one_line_of_a_table(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    directory = snapshot_directory(tmp_path / "monday", bytes(3 << 20), disks=2)
    heading, line = listed(capsys, directory)
    assert heading.split() == ["SNAPSHOT", "TAKEN", "MACHINE", "MEMORY", "SIZE", "PAUSE", "DISKS"]
    local = datetime(2026, 5, 4, 3, 2, 1, tzinfo=UTC).astimezone()
    for part in (
        "monday ",
        f"{local:%Y-%m-%d %H:%M:%S}",
        "pc-i440fx-7.2",
        "128 MiB",
        "3 MiB",
        "4.2 ms",
        "2, ok",
    ):
        assert part in line
    assert len(line) <= 80


def test_a_folder_lists_its_snapshots_in_the_order_they_were_taken(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, day in (("a", 3), ("b", 1), ("c", 2)):
        snapshot_directory(tmp_path / name, created=datetime(2026, 5, day, tzinfo=UTC))
    (tmp_path / "other").mkdir()
    (tmp_path / "file").touch()
    found = listed_json(capsys, tmp_path)
    assert [entry["directory"] for entry in found] == [f"{tmp_path}/{name}" for name in "bca"]


def test_json_tells_what_the_manifest_tells(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    blocks = (RamBlock(name="pc.ram", size=1 << 20), RamBlock(name="vga.vram", size=1 << 10))
    directory = snapshot_directory(tmp_path / "monday", b"state", disks=1, ram_blocks=blocks)
    assert listed_json(capsys, directory) == [
        {
            "directory": str(directory),
            "state": "finished",
            "created": "2026-05-04T03:02:01Z",
            "machine": "pc-i440fx-7.2",
            "vm_name": "vm",
            "vm_uuid": None,
            "was_running": True,
            "memory_bytes": (1 << 20) + (1 << 10),
            "bytes": 5,
            "downtime_seconds": 0.0042,
            "duration_seconds": 1.5,
            "base": None,
            "pairing": "ok",
            "disks": [
                {
                    "node": "disk0",
                    "device": "virtio0",
                    "frozen": f"{tmp_path}/disk0.qcow2",
                    "overlay": f"{tmp_path}/disk0.1.qcow2",
                    "checked": True,
                    "ok": True,
                }
            ],
            "problems": [],
        }
    ]


def test_a_snapshot_of_a_paused_vm_without_disks_had_no_pause(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    directory = snapshot_directory(tmp_path / "monday", downtime=None)
    assert listed(capsys, directory)[1].split()[-2:] == ["-", "none"]
    assert listed_json(capsys, directory)[0]["downtime_seconds"] is None


def test_a_broken_pairing_is_explained_below_the_table(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    directory = snapshot_directory(tmp_path / "monday", b"state", disks=2)
    (tmp_path / "disk1.qcow2").unlink()
    (directory / "vmstate.bin").unlink()
    _, line, *remarks = listed(capsys, directory)
    assert line.endswith("2, 1 broken")
    assert remarks == [
        f"{directory}: {directory}/vmstate.bin is missing",
        f"{directory}: disk disk1: {tmp_path}/disk1.qcow2 is missing",
    ]
    (entry,) = listed_json(capsys, directory)
    assert entry["pairing"] == "broken"
    assert entry["problems"] == [
        {"node": None, "path": f"{directory}/vmstate.bin", "problem": "is missing"},
        {"node": "disk1", "path": f"{tmp_path}/disk1.qcow2", "problem": "is missing"},
    ]


def test_an_unfinished_snapshot_is_named_as_such(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    directory = tmp_path / "monday"
    directory.mkdir()
    (directory / "vmstate.bin").touch()
    assert listed(capsys, tmp_path) == [f"{directory}: unfinished: it has no manifest"]
    (entry,) = listed_json(capsys, tmp_path)
    assert entry == {
        "directory": str(directory),
        "state": "unfinished",
        "error": "it has no manifest",
    }


@pytest.mark.parametrize(
    "text, state",
    [
        ("{", "damaged"),
        ('{"schema": "vmstate/manifest/9"}', "unsupported"),
    ],
)
def test_a_manifest_that_cannot_be_read_does_not_hide_the_others(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, state: str
) -> None:
    good = snapshot_directory(tmp_path / "good")
    bad = snapshot_directory(tmp_path / "bad")
    (bad / MANIFEST_NAME).write_text(text)
    found = listed_json(capsys, tmp_path)
    assert [(entry["directory"], entry["state"]) for entry in found] == [
        (str(good), "finished"),
        (str(bad), state),
    ]


def test_a_manifest_that_may_not_be_read_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    directory = tmp_path / "monday"
    directory.mkdir()
    (directory / MANIFEST_NAME).symlink_to("/proc/self/mem")
    (entry,) = listed_json(capsys, tmp_path)
    assert entry["state"] == "unreadable"


def test_a_name_cannot_reach_the_terminal_raw(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    snapshot_directory(tmp_path / "mon\x1b[2Jday", machine="pc\x1b[31m")
    assert all(line.isprintable() for line in listed(capsys, tmp_path))


def test_a_folder_without_snapshots_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["list", str(tmp_path)]) == 0
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", "vmstate: no snapshots here\n")


def test_a_place_that_is_not_there_is_wrong_usage(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["list", str(tmp_path / "missing")]) == 2
    assert capsys.readouterr().err == f"vmstate: {tmp_path}/missing: No such file or directory\n"


def test_the_builder_is_true(tmp_path: Path) -> None:
    assert manifest().files.keys() == {"vmstate.bin"}
    assert (snapshot_directory(tmp_path / "x", disks=1) / MANIFEST_NAME).exists()
