"""Make QEMU write and load streams."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from vms import Vm

SECONDS = 60.0


def save(vm: Vm, file: Path) -> None:
    """Save a VM to `file`, by an ordinary migration."""
    vm.qmp("migrate", uri=f"exec:cat > {file}.part && mv {file}.part {file}")
    _wait(vm)
    assert file.exists()


def load(vm: Vm, file: Path) -> None:
    """Load `file` in a VM that was started with `-incoming defer`."""
    vm.qmp("migrate-incoming", uri=f"exec:cat {file}")
    _wait(vm)
    deadline = time.monotonic() + SECONDS
    while vm.status == "inmigrate":
        assert time.monotonic() < deadline
        time.sleep(0.01)


def _wait(vm: Vm) -> None:
    deadline = time.monotonic() + SECONDS
    while (status := vm.qmp("query-migrate").get("status")) != "completed":
        assert status != "failed", vm.stderr()
        assert time.monotonic() < deadline, status
        time.sleep(0.01)
