"""A snapshot directory whose manifest is true: state file and disk images are there."""

import hashlib
from pathlib import Path
from typing import Any

from builders.manifest import disk, manifest
from vmstate_tools.snapshot.manifest import FileDigest, Layer, Overlay, StateFile, write_manifest

DISK_BYTES = 1 << 20


def qcow2_image(virtual_size: int = DISK_BYTES) -> bytes:
    """The part of a qcow2 header that says what it is: magic, version 3, virtual size."""
    return b"QFI\xfb" + bytes([0, 0, 0, 3]) + bytes(16) + virtual_size.to_bytes(8, "big")


def snapshot_directory(path: Path, data: bytes = b"", disks: int = 0, **changes: Any) -> Path:
    """Make `path`, and beside it images for its disks: diskN.qcow2 on diskN.raw."""
    path.mkdir()
    (path / "vmstate.bin").write_bytes(data)
    digest = FileDigest(bytes=len(data), sha256=hashlib.sha256(data).hexdigest())
    made = []
    for index in range(disks):
        frozen = path.parent / f"disk{index}.qcow2"
        frozen.write_bytes(qcow2_image())
        backing = path.parent / f"disk{index}.raw"
        backing.write_bytes(bytes(DISK_BYTES))
        overlay = Overlay(path=str(path.parent / f"disk{index}.1.qcow2"), node=f"disk{index}-1")
        made.append(
            disk(
                node=f"disk{index}",
                frozen=Layer(path=str(frozen), format="qcow2", virtual_size=DISK_BYTES),
                backing_chain=(Layer(path=str(backing), format="raw", virtual_size=DISK_BYTES),),
                overlay=overlay,
            )
        )
    values: dict[str, Any] = {
        "state": StateFile(name="vmstate.bin", format="stream"),
        "files": {"vmstate.bin": digest},
        "disks": tuple(made),
    }
    write_manifest(path, manifest(**(values | changes)))
    return path
