"""A real Linux to snapshot: Debian's cloud kernel, and busybox in an initramfs of ours."""

from __future__ import annotations

import lzma
import re
from pathlib import Path
from typing import TYPE_CHECKING

from scripts.testbed.apt import PrivateApt, built_folder, unpack
from scripts.testbed.initramfs import Entry, directory, regular_file, write_initramfs

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

INIT = Path(__file__).with_name("init.sh")
KERNEL = "linux-image-cloud-amd64"
MODULES = ("virtio_pci", "virtio_blk")
DEPENDS = re.compile(rb"\0depends=([^\0]*)\0")
"""What a module says of the modules it needs, in its ELF section `.modinfo`."""


def prepare(folder: Path, apt: PrivateApt) -> None:
    """Make `folder` hold `vmlinuz` and `initramfs.cpio`, the latter with today's init."""
    if not (folder / "vmlinuz").exists():
        print("unpacking a Linux kernel and busybox")
        with (
            built_folder(folder) as product,
            apt.downloaded_alone(*apt.dependencies(KERNEL), "busybox-static") as packages,
        ):
            unpack(packages, product)
            (kernel,) = (product / "boot").glob("vmlinuz-*")
            (product / "vmlinuz").symlink_to(kernel.relative_to(product))
    data = write_initramfs(_entries(folder))
    initramfs = folder / "initramfs.cpio"
    if not initramfs.exists() or initramfs.read_bytes() != data:
        temporary = initramfs.with_suffix(".part")
        temporary.write_bytes(data)
        temporary.rename(initramfs)


def _entries(folder: Path) -> Iterator[Entry]:
    for name in ("bin", "dev", "proc", "sys", "run", "modules"):
        yield directory(name)
    busybox = next(path for path in folder.glob("**/bin/busybox") if path.is_file())
    yield regular_file("bin/busybox", busybox.read_bytes(), executable=True)
    yield regular_file("init", INIT.read_bytes(), executable=True)
    modules = {path.name.partition(".")[0]: path for path in folder.glob("lib/modules/**/*.ko*")}
    for number, (name, data) in enumerate(_in_loading_order(MODULES, modules).items()):
        yield regular_file(f"modules/{number}-{name}.ko", data)


def _in_loading_order(names: Iterable[str], modules: dict[str, Path]) -> dict[str, bytes]:
    """Return the named modules and all that they need, each after what it needs.

    One that is not among `modules` is built into the kernel.
    """
    ordered: dict[str, bytes] = {}
    for name in names:
        path = modules.get(name)
        if path is not None:
            data = lzma.decompress(path.read_bytes()) if path.suffix == ".xz" else path.read_bytes()
            needed = DEPENDS.search(data)
            needed_names = needed[1].decode().split(",") if needed else []
            ordered |= _in_loading_order(needed_names, modules) | {name: data}
    return ordered
