from pathlib import Path

from builders import stream as build
from builders.evidence import directory_evidence, evidence, told
from builders.snapshot_directory import snapshot_directory
from vmstate_tools.checks.pairing import pairing


def test_disks_that_are_there_are_nothing_to_find(tmp_path: Path) -> None:
    directory = snapshot_directory(tmp_path / "monday", build.stream(), disks=2)
    assert list(pairing(directory_evidence(directory))) == []


def test_a_missing_disk_layer_is_an_error(tmp_path: Path) -> None:
    directory = snapshot_directory(tmp_path / "monday", build.stream(), disks=2)
    layer = tmp_path / "disk1.qcow2"
    layer.unlink()
    assert told(list(pairing(directory_evidence(directory)))) == [
        ("error", f"disk disk1: {layer} is missing")
    ]


def test_a_state_file_alone_has_no_disks() -> None:
    assert list(pairing(evidence(build.stream()))) == []
