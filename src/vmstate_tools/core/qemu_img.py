"""qemu-img: it makes and reads disk images, without a VM."""

from __future__ import annotations

import subprocess

from vmstate_tools.core.errors import HostError, QemuError


def run_qemu_img(*arguments: str) -> None:
    """Run qemu-img.

    Raises:
        HostError: it is not installed.
        QemuError: it failed; the message holds what it said.
    """
    try:
        done = subprocess.run(
            ["qemu-img", *arguments], capture_output=True, check=False, text=True, errors="replace"
        )
    except OSError as error:
        raise HostError(f"qemu-img: {error.strerror}") from error
    if done.returncode:
        raise QemuError(f"qemu-img {arguments[0]}: {done.stderr.strip()}")
