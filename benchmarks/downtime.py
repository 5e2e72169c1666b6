"""How long the guest stands still: ours, the same by bare QMP, QEMU's own, and a stopped save.

Every measurement is of a fresh VM, the ways taking turns: the first snapshot of a VM differs from
later ones, because all memory is mapped by then, so both are measured, and told apart.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchmarks import by_hand
from benchmarks.commands import output_of, vmstate_command
from benchmarks.figures import Case, Series
from benchmarks.guests import FLAT_OUT, IDLE, find_qemus, running_guest
from benchmarks.pauses import Pause, explain, read_pause
from benchmarks.quiet import wait_for_quiet

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from benchmarks.effort import Effort
    from benchmarks.guests import Workload
    from vms import Qemu, Vm

WITH_DISKS_RATIO = 0.7
WITHOUT_DISKS_RATIO = 1.0
STOPPED_RATIO = 1 / 50

AGREE_MS = 0.01
"""What the manifest says and what the events say may differ by rounding only."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """A way to save a VM."""

    name: str
    prepare: Callable[[Vm], None]
    save: Callable[[Vm, Path], None]


def _nothing(_: Vm) -> None:
    """`vmstate` prepares what it needs."""


def _ours(vm: Vm, target: Path, *options: str) -> None:
    """Run the command, as a user would, and hold what it claims against QEMU's events."""
    command = vmstate_command("snapshot", vm.qmp_path, target, "--json", "--quiet", *options)
    seen = len(vm.events)
    said = json.loads(output_of(command))
    vm.qmp("query-status")  # every event that happened has arrived before this answer
    total = read_pause(vm.events[seen:]).total
    assert abs(said["downtime_seconds"] * 1e3 - total) < AGREE_MS, (said, total)


def _ours_without_disks(vm: Vm, target: Path) -> None:
    _ours(vm, target, "--disks", "none")


OURS = Way(name="vmstate snapshot", prepare=_nothing, save=_ours)
OURS_WITHOUT_DISKS = Way(
    name="vmstate snapshot --disks none", prepare=_nothing, save=_ours_without_disks
)
BY_HAND = Way(
    name="bare QMP, one command after the other",
    prepare=by_hand.allow_background_snapshot,
    save=by_hand.snapshot_with_disks,
)
QEMUS_OWN = Way(
    name="QEMU's own, bare QMP",
    prepare=by_hand.allow_background_snapshot,
    save=by_hand.snapshot_without_disks,
)
STOPPED = Way(
    name="stop, migrate, cont", prepare=by_hand.allow_fast_migration, save=by_hand.save_stopped
)


def measure(effort: Effort) -> Iterator[Case]:
    """Measure all cases."""
    for qemu in find_qemus(effort):
        for memory_mib in effort.guest_sizes_mib:
            for workload in (IDLE, FLAT_OUT):
                yield from _measure_guest(qemu, workload, memory_mib, effort)


def _measure_guest(
    qemu: Qemu, workload: Workload, memory_mib: int, effort: Effort
) -> Iterator[Case]:
    name = f"QEMU {qemu.version}, {memory_mib} MiB, {workload.name}"
    limits = {BY_HAND: WITH_DISKS_RATIO, QEMUS_OWN: WITHOUT_DISKS_RATIO}
    with_disks = [OURS, BY_HAND]
    if memory_mib == effort.guest_sizes_mib[-1] and workload is FLAT_OUT:
        with_disks.append(STOPPED)  # worth comparing for much memory in use only
        limits[STOPPED] = STOPPED_RATIO
    without_disks = [OURS_WITHOUT_DISKS, QEMUS_OWN]
    for disks, ways in (("two disks", with_disks), ("no disks", without_disks)):
        pauses = _take_turns(qemu, workload, memory_mib, ways, effort)
        for order in ("first", "later"):
            ours, *others = (
                Series(
                    name=way.name,
                    values=[pause.total for pause in pauses[way, order]],
                    note=explain(pauses[way, order]),
                    ratio_limit=limits.get(way),
                    within_noise=way is QEMUS_OWN,
                )
                for way in ways
            )
            yield Case(name=f"{name}, {disks}, {order}", unit="ms", ours=ours, others=others)


def _take_turns(
    qemu: Qemu, workload: Workload, memory_mib: int, ways: Sequence[Way], effort: Effort
) -> dict[tuple[Way, str], list[Pause]]:
    """Save a fresh VM by one way, another one by the next, and so on, round after round."""
    pauses: dict[tuple[Way, str], list[Pause]] = {
        (way, order): [] for way in ways for order in ("first", "later")
    }
    for _ in range(effort.rounds):
        for way in ways:
            wait_for_quiet(effort.patience_seconds)
            with running_guest(qemu, workload, memory_mib) as vm:
                way.prepare(vm)
                for number in range(effort.snapshots_of_a_vm):
                    pause = _save(vm, way, number)
                    pauses[way, "later" if number else "first"].append(pause)
    return pauses


def _save(vm: Vm, way: Way, number: int) -> Pause:
    vm.wait_for_next_tick()  # the snapshot before is over, and the guest at work again
    seen = len(vm.events)
    target = vm.folder / f"save{number}"
    way.save(vm, target)
    vm.qmp("query-status")
    state = target / "vmstate.bin" if target.is_dir() else target
    state.unlink()  # or a dozen of them would fill a small disk
    return read_pause(vm.events[seen:])
