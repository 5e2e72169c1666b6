"""The same work by bare QMP, from a plain client: what the project is compared with.

What can be prepared is prepared before the guest stops, the stream goes through a pipe into `cat`,
and nothing but QEMU's answers is waited for: this is as good as one command after the other gets.
"""

from __future__ import annotations

import os
import subprocess
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from vms import Vm

DESCRIPTOR_NAME = "by-hand"
URI = f"fd:{DESCRIPTOR_NAME}"
POLL_SECONDS = 0.002
SAVE_SECONDS = 120.0
UNLIMITED_BYTES_PER_SECOND = 1 << 40


def allow_background_snapshot(vm: Vm) -> None:
    """Set what a background snapshot needs."""
    _set_capabilities(vm, "background-snapshot", "events")


def allow_fast_migration(vm: Vm) -> None:
    """Let an ordinary `migrate` write more than the 128 MiB/s that are QEMU's default."""
    _set_capabilities(vm, "events")
    vm.qmp("migrate-set-parameters", max_bandwidth=UNLIMITED_BYTES_PER_SECOND)


def snapshot_with_disks(vm: Vm, target: Path) -> None:
    """Take a background snapshot with all disks: one command after the other, each awaited."""
    overlays = [
        {
            "node-name": entry["inserted"]["node-name"],
            "snapshot-file": str(target.with_name(f"{target.name}-disk{number}.qcow2")),
            "snapshot-node-name": f"{target.name}-{number}",
            "format": "qcow2",
        }
        for number, entry in enumerate(vm.qmp("query-block"))
    ]
    actions = [{"type": "blockdev-snapshot-sync", "data": overlay} for overlay in overlays]
    with _saving(vm, target):
        vm.qmp("stop")
        vm.qmp("transaction", actions=actions)
        vm.qmp("migrate", uri=URI)
        while not _page_count(vm):  # memory is protected before the first page is saved
            pass
        vm.qmp("cont")


def snapshot_without_disks(vm: Vm, target: Path) -> None:
    """Take a background snapshot of a running guest: QEMU stops and resumes it by itself."""
    with _saving(vm, target):
        vm.qmp("migrate", uri=URI)


def save_stopped(vm: Vm, target: Path) -> None:
    """Save a guest that stands still until everything is written."""
    with _saving(vm, target):
        vm.qmp("stop")
        vm.qmp("migrate", uri=URI)
        wait_until_saved(vm)
        while vm.status != "postmigrate":  # until then QEMU refuses to go on
            pass
        vm.qmp("cont")


def wait_until_saved(vm: Vm) -> None:
    """Wait until QEMU has written everything.

    Raises:
        RuntimeError: it failed.
        TimeoutError: it takes too long.
    """
    deadline = time.monotonic() + SAVE_SECONDS
    while time.monotonic() < deadline:
        answer = vm.qmp("query-migrate")
        if answer["status"] == "completed":
            return
        if answer["status"] in {"failed", "cancelled"}:
            raise RuntimeError(f"QEMU could not save: {answer}")
        time.sleep(POLL_SECONDS)
    raise TimeoutError(f"QEMU had not saved after {SAVE_SECONDS:g} s")


def _set_capabilities(vm: Vm, *names: str) -> None:
    switches = [{"capability": name, "state": True} for name in names]
    vm.qmp("migrate-set-capabilities", capabilities=switches)


def _page_count(vm: Vm) -> int:
    ram = vm.qmp("query-migrate").get("ram", {})
    return int(ram.get("normal", 0)) + int(ram.get("duplicate", 0))


@contextmanager
def _saving(vm: Vm, target: Path) -> Iterator[None]:
    """Give QEMU a pipe into the file `target`; afterwards, wait until everything is there."""
    reading, writing = os.pipe()
    with target.open("wb") as file:
        cat = subprocess.Popen(["cat"], stdin=reading, stdout=file)
    os.close(reading)
    vm.qmp.send("getfd", fd=writing, fdname=DESCRIPTOR_NAME)
    vm.qmp.result("getfd")
    os.close(writing)
    yield
    wait_until_saved(vm)
    if cat.wait() != 0:
        raise RuntimeError(f"cat could not write {target}")
