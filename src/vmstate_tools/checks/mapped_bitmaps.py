"""mapped-bitmaps: pages at fixed places are marked as stored.

QEMU 9.0 and later write the marks when memory ends, and a background snapshot never ends it. QEMU
10.0.2 accepts the two capabilities together, reports `completed`, and restores zeros.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vmstate_tools.checks.finding import Finding, Severity
from vmstate_tools.ram.mapped import nonzero_pages
from vmstate_tools.stream.records import SectionKind

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vmstate_tools.checks.finding import Evidence

NAME = "mapped-bitmaps"

RAM = "ram"


def mapped_bitmaps(evidence: Evidence) -> Iterator[Finding]:
    """Report files in which no page is marked, because memory never ended."""
    snapshot = evidence.snapshot
    index = snapshot.ram
    mapped = [(block.mapped, block) for block in index.blocks if block.mapped is not None]
    marked = any(index.counts(block.name).stored for _, block in mapped)
    ended = any(
        section.idstr == RAM and section.kind is SectionKind.END for section in snapshot.sections
    )
    if not mapped or marked or ended:
        return
    lost = ""
    if snapshot.source.searchable:  # what was passed on a pipe is gone
        count = sum(
            nonzero_pages(snapshot.source, pages, index.page_size, block.page_count).sum()
            for pages, block in mapped
        )
        lost = f", though {count} that are not zero are in their places"
    yield Finding(
        check=NAME,
        severity=Severity.ERROR,
        message=f"no page is marked as stored{lost}: this is a background snapshot into "
        "mapped-ram, which QEMU does not finish and would restore as zeros without an error",
        offset=mapped[0][0].bitmap_offset,
    )
