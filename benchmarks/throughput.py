"""How fast a whole snapshot is, beside QEMU that writes the same into `cat`."""

from __future__ import annotations

import json
import os
import time
from functools import partial
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, NamedTuple

from benchmarks import by_hand
from benchmarks.commands import output_of, vmstate_command
from benchmarks.figures import Case, Series
from benchmarks.guests import FLAT_OUT, IDLE, find_qemus, running_guest
from benchmarks.turns import take_turns

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from benchmarks.effort import Effort
    from benchmarks.guests import Workload
    from vms import Qemu, Vm


class Save(NamedTuple):
    """What one snapshot took."""

    seconds: float
    size_bytes: int


def measure(effort: Effort) -> Iterator[Case]:
    """Measure all cases: each with one VM, that all ways save by turns."""
    memory_mib = effort.guest_sizes_mib[-1]
    for qemu in find_qemus(effort):
        for workload in (IDLE, FLAT_OUT):
            yield _measure_guest(qemu, workload, memory_mib, effort)


def _measure_guest(qemu: Qemu, workload: Workload, memory_mib: int, effort: Effort) -> Case:
    with running_guest(qemu, workload, memory_mib) as vm:
        by_hand.allow_background_snapshot(vm)
        target = vm.folder / "save"
        null = Path(os.devnull)
        by_hand.snapshot_without_disks(vm, null)  # the first one differs
        saves = take_turns(
            effort.rounds,
            {
                "vmstate snapshot (digest, synced)": partial(_ours, vm, target),
                "QEMU and cat to a file, synced": partial(_by_hand, vm, target, sync=True),
                "QEMU and cat to a file": partial(_by_hand, vm, target, sync=False),
                "QEMU and cat to /dev/null": partial(_by_hand, vm, null, sync=False),
            },
            effort.patience_seconds,
        )
    ours, *others = (
        Series(name=name, values=[one.seconds for one in results], note=_rate(results))
        for name, results in saves.items()
    )
    name = f"QEMU {qemu.version}, {memory_mib} MiB, {workload.name}"
    return Case(name=name, unit="s", decimals=2, ours=ours, others=others)


def _ours(vm: Vm, target: Path) -> Save:
    """Take the command's word: it says how long it took, without its own start."""
    vm.wait_for_next_tick()
    command = vmstate_command("snapshot", vm.qmp_path, target, "--disks", "none", "--json", "-q")
    said = json.loads(output_of(command))
    for file in target.iterdir():
        file.unlink()
    target.rmdir()
    return Save(said["duration_seconds"], said["bytes"])


def _by_hand(vm: Vm, target: Path, *, sync: bool) -> Save:
    vm.wait_for_next_tick()
    start = time.perf_counter()
    by_hand.snapshot_without_disks(vm, target)
    if sync:
        with target.open("rb") as file:
            os.fsync(file.fileno())
    seconds = time.perf_counter() - start
    size_bytes = vm.qmp("query-migrate")["ram"]["transferred"]
    if target.is_file():
        target.unlink()
    return Save(seconds, size_bytes)


def _rate(saves: Sequence[Save]) -> str:
    rate = median(save.size_bytes / save.seconds for save in saves)
    size = median(save.size_bytes for save in saves)
    return f"{size / 1e6:.0f} MB, {rate / 1e6:.0f} MB/s"
