"""The streams in tests/fixtures/ram, in which memory comes in other ways than once and plain."""

from __future__ import annotations

import hashlib
import json
import lzma
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

FOLDER = Path(__file__).parent / "fixtures/ram"
NAMES = sorted(path.parent.name for path in FOLDER.glob("*/stream.xz"))
LOADABLE = [name for name in NAMES if not name.startswith("postcopy")]
"""From a file, or once they have been converted."""
BIOS_BYTES = 65536
"""Size of the firmware image that their VMs had."""


class RamStream(NamedTuple):
    """A stream, and what its guest had in memory."""

    data: bytes
    expected: dict[str, Any]

    def assert_memory(self, read: Callable[[int, int], bytes]) -> None:
        """Check memory against what QEMU's monitor has said of it.

        Args:
            read: Takes guest-physical address and length.
        """
        for place in self.expected["memory"]:
            data = read(place["start"], place["end"] - place["start"])
            assert hashlib.sha256(data).hexdigest() == place["sha256"], place


def ram_stream(name: str) -> RamStream:
    """Return one of NAMES."""
    folder = FOLDER / name
    expected = json.loads((folder / "expected.json").read_text(encoding="utf-8"))
    return RamStream(lzma.decompress((folder / "stream.xz").read_bytes()), expected)
