"""What a postcopy source takes back of what it has sent, when it stops the guest.

QEMU 10.0.2 migration/savevm.c, qemu_savevm_send_postcopy_ram_discard().
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from vmstate_tools.core.errors import FormatError, UnsupportedError
from vmstate_tools.core.parse import parse_struct
from vmstate_tools.ram.wire import DISCARD, DISCARD_RANGE_BYTES, DISCARD_VERSION

if TYPE_CHECKING:
    import numpy.typing as npt

    from vmstate_tools.core.source import ByteSource
    from vmstate_tools.stream.records import Command


@dataclass(frozen=True, slots=True, kw_only=True)
class Discard:
    """Ranges of a block whose earlier copies are void."""

    block: str
    start: npt.NDArray[np.uint64]
    """Byte offsets in the block; shape (n,)."""
    length: npt.NDArray[np.uint64]
    """In bytes; shape (n,)."""


def read_discard(source: ByteSource, command: Command) -> Discard:
    """Read the payload of POSTCOPY_RAM_DISCARD.

    Raises:
        FormatError: it is no list of ranges.
        UnsupportedError: another version of it.
    """
    offset = command.payload_offset
    head = parse_struct(DISCARD, source, offset)
    if head.version != DISCARD_VERSION:
        problem = f"version {head.version} of a list of ranges (expected {DISCARD_VERSION})"
        raise UnsupportedError(problem, source=source.name, offset=offset, field="discard")
    start = offset + head.size
    length = command.payload_end - start
    if head.nul or length < 0 or length % DISCARD_RANGE_BYTES:
        problem = f"{length} bytes of ranges (expected a multiple of {DISCARD_RANGE_BYTES})"
        raise FormatError(problem, source=source.name, offset=offset, field="discard")
    ranges = np.frombuffer(source.read_at(start, length, "discard"), ">u8").astype(np.uint64)
    return Discard(block=head.block, start=ranges[0::2], length=ranges[1::2])
