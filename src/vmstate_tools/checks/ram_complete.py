"""ram-complete: the stream says of every page of guest memory what it holds."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vmstate_tools.checks.finding import Finding, Severity
from vmstate_tools.ram.index import PageKind

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vmstate_tools.checks.finding import Evidence
    from vmstate_tools.ram.blocks import RamBlock
    from vmstate_tools.ram.index import RamIndex

NAME = "ram-complete"

SPARSE_DEVICE = "virtio-mem"
"""What of its memory is unplugged is not saved: QEMU 7.2 hw/virtio/virtio-mem.c."""


def ram_complete(evidence: Evidence) -> Iterator[Finding]:
    """Report RAM blocks of which pages are missing."""
    snapshot = evidence.snapshot
    sparse = any(SPARSE_DEVICE in device.name for device in snapshot.devices)
    list_offset = next(
        (section.offset for section in snapshot.sections if section.idstr == "ram"), None
    )
    for block in snapshot.ram.blocks:
        absent = snapshot.ram.counts(block.name).absent
        if not absent:
            continue
        excused = sparse or (block.address is not None and absent == block.page_count)
        yield Finding(
            check=NAME,
            severity=Severity.WARNING if excused else Severity.ERROR,
            message=_message(snapshot.ram, block, absent, sparse=sparse, excused=excused),
            offset=list_offset,
        )


def _message(index: RamIndex, block: RamBlock, absent: int, *, sparse: bool, excused: bool) -> str:
    if excused and not sparse:
        return f"RAM block {block.name} is shared memory, and not in the file (x-ignore-shared)"
    first = next(
        run.first_page for run in index.iter_runs(block.name) if run.kind is PageKind.ABSENT
    )
    reason = "; memory that virtio-mem has unplugged is not saved" if sparse else ""
    return (
        f"RAM block {block.name} lacks {absent} of {block.page_count} pages, "
        f"the first at {first * index.page_size:#x}{reason}"
    )
