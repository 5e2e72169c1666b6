"""Read a stream in a process of its own: `python -m benchmarks.reading WAY FILE`.

It prints how long reading took, without imports and with the file in the page cache, and the peak
of its memory.
"""

from __future__ import annotations

import json
import re
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from benchmarks.commands import output_of, python_command
from benchmarks.struct_loop import count_pages

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

WARM_UPS = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What a process says of itself."""

    wall: float
    """In seconds, like `cpu`."""
    cpu: float
    """User and system time; other programs on the machine disturb it less."""
    peak_bytes: int
    """Of resident memory, with Python, the libraries and what is mapped of the file."""


def _index(path: Path) -> None:
    from vmstate_tools.snapshot.open import open_snapshot  # noqa: PLC0415 (not for the other way)

    with open_snapshot(path) as snapshot:
        assert snapshot.ram.blocks


def _loop(path: Path) -> None:
    count_pages(path)


WAYS: dict[str, Callable[[Path], None]] = {"index": _index, "loop": _loop}


def read_in_process(way: str, path: Path) -> Reading:
    """Read `path` in a new process."""
    said = output_of(python_command("-m", "benchmarks.reading", way, path))
    return Reading(**json.loads(said))


def explain(readings: Sequence[Reading]) -> str:
    """Say what the processors did of it, and how much memory it took."""
    cpu = median(reading.cpu for reading in readings)
    peak_mib = median(reading.peak_bytes for reading in readings) / (1 << 20)
    return f"processor time {cpu:.3f}, peak of memory {peak_mib:.0f} MiB"


def main(way: str, path: Path) -> None:
    """Be that process."""
    read = WAYS[way]
    for _ in range(WARM_UPS):
        read(path)
    start, cpu_start = time.perf_counter(), time.process_time()
    read(path)
    reading = Reading(
        wall=time.perf_counter() - start,
        cpu=time.process_time() - cpu_start,
        peak_bytes=_peak_bytes(),
    )
    print(json.dumps(asdict(reading)))


def _peak_bytes() -> int:
    # Not ru_maxrss: that begins with the peak of the process which started this one.
    status = Path("/proc/self/status").read_text(encoding="ascii")
    found = re.search(r"^VmHWM:\s+(\d+) kB", status, re.MULTILINE)
    assert found is not None
    return int(found[1]) << 10


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
