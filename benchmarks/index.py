"""How long a warm index of 4 GiB of guest memory takes, and how much memory."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.figures import Case, Series
from benchmarks.reading import explain, read_in_process
from benchmarks.turns import take_turns
from builders import stream as build

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import BinaryIO

    import numpy.typing as npt

    from benchmarks.effort import Effort

WARM_SECONDS = 1.0
BASE_MIB = 150
BYTES_PER_PAGE = 16

BLOCK = "pc.ram"
CHUNK_PAGES = 1 << 14
STORED_BYTES = 8 + build.PAGE_SIZE
ZERO_BYTES = 8 + 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Mix:
    """How stored pages and zero pages follow each other."""

    name: str
    is_stored: Callable[[npt.NDArray[np.int64]], npt.NDArray[np.bool_]]
    """Page numbers to whether they are stored; shape (n,)."""


MIXES = (
    Mix(name="mostly zero: 16 pages of data in 1024", is_stored=lambda page: page % 1024 < 16),
    Mix(name="mostly data: 16 zero pages in 4096", is_stored=lambda page: page % 4096 >= 16),
    Mix(name="data and zero by turns", is_stored=lambda page: page % 2 == 0),
)


def measure(effort: Effort) -> Iterator[Case]:
    """Measure all cases; the largest stream takes as much of the disk as the guest has memory."""
    page_count = (effort.index_mib << 20) // build.PAGE_SIZE
    limit_mib = BASE_MIB + page_count * BYTES_PER_PAGE / (1 << 20)
    for mix in MIXES:
        with tempfile.TemporaryDirectory(prefix="vmsb-") as folder:
            path = Path(folder) / "stream"
            write_stream(path, mix, page_count)
            ways = {"page index": "index", "struct loop": "loop"}
            readings = take_turns(
                effort.rounds,
                {label: partial(read_in_process, way, path) for label, way in ways.items()},
                effort.patience_seconds,
            )
        name = f"{effort.index_mib} MiB, {mix.name}"
        ours, loop = readings["page index"], readings["struct loop"]
        yield Case(
            name=f"{name}, time",
            unit="s",
            decimals=3,
            ours=Series(
                name="page index",
                values=[one.wall for one in ours],
                note=explain(ours),
                limit=WARM_SECONDS,
            ),
            others=[
                Series(name="struct loop", values=[one.wall for one in loop], note=explain(loop))
            ],
        )
        peaks = [one.peak_bytes / (1 << 20) for one in ours]
        series = Series(name="page index", values=peaks, limit=limit_mib)
        yield Case(name=f"{name}, peak of memory", unit="MiB", ours=series)


def write_stream(path: Path, mix: Mix, page_count: int) -> None:
    """Write a stream with one block of so many pages, all of its data zeros."""
    setup = build.ram_setup({BLOCK: page_count * build.PAGE_SIZE}) + build.ram_eos()
    device = build.Device()
    with path.open("xb") as file:
        file.write(build.header() + build.configuration())
        file.write(build.section(build.START, setup))
        file.write(build.section(build.PART, footers=False))
        file.write(build.ram_zero(0, block=BLOCK))
        for first_page in range(1, page_count, CHUNK_PAGES):
            pages = np.arange(first_page, min(first_page + CHUNK_PAGES, page_count))
            _write_pages(file, pages, mix.is_stored(pages))
        file.write(build.ram_eos() + build.footer(build.RAM_SECTION_ID))
        file.write(device.section() + build.eof() + build.description(build.vmdesc([device])))


def _write_pages(
    file: BinaryIO, pages: npt.NDArray[np.int64], stored: npt.NDArray[np.bool_]
) -> None:
    flags = np.where(stored, build.RAM_PAGE, build.RAM_ZERO) | build.RAM_CONTINUE
    words = (pages * build.PAGE_SIZE | flags).astype(">u8")
    lengths = np.where(stored, STORED_BYTES, ZERO_BYTES)
    starts = np.cumsum(lengths) - lengths
    records = np.zeros(lengths.sum(), np.uint8)
    records[starts[:, None] + np.arange(8)] = words.view(np.uint8).reshape(-1, 8)
    file.write(records.tobytes())
