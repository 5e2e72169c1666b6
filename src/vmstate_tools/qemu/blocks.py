"""The disks of a running QEMU, as its block layer shows them (QMP query-block)."""

from __future__ import annotations

import json
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vmstate_tools.qemu.session import Session

FILTER_DRIVERS = frozenset(
    {"blkdebug", "blkverify", "compress", "copy-before-write", "copy-on-read", "throttle"}
)
"""Block drivers that hold no data of their own: QEMU 10.0 block/*.c, `.is_filter = true`."""

WHOLE_FILE_FORMATS = frozenset({"qcow2", "qed", "vdi", "vhdx", "vmdk", "vpc"})
"""Formats that take up their file; `raw` with options may be a part of it."""

FILE_DRIVERS = frozenset({"file", "host_device"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """One image of a backing chain."""

    path: str
    """As QEMU names it: absolute where we could make it so, or a URL or `json:` pseudo-name."""
    format: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Disk:
    """A medium in a guest device."""

    node: str
    """Node name of the layer that the guest writes to."""
    device: str | None
    """Drive id, or id of the guest device; None if the user has given neither."""
    format: str
    """Block driver of the node: `qcow2`, `raw`, …, or a filter."""
    virtual_size_bytes: int
    chain: tuple[Layer, ...]
    """The layer that the guest writes to, then its backing files."""
    read_only: bool
    encrypted: bool
    cache_direct: bool
    cache_no_flush: bool

    @property
    def path(self) -> Path:
        """Image that the guest writes to."""
        return Path(self.chain[0].path)

    @property
    def label(self) -> str:
        """What to call it in a message."""
        return f"disk {self.device} ({self.node})" if self.device else f"disk {self.node}"


async def read_disks(session: Session, process_id: int | None) -> list[Disk]:
    """Return the media of all guest devices, read-only ones included.

    Args:
        process_id: The QEMU process, whose working directory relative names start from.
    """
    entries = await session.execute("query-block")
    return [_disk(entry, process_id) for entry in entries if entry.get("inserted")]


def overlay_obstacle(disk: Disk) -> str | None:
    """Say why `disk` cannot have an overlay; None if it can."""
    if disk.encrypted:
        return "it is encrypted, and an overlay would hold its new data in the clear"
    if disk.format in FILTER_DRIVERS:
        return f"a {disk.format} filter lies on top of it: name the node below with --disks"
    try:
        mode = disk.path.stat().st_mode
    except OSError as error:
        return f"{disk.chain[0].path} cannot be seen from here: {error.strerror}"
    if not (stat.S_ISREG(mode) or stat.S_ISBLK(mode)):
        return f"{disk.path} is neither a file nor a block device"
    return None


def _disk(entry: dict[str, Any], process_id: int | None) -> Disk:
    inserted = entry["inserted"]
    cache = inserted.get("cache", {})
    return Disk(
        node=inserted["node-name"],
        device=entry.get("device") or _device_id(entry.get("qdev", "")),
        format=inserted["drv"],
        virtual_size_bytes=inserted["image"]["virtual-size"],
        chain=tuple(_layers(inserted["image"], process_id)),
        read_only=inserted["ro"],
        encrypted=inserted["encrypted"],
        cache_direct=cache.get("direct", False),
        cache_no_flush=cache.get("no-flush", False),
    )


def _device_id(qom_path: str) -> str | None:
    """Id of a device that the user named; QEMU keeps the others in /machine/peripheral-anon."""
    folder, _, rest = qom_path.removeprefix("/machine/").partition("/")
    return rest.split("/", 1)[0] if folder == "peripheral" else None


def _layers(image: dict[str, Any], process_id: int | None) -> list[Layer]:
    layers = []
    following: dict[str, Any] | None = image
    while following is not None:
        path = _absolute(following["filename"], process_id)
        layers.append(Layer(path=path, format=following["format"]))
        following = following.get("backing-image")
    return layers


def _absolute(filename: str, process_id: int | None) -> str:
    """Resolve a relative file name as the QEMU process would; leave URLs as they are."""
    filename = _file_of(filename)
    if filename.startswith("/") or ":" in filename.split("/", 1)[0] or process_id is None:
        return filename
    try:
        return str(Path(f"/proc/{process_id}/cwd").readlink() / filename)
    except OSError:  # another user's process
        return filename


def _file_of(filename: str) -> str:
    """Return the file of an image that QEMU names by its options, for want of a shorter name.

    It does so where a filter lies between the image and its file, or an option changes what the
    image holds: QEMU 10.0 block.c, bdrv_refresh_filename().
    """
    if not filename.startswith("json:"):
        return filename
    options = json.loads(filename.removeprefix("json:"))
    while options.get("driver") in FILTER_DRIVERS | WHOLE_FILE_FORMATS:
        options = options.get("file", {})
    path = options.get("filename")
    return path if options.get("driver") in FILE_DRIVERS and path else filename
