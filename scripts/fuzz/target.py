"""What is done with every input: all that a command does with a file of a stranger.

Any error that is not a VmstateError, more than MAX_SECONDS and more than MAX_BYTES are findings.
"""

from __future__ import annotations

import json
import resource
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from vmstate_tools.containers.detect import require_stream
from vmstate_tools.core.errors import VmstateError
from vmstate_tools.core.source import BytesSource, ForwardSource
from vmstate_tools.reports import inspect
from vmstate_tools.snapshot.open import read_snapshot

if TYPE_CHECKING:
    from vmstate_tools.core.source import ByteSource
    from vmstate_tools.snapshot.open import Snapshot

MAX_SECONDS = 2.0
MAX_BYTES = 300 << 20
CHUNK_BYTES = 61
"""Of a pipe, so that nearly every header is cut."""

SMALL_BYTES = 4096
"""Longer inputs come through the pipe in pieces of a size that real pipes have."""

PAGES = 8
"""How many pages at each end of a block are read."""


class OverBudgetError(Exception):
    """An input took too much time or memory."""


def examine(data: bytes) -> None:
    """Read `data` as a file and as a pipe, and decode all there is.

    Raises:
        OverBudgetError: it took too long, or too much memory.
    """
    memory_bytes = _peak_bytes()
    begin = time.process_time()
    for source in (BytesSource(data, "file"), _pipe(data)):
        for partial in (False, True) if source.searchable else (True,):
            with suppress(VmstateError):
                require_stream(source)
                _use(read_snapshot(source, partial=partial))
    seconds = time.process_time() - begin
    if seconds > MAX_SECONDS:
        raise OverBudgetError(f"{seconds:.1f} s for {len(data)} bytes")
    grown_bytes = _peak_bytes() - memory_bytes
    if grown_bytes > MAX_BYTES:
        raise OverBudgetError(f"{grown_bytes >> 20} MiB for {len(data)} bytes")


def _use(snapshot: Snapshot) -> None:
    decoded = {}
    for device in snapshot.devices:
        # A device that cannot be decoded hides no other.
        with suppress(VmstateError):
            values = snapshot.decode(device)
            if values is not None:
                decoded[device.label] = values
                inspect.device_as_text(values)
    json.dumps(inspect.as_json(snapshot, "file", decoded, sections=True, runs=False))
    inspect.as_text(snapshot, "file", runs=False)
    inspect.sections_as_text(snapshot)
    if snapshot.source.searchable:
        _read_pages(snapshot)


def _read_pages(snapshot: Snapshot) -> None:
    for block in snapshot.ram.blocks:
        last = block.page_count
        for page in {*range(min(PAGES, last)), *range(max(0, last - PAGES), last)}:
            with suppress(VmstateError):
                snapshot.memory.read_page(block.name, page)


def _pipe(data: bytes) -> ByteSource:
    size = CHUNK_BYTES if len(data) <= SMALL_BYTES else 1 << 16
    chunks = (data[start : start + size] for start in range(0, len(data), size))
    return ForwardSource(lambda: next(chunks, b""), "pipe")


def _peak_bytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10
