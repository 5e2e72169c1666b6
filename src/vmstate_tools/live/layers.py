"""The overlays of a snapshot: planned, made while the guest runs, undone when it fails."""

from __future__ import annotations

import secrets
import stat
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from vmstate_tools.core.atomic import sync_directory
from vmstate_tools.core.errors import QemuError, UsageError
from vmstate_tools.qemu.overlays import Overlay, commit_overlay, create_overlay, discard_overlay
from vmstate_tools.qemu.session import QmpLostError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from vmstate_tools.live.preconditions import Plan
    from vmstate_tools.qemu.blocks import Disk
    from vmstate_tools.qemu.session import Session


@dataclass(slots=True, kw_only=True)
class Layers:
    """Overlays that are open in QEMU."""

    overlays: list[Overlay]
    switched: bool | None = False
    """Whether the guest writes to them: None while QEMU is about to switch."""


def plan_overlays(plan: Plan, directory: Path, folder: Path | None) -> list[Overlay]:
    """Name an overlay for every chosen disk.

    Args:
        directory: The snapshot directory; its name becomes part of the overlays' names.
        folder: Where they go; None: beside the disk, or in `directory` for a block device.

    Raises:
        UsageError: a file of that name exists.
    """
    token = secrets.token_hex(4)  # node names must be new in this QEMU
    overlays: list[Overlay] = []
    for number, disk in enumerate(plan.disks.chosen):
        name = f"{_stem(disk)}.{directory.name}"
        home = folder or (disk.path.parent if disk.path.is_file() else directory)
        path = home.absolute() / f"{name}.qcow2"
        if path in {overlay.path for overlay in overlays}:
            path = path.with_name(f"{name}.{number}.qcow2")
        if path.exists():
            raise UsageError(f"{path}: exists already; it would be the overlay of {disk.label}")
        overlays.append(Overlay(disk=disk, path=path, node=f"vmstate-{token}-{number}"))
    return overlays


@asynccontextmanager
async def prepared_layers(session: Session, overlays: list[Overlay]) -> AsyncIterator[Layers]:
    """Make the overlays; when the block fails, take them away again.

    A disk that was switched gets what the guest wrote since committed back, so that a snapshot
    that fails every night does not grow the chain by a layer every night.
    """
    layers = Layers(overlays=[])
    try:
        for overlay in overlays:
            await create_overlay(session, overlay)
            layers.overlays.append(overlay)
            _protect(overlay)
        for folder in {overlay.path.parent for overlay in overlays}:
            # The guest's disk is about to depend on this directory entry.
            sync_directory(folder)
        yield layers
    except BaseException as error:
        await _undo(session, layers, error)
        raise


def _protect(overlay: Overlay) -> None:
    """Let nobody read the overlay who may not read the image; QEMU makes files for everybody."""
    mode = overlay.disk.path.stat().st_mode
    with suppress(PermissionError):  # the file is QEMU's, and QEMU another user's
        overlay.path.chmod(stat.S_IMODE(mode) if stat.S_ISREG(mode) else 0o600)


async def _undo(session: Session, layers: Layers, error: BaseException) -> None:
    for overlay in reversed(layers.overlays):
        try:
            await _undo_one(session, overlay, switched=layers.switched)
        except QmpLostError:
            return  # what is left is for the guardian, if QEMU is there at all
        except QemuError as failure:
            problem = f"{error}; {overlay.disk.label} goes on with {overlay.path}: {failure}"
            raise QemuError(problem) from error


async def _undo_one(session: Session, overlay: Overlay, *, switched: bool | None) -> None:
    if switched:
        await commit_overlay(session, overlay)
        return
    try:
        await discard_overlay(session, overlay)
    except QmpLostError:
        if switched is False:
            overlay.path.unlink(missing_ok=True)  # no disk ever used it
        raise


def _stem(disk: Disk) -> str:
    """Name of the image at the bottom of the chain: overlays of overlays keep short names."""
    return Path(disk.chain[-1].path).stem
