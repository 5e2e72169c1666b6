"""A newer QEMU beside the system's: Debian 12 has 7.2, its backports 10.0."""

from __future__ import annotations

import platform
from typing import TYPE_CHECKING

from scripts.testbed.apt import PreparationError, PrivateApt, built_folder, run, unpack

if TYPE_CHECKING:
    from pathlib import Path

RELEASE = "bookworm"
# The modules are not used, but QEMU looks for them, and falls back to those of the system's
# version, which it then complains about.
PACKAGES = (
    "qemu-system-x86",
    "qemu-utils",
    "qemu-system-modules-opengl",
    "qemu-system-modules-spice",
)
DATA_FOLDERS = ("usr/share/qemu", "usr/share/seabios", "usr/lib/ipxe/qemu")

# Started under its own name: a command line read from /proc can be run again as it is.
WRAPPER = """\
#!/bin/bash
folder=$(dirname "$(dirname "$(realpath "$0")")")
export LD_LIBRARY_PATH=$folder/{libraries}${{LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}}
export QEMU_MODULE_DIR=$folder/{libraries}/qemu
exec -a "$0" "$folder/usr/bin/{program}" {options}"$@"
"""


def prepare(folder: Path, apt: PrivateApt) -> None:
    """Unpack QEMU 10.0 into `folder`, with `bin/qemu-system-x86_64` and `bin/qemu-img`."""
    if (folder / "bin/qemu-img").exists():
        return
    if platform.freedesktop_os_release().get("VERSION_CODENAME") != RELEASE:
        raise PreparationError(f"QEMU 10.0 is taken from the backports of Debian {RELEASE} only")
    print("unpacking QEMU 10.0")
    apt.add_suite(f"{RELEASE}-backports", beside=RELEASE)
    with (
        built_folder(folder) as product,
        apt.downloaded(*PACKAGES, release=f"{RELEASE}-backports") as packages,
    ):
        unpack(packages, product)
        data = "".join(f'-L "$folder/{name}" ' for name in DATA_FOLDERS)
        _write_wrapper(product, "qemu-system-x86_64", options=data)
        _write_wrapper(product, "qemu-img", options="")


def _write_wrapper(folder: Path, program: str, *, options: str) -> None:
    libraries = f"usr/lib/{platform.machine()}-linux-gnu"
    wrapper = folder / "bin" / program
    wrapper.parent.mkdir(exist_ok=True)
    text = WRAPPER.format(libraries=libraries, program=program, options=options)
    wrapper.write_text(text, encoding="utf-8")
    wrapper.chmod(0o755)
    run([str(wrapper), "--version"])  # a library that is missing shows here
