"""A real QEMU loads a stream that was built from parts, and its guest goes on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from migrating import load, save
from stream_parts import parts_of
from vmstate_tools.guest.pattern import check_memory
from vmstate_tools.snapshot.build import write_stream
from vmstate_tools.snapshot.open import open_snapshot

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import StartGuest, StartVm
    from vms import Vm

MEMORY_MIB = 8
TESTED_BYTES = (MEMORY_MIB + 2) << 20


def memory_of(vm: Vm) -> bytes:
    path = vm.folder / "memory"
    vm.qmp("pmemsave", val=0, size=TESTED_BYTES, filename=str(path))
    return path.read_bytes()


def test_guest_goes_on_from_a_stream_that_was_built(
    built_in_guest: StartGuest, start_vm: StartVm, tmp_path: Path
) -> None:
    first = built_in_guest(dirty_mib=MEMORY_MIB, disk_count=1)
    first.wait_for_tick(2)
    first.qmp("stop")
    memory = memory_of(first)
    save(first, tmp_path / "saved")
    tick = first.ticks()[-1]
    first.kill()
    with open_snapshot(tmp_path / "saved") as snapshot, (tmp_path / "built").open("wb") as out:
        write_stream(parts_of(snapshot), out)
    disk = tmp_path / "disk0.qcow2"
    second = start_vm("-S", "-incoming", "defer", disks=[disk], memory_mib=32)
    load(second, tmp_path / "built")
    assert memory_of(second) == memory
    verdict = check_memory(lambda start, length: memory[start : start + length])
    assert verdict.one_moment, str(verdict)
    second.qmp("cont")
    assert second.wait_for_next_tick() in {tick + 1, tick + 2}
