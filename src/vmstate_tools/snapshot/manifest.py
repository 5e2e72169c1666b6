"""The manifest of a snapshot directory: what was snapshotted, when, and which disks belong to it.

It is written last, so a directory without one was not finished. In memory every path is
absolute; in the file, a path is relative to the directory where moving both together keeps it
true.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, replace
from datetime import datetime  # noqa: TC003 (typed_json resolves the annotations)
from pathlib import Path
from typing import TYPE_CHECKING

from vmstate_tools.core.atomic import atomic_write
from vmstate_tools.core.errors import FormatError, UnsupportedError, UsageError
from vmstate_tools.snapshot.typed_json import SchemaError, from_json, load_json, to_json

if TYPE_CHECKING:
    from collections.abc import Callable

MANIFEST_NAME = "manifest.json"
SCHEMA_PREFIX = "vmstate/manifest/"
SCHEMA_VERSION = 1

STATE_FILE_NAMES = ("vmstate.bin", "vmstate.zst", "vmstate.mapped")
"""What the state file may be called; one of them without a manifest is an unfinished snapshot."""

MAX_MANIFEST_BYTES = 16 << 20
"""Far above any block graph; a manifest is read whole."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FileDigest:
    """A file of the directory, as it was when the snapshot ended."""

    bytes: int
    sha256: str
    """Lower-case hexadecimal."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StateFile:
    """The file of the directory that holds the VM state."""

    name: str
    format: str
    """`stream`: the bytes that QEMU wrote."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Qemu:
    """The QEMU that the snapshot was taken of."""

    version: str
    """As `query-version` gives it: `7.2.22`."""
    package: str
    binary: str | None
    argv: tuple[str, ...] | None
    """Its command line with the binary first; None when it could not be read."""
    working_directory: str | None = None
    """What relative names on the command line start from; None when it could not be read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RamBlock:
    """A block of guest memory; `size` in bytes."""

    name: str
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """An image file of a disk."""

    path: str
    """An absolute path, or what QEMU calls an image that is not a file (`nbd://…`, `json:…`)."""
    format: str
    virtual_size: int | None = None
    """Size in bytes that the guest sees; None when QEMU did not say."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Overlay:
    """The image that the guest has written to since the snapshot."""

    path: str
    node: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Disk:
    """A writable disk of the VM at the moment of the snapshot."""

    node: str
    """Node name in QEMU before the snapshot."""
    device: str | None
    """Id of the device or drive that it backs, where it has one."""
    frozen: Layer
    """The layer that holds the disk's content of that moment; nobody may write to it again."""
    overlay: Overlay
    backing_chain: tuple[Layer, ...]
    """What the frozen layer is based on, nearest first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SkippedDisk:
    """A disk that got no overlay."""

    node: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Downtime:
    """How long the guest stood still, from the time stamps of QEMU's events."""

    total_seconds: float
    overlays_seconds: float
    setup_seconds: float
    device_state_seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Totals:
    """What the state file holds."""

    pages_stored: int
    pages_zero: int
    device_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Base:
    """The snapshot that this one holds the difference to."""

    path: str
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """Everything that a snapshot directory says about itself."""

    created: datetime
    state: StateFile
    files: dict[str, FileDigest]
    """By file name; the state file is among them."""
    qemu: Qemu
    machine: str
    """Versioned machine type: `pc-i440fx-7.2`."""
    accelerator: str | None
    cpu_model: str | None
    page_size: int
    ram_blocks: tuple[RamBlock, ...]
    vm_name: str | None
    vm_uuid: str | None
    was_running: bool
    downtime: Downtime | None
    """None when the VM was paused before."""
    duration_seconds: float
    totals: Totals
    disks: tuple[Disk, ...]
    skipped_disks: tuple[SkippedDisk, ...]
    base: Base | None = None


def is_finished(directory: Path) -> bool:
    """Tell whether the snapshot in `directory` was finished: it has a manifest."""
    return (directory / MANIFEST_NAME).is_file()


def is_snapshot_directory(path: Path) -> bool:
    """Tell a snapshot directory, finished or not, from any other."""
    names = [MANIFEST_NAME, *STATE_FILE_NAMES]
    try:
        return any((path / name).exists() for name in names)
    except OSError:  # somebody else's, that we may not look into
        return False


def write_manifest(directory: Path, manifest: Manifest) -> None:
    """Write the manifest, which makes the directory a finished snapshot.

    Raises:
        UsageError: there is a manifest already.
        HostError: writing failed.
    """
    home = directory.resolve()
    stored = _with_paths(manifest, lambda path: _relative(path, home))
    document = {"schema": f"{SCHEMA_PREFIX}{SCHEMA_VERSION}", **to_json(stored)}
    with atomic_write(directory / MANIFEST_NAME) as file:
        file.write(json.dumps(document, indent=2).encode() + b"\n")


def read_manifest(directory: Path) -> Manifest:
    """Read and check the manifest of a snapshot directory.

    Raises:
        UsageError: the directory is not there, or was not finished.
        FormatError: the manifest is damaged.
        UnsupportedError: it was written by a newer version.
    """
    path = directory / MANIFEST_NAME
    text = _read_text(path)
    try:
        document = load_json(text)
        _check_schema(document, path)
        manifest = from_json(Manifest, document)
        _check_names(manifest)
    except SchemaError as error:
        raise FormatError(str(error), source=str(path)) from error
    home = directory.resolve()
    return _with_paths(manifest, lambda name: _absolute(name, home))


def _read_text(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            text = file.read(MAX_MANIFEST_BYTES + 1)
    except FileNotFoundError as error:
        if not path.parent.is_dir():
            raise UsageError(f"{path.parent}: {error.strerror}") from error
        problem = f"{path.parent}: no {MANIFEST_NAME}: the snapshot was not finished"
        raise UsageError(problem) from error
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}") from error
    if len(text) > MAX_MANIFEST_BYTES:
        problem = f"longer than any manifest ({MAX_MANIFEST_BYTES} bytes)"
        raise FormatError(problem, source=str(path), offset=MAX_MANIFEST_BYTES)
    return text


def _check_schema(document: object, path: Path) -> None:
    schema = document.get("schema") if isinstance(document, dict) else None
    if not isinstance(schema, str) or not schema.startswith(SCHEMA_PREFIX):
        raise SchemaError(f"schema is missing (expected {SCHEMA_PREFIX}{SCHEMA_VERSION})")
    version = schema.removeprefix(SCHEMA_PREFIX)
    if version != str(SCHEMA_VERSION):
        problem = f"schema {schema[:60]!r} (this version reads {SCHEMA_PREFIX}{SCHEMA_VERSION})"
        raise UnsupportedError(problem, source=str(path))


def _check_names(manifest: Manifest) -> None:
    for name in manifest.files:
        # The directory's own files only: a manifest must not send us to /dev/zero.
        if name in {"", ".", ".."} or "/" in name or "\0" in name:
            raise SchemaError(f"files: {name!r} is not the name of a file in the directory")
    if manifest.state.name not in manifest.files:
        raise SchemaError(f"state.name: {manifest.state.name!r} is not in files")


def _with_paths(manifest: Manifest, change: Callable[[str], str]) -> Manifest:
    def layer(old: Layer) -> Layer:
        return replace(old, path=change(old.path))

    disks = tuple(
        replace(
            disk,
            frozen=layer(disk.frozen),
            overlay=replace(disk.overlay, path=change(disk.overlay.path)),
            backing_chain=tuple(layer(backing) for backing in disk.backing_chain),
        )
        for disk in manifest.disks
    )
    base = manifest.base and replace(manifest.base, path=change(manifest.base.path))
    return replace(manifest, disks=disks, base=base)


def is_file_path(path: str) -> bool:
    """Tell a path from QEMU's names for images that are not files (`nbd://…`, `json:…`)."""
    return "://" not in path and not path.startswith("json:")


def _relative(path: str, home: Path) -> str:
    """Make `path` relative if one file system holds it, `home` and what they have in common."""
    if not is_file_path(path):
        return path
    assert Path(path).is_absolute(), path
    common = Path(os.path.commonpath([path, home]))
    try:
        together = common.stat().st_dev == home.stat().st_dev == Path(path).parent.stat().st_dev
    except OSError:
        return path
    return os.path.relpath(path, home) if together and common != common.parent else path


def _absolute(path: str, home: Path) -> str:
    return os.path.normpath(home / path) if is_file_path(path) else path
