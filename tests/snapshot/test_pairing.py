import os
import socket
from pathlib import Path

import pytest

from builders.manifest import disk, manifest
from builders.snapshot_directory import DISK_BYTES, qcow2_image, snapshot_directory
from vmstate_tools.snapshot.manifest import Layer, read_manifest
from vmstate_tools.snapshot.pairing import find_pairing_problems, is_disk_whole


def problems(directory: Path) -> list[tuple[str | None, str, str]]:
    found = find_pairing_problems(directory, read_manifest(directory))
    return [(problem.node, Path(problem.path).name, problem.problem) for problem in found]


def test_a_directory_whose_layers_are_all_there_has_no_problem(tmp_path: Path) -> None:
    directory = snapshot_directory(tmp_path / "monday", b"state", disks=2)
    assert problems(directory) == []
    assert all(is_disk_whole(disk) for disk in read_manifest(directory).disks)


def test_a_missing_overlay_is_no_problem_of_the_snapshot(tmp_path: Path) -> None:
    directory = snapshot_directory(tmp_path / "monday", disks=1)
    assert not Path(read_manifest(directory).disks[0].overlay.path).exists()
    assert problems(directory) == []


def test_a_missing_frozen_layer_is_named(tmp_path: Path) -> None:
    directory = snapshot_directory(tmp_path / "monday", disks=2)
    (tmp_path / "disk1.qcow2").unlink()
    assert problems(directory) == [("disk1", "disk1.qcow2", "is missing")]
    assert [is_disk_whole(disk) for disk in read_manifest(directory).disks] == [True, False]


def test_a_missing_backing_file_is_named(tmp_path: Path) -> None:
    directory = snapshot_directory(tmp_path / "monday", disks=1)
    (tmp_path / "disk0.raw").unlink()
    assert problems(directory) == [("disk0", "disk0.raw", "is missing")]


def test_a_layer_that_became_a_socket_is_named(tmp_path: Path) -> None:
    directory = snapshot_directory(tmp_path / "monday", disks=1)
    (tmp_path / "disk0.raw").unlink()
    home = Path.cwd()
    os.chdir(tmp_path)  # the path of a socket must be short
    try:
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind("disk0.raw")
    finally:
        os.chdir(home)
    assert problems(directory) == [
        ("disk0", "disk0.raw", "is neither a file nor a block device"),
    ]


@pytest.mark.parametrize("content", [b"", b"QFI\xfb", bytes(100)])
def test_a_frozen_layer_that_is_no_qcow2_image_is_named(tmp_path: Path, content: bytes) -> None:
    directory = snapshot_directory(tmp_path / "monday", disks=1)
    (tmp_path / "disk0.qcow2").write_bytes(content)
    assert problems(directory) == [("disk0", "disk0.qcow2", "is not a qcow2 image")]


def test_an_image_that_was_resized_is_named(tmp_path: Path) -> None:
    directory = snapshot_directory(tmp_path / "monday", disks=1)
    (tmp_path / "disk0.qcow2").write_bytes(qcow2_image(2 * DISK_BYTES))
    assert problems(directory) == [
        ("disk0", "disk0.qcow2", f"has a size of {2 * DISK_BYTES} bytes (expected {DISK_BYTES})"),
    ]


def test_a_raw_image_that_was_cut_is_named(tmp_path: Path) -> None:
    directory = snapshot_directory(tmp_path / "monday", disks=1)
    os.truncate(tmp_path / "disk0.raw", 512)
    assert problems(directory) == [
        ("disk0", "disk0.raw", f"has a size of 512 bytes (expected {DISK_BYTES})"),
    ]


def test_qemu_rounds_a_raw_image_up_to_whole_sectors(tmp_path: Path) -> None:
    image = tmp_path / "disk.raw"
    image.write_bytes(bytes(1000))
    made = disk(
        frozen=Layer(path=str(image), format="raw", virtual_size=1024),
        backing_chain=(),
    )
    assert is_disk_whole(made)


def test_an_image_that_may_not_be_read_is_named() -> None:
    # Unlike a mode of 0, this holds for root too.
    broken = disk(frozen=Layer(path="/proc/self/mem", format="raw"), backing_chain=())
    (problem,) = find_pairing_problems(Path("/"), manifest(files={}, disks=(broken,)))
    assert problem.problem == "cannot be read: Input/output error"


def test_a_path_that_leads_through_a_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    broken = disk(frozen=Layer(path=f"{tmp_path}/file/x", format="raw"), backing_chain=())
    (problem,) = find_pairing_problems(tmp_path, manifest(files={}, disks=(broken,)))
    assert problem.problem == "cannot be reached: Not a directory"


def test_an_image_that_only_qemu_can_open_is_left_to_it() -> None:
    remote = disk(frozen=Layer(path="nbd://host/disk", format="raw"), backing_chain=())
    assert find_pairing_problems(Path("/"), manifest(files={}, disks=(remote,))) == []


def test_a_state_file_of_another_length_is_named(tmp_path: Path) -> None:
    directory = snapshot_directory(tmp_path / "monday", b"state")
    os.truncate(directory / "vmstate.bin", 3)
    assert problems(directory) == [(None, "vmstate.bin", "is 3 bytes long (expected 5)")]


def test_a_missing_state_file_is_named(tmp_path: Path) -> None:
    directory = snapshot_directory(tmp_path / "monday", b"state")
    (directory / "vmstate.bin").unlink()
    assert problems(directory) == [(None, "vmstate.bin", "is missing")]
