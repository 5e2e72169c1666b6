from __future__ import annotations

import struct
import subprocess
from importlib import resources
from pathlib import Path

import pytest

from vmstate_tools.guest import layout

ROOT = Path(__file__).parents[2]
PROGRAM = resources.files("vmstate_tools.guest").joinpath("guest.bin").read_bytes()


def test_the_shipped_program_is_what_its_source_assembles_to(tmp_path: Path) -> None:
    assembled = tmp_path / "guest.bin"
    subprocess.run([ROOT / "scripts/build-guest", assembled], check=True)
    assert assembled.read_bytes() == PROGRAM


def test_the_program_is_whole_sectors_and_bootable() -> None:
    assert len(PROGRAM) in range(512, 2049, 512)
    assert PROGRAM[510:512] == b"\x55\xaa"


def test_the_program_ends_before_the_counter_sector() -> None:
    assert len(PROGRAM) <= layout.COUNTER_SECTOR * layout.SECTOR_BYTES


def test_the_parameter_block_is_where_the_layout_says() -> None:
    magic, memory_mib, pages_per_tick, flags = struct.unpack_from("<8s3I", PROGRAM, 0x08)
    assert (magic, memory_mib, pages_per_tick, flags) == (layout.PARAMETERS_MAGIC, 16, 0, 1)


def test_the_fill_range_lies_in_the_program() -> None:
    start, end = layout.FILL_RANGE.unpack_from(PROGRAM, layout.FILL_RANGE_OFFSET)
    assert layout.PROGRAM_ADDRESS < start < end < layout.PROGRAM_ADDRESS + len(PROGRAM)


@pytest.fixture(scope="module")
def symbols(tmp_path_factory: pytest.TempPathFactory) -> dict[str, int]:
    """Names that the source defines, and their values."""
    program = tmp_path_factory.mktemp("guest") / "guest.o"
    source = ROOT / "src/vmstate_tools/guest/guest.S"
    subprocess.run(["as", "--32", "-o", program, source], check=True)
    listing = subprocess.run(["nm", program], check=True, capture_output=True, text=True).stdout
    return {name: int(value, 16) for value, _, name in map(str.split, listing.splitlines())}


@pytest.mark.parametrize(
    "symbol, value",
    [
        ("PROGRAM", layout.PROGRAM_ADDRESS),
        ("STATE", layout.STATE_ADDRESS),
        ("counter", layout.STATE_ADDRESS + 8),
        ("completed", layout.STATE_ADDRESS + 16),
        ("position", layout.STATE_ADDRESS + 24),
        ("page_count", layout.STATE_ADDRESS + 28),
        ("region_start", layout.STATE_ADDRESS + 32),
        ("disk_count", layout.STATE_ADDRESS + 36),
        ("disks", layout.STATE_ADDRESS + layout.DISKS_OFFSET),
        ("DISK_RECORD_BYTES", layout.DISK.size),
        ("MAX_DISKS", layout.MAX_DISKS),
        ("REGION", layout.REGION_ADDRESS),
        ("PAGE_BYTES", layout.PAGE_BYTES),
        ("LINES", layout.LINES),
        ("LINE_BYTES", 4 * layout.LINE_WORDS),
        ("LINE_STRIDE", 4 * layout.STRIDE_WORDS),
        ("FILLER_WORDS", layout.FILLER_WORDS),
        ("FILLER_STEP", layout.FILLER_STEP),
        ("COUNTER_FACTOR", layout.COUNTER_FACTOR),
        ("PAGE_FACTOR", layout.PAGE_FACTOR),
        ("COUNTER_SECTOR", layout.COUNTER_SECTOR),
        ("FLAG_WRITE_DISKS", layout.FLAG_WRITE_DISKS),
    ],
)
def test_source_and_layout_agree_on(symbol: str, value: int, symbols: dict[str, int]) -> None:
    assert symbols[symbol] == value
