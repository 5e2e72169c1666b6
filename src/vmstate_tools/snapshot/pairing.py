"""Does a snapshot directory still have everything it names: its files, and its disks' layers.

Only what the file system says at a glance; no image is read beyond its header.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from vmstate_tools.snapshot.manifest import is_file_path

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vmstate_tools.snapshot.manifest import Disk, Layer, Manifest

QCOW2_MAGIC = b"QFI\xfb"
QCOW2_VIRTUAL_SIZE = slice(24, 32)
"""Virtual size in bytes, big-endian: docs/interop/qcow2.txt of QEMU 10.0.2."""

SECTOR_BYTES = 512
"""QEMU rounds the size of a raw image up to whole sectors."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PairingProblem:
    """Something that the manifest names is not there, or is not what it was."""

    node: str | None
    """Node name of the disk, or None for a file of the directory itself."""
    path: str
    problem: str


def find_pairing_problems(directory: Path, manifest: Manifest) -> list[PairingProblem]:
    """Look at every file and every disk layer that a restore would need.

    Overlays are not among them: they hold what the guest wrote after the snapshot.
    """
    return [*_check_files(directory, manifest), *_check_disks(manifest)]


def _check_files(directory: Path, manifest: Manifest) -> Iterator[PairingProblem]:
    for name, digest in manifest.files.items():
        path = directory / name
        problem = _check_kind(path)
        if problem is None and path.stat().st_size != digest.bytes:
            problem = f"is {path.stat().st_size} bytes long (expected {digest.bytes})"
        if problem is not None:
            yield PairingProblem(node=None, path=str(path), problem=problem)


def _check_disks(manifest: Manifest) -> Iterator[PairingProblem]:
    for disk in manifest.disks:
        for layer in (disk.frozen, *disk.backing_chain):
            problem = _check_layer(layer)
            if problem is not None:
                yield PairingProblem(node=disk.node, path=layer.path, problem=problem)


def is_disk_whole(disk: Disk) -> bool:
    """Tell whether the frozen layer of a disk and all that it is based on are there."""
    return all(_check_layer(layer) is None for layer in (disk.frozen, *disk.backing_chain))


def _check_layer(layer: Layer) -> str | None:
    if not is_file_path(layer.path):
        return None  # what only QEMU can open, only QEMU can check
    path = Path(layer.path)
    problem = _check_kind(path)
    if problem is not None:
        return problem
    try:
        return _check_size(path, layer)
    except OSError as error:
        return f"cannot be read: {error.strerror}"


def _check_kind(path: Path) -> str | None:
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        return "is missing"
    except OSError as error:
        return f"cannot be reached: {error.strerror}"
    regular = stat.S_ISREG(mode) or stat.S_ISBLK(mode)
    return None if regular else "is neither a file nor a block device"


def _check_size(path: Path, layer: Layer) -> str | None:
    with path.open("rb") as file:
        header = file.read(QCOW2_VIRTUAL_SIZE.stop)
        size = file.seek(0, os.SEEK_END)
    if layer.format == "qcow2":
        if len(header) < QCOW2_VIRTUAL_SIZE.stop or not header.startswith(QCOW2_MAGIC):
            return "is not a qcow2 image"
        size = int.from_bytes(header[QCOW2_VIRTUAL_SIZE], "big")
        changed = layer.virtual_size not in {None, size}
    else:
        # A raw image may be a window of the file; of other formats we know no sizes.
        changed = layer.format == "raw" and -(-size // SECTOR_BYTES) < _sectors(layer)
    return f"has a size of {size} bytes (expected {layer.virtual_size})" if changed else None


def _sectors(layer: Layer) -> int:
    return (layer.virtual_size or 0) // SECTOR_BYTES
