"""How long `vmstate inspect` and `vmstate --help` take, as whole processes."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import vms
from benchmarks import ROOT, by_hand, commands, reading
from benchmarks.commands import python_command, run_to_end, vmstate_command
from benchmarks.figures import Case, Series
from benchmarks.guests import FLAT_OUT, find_qemus, running_guest, running_linux
from benchmarks.reading import read_in_process
from benchmarks.turns import take_turns

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from benchmarks.effort import Effort

INSPECT_SECONDS = 0.35
HELP_SECONDS = 0.15
PART_IN_USE = 0.28
"""Of the built-in guest's memory: some 290 MiB of 1 GiB."""
PART_IN_USE_BY_LINUX = 0.2
"""Besides what Linux uses anyway, which makes it as much."""


def measure(effort: Effort) -> Iterator[Case]:
    """Measure all cases."""
    yield _compare_processes(
        "vmstate --help",
        effort,
        {
            "vmstate --help": vmstate_command("--help"),
            "python -c pass": python_command("-c", "pass"),
        },
        HELP_SECONDS,
    )
    memory_mib = effort.guest_sizes_mib[-1]
    qemu = find_qemus(effort)[0]
    workload = replace(FLAT_OUT, dirty_mib=round(memory_mib * PART_IN_USE))
    with tempfile.TemporaryDirectory(prefix="vmsb-") as folder:
        path = Path(folder) / "built-in"
        with running_guest(qemu, workload, memory_mib) as vm:
            by_hand.allow_background_snapshot(vm)
            by_hand.snapshot_without_disks(vm, path)
        yield from _measure_stream(path, f"built-in guest of {memory_mib} MiB", effort)
    if effort.linux and vms.linux_arguments() is not None:
        with tempfile.TemporaryDirectory(prefix="vmsb-") as folder:
            path = Path(folder) / "linux"
            with running_linux(qemu, memory_mib, round(memory_mib * PART_IN_USE_BY_LINUX)) as vm:
                by_hand.allow_background_snapshot(vm)
                by_hand.snapshot_without_disks(vm, path)
            yield from _measure_stream(path, f"Linux guest of {memory_mib} MiB", effort)


def _measure_stream(path: Path, guest: str, effort: Effort) -> Iterator[Case]:
    name = f"{guest}, {path.stat().st_size >> 20} MiB stored"
    inspect = vmstate_command("inspect", "--json", "--device", "cpu", path)
    yield _compare_processes(
        f"{name}, whole process",
        effort,
        {
            "vmstate inspect --json --device cpu": inspect,
            "struct loop": python_command(ROOT / "benchmarks/struct_loop.py", path),
            "python -c pass": python_command("-c", "pass"),
        },
        INSPECT_SECONDS,
    )
    ways = {"page index": "index", "struct loop": "loop"}
    readings = take_turns(
        effort.command_rounds,
        {label: partial(read_in_process, way, path) for label, way in ways.items()},
        effort.patience_seconds,
    )
    ours, *others = (
        Series(
            name=label,
            values=[one.wall for one in results],
            note=reading.explain(results),
        )
        for label, results in readings.items()
    )
    yield Case(name=f"{name}, in process", unit="s", decimals=3, ours=ours, others=others)


def _compare_processes(
    name: str, effort: Effort, programs: dict[str, Sequence[str]], limit: float
) -> Case:
    for command in programs.values():
        run_to_end(command)  # so that all files are in memory
    runs = take_turns(
        effort.command_rounds,
        {label: partial(run_to_end, command) for label, command in programs.items()},
        effort.patience_seconds,
    )
    ours, *others = (
        Series(name=label, values=[run.wall for run in results], note=commands.explain(results))
        for label, results in runs.items()
    )
    ours = replace(ours, limit=limit)
    return Case(name=name, unit="s", decimals=3, ours=ours, others=others)
