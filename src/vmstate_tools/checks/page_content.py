"""page-content: pages that are not stored byte for byte can be decoded."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vmstate_tools.checks.finding import Finding, Severity
from vmstate_tools.core.errors import FormatError
from vmstate_tools.ram.index import PageKind

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vmstate_tools.checks.finding import Evidence
    from vmstate_tools.ram.index import PageRun, RamIndex

NAME = "page-content"

DECODED = {PageKind.COMPRESSED, PageKind.PATCHED}


def page_content(evidence: Evidence) -> Iterator[Finding]:
    """Report the first page of each block that cannot be decoded, and pages QEMU refuses."""
    snapshot = evidence.snapshot
    for block in snapshot.ram.blocks:
        runs = list(_encoded_runs(snapshot.ram, block.name))
        decoded = [run for run in runs if run.kind in DECODED]
        if decoded and not snapshot.source.searchable:
            message = f"pages of RAM block {block.name} are encoded, and a pipe is read only once"
            yield Finding(check=NAME, severity=Severity.WARNING, message=message)
            continue
        filled = sum(run.page_count for run in runs if run.kind is PageKind.FILLED)
        if filled:
            message = (
                f"{filled} pages of RAM block {block.name} are filled with a byte other than zero, "
                "which QEMU 10.0 refuses"
            )
            yield Finding(check=NAME, severity=Severity.WARNING, message=message)
        yield from _damaged_page(evidence, block.name, decoded)


def _encoded_runs(index: RamIndex, block: str) -> Iterator[PageRun]:
    if not index.has_encoded(block):
        return
    for run in index.iter_runs(block):
        if run.kind in DECODED or run.kind is PageKind.FILLED:
            yield run


def _damaged_page(evidence: Evidence, block: str, runs: list[PageRun]) -> Iterator[Finding]:
    for run in runs:
        for page in range(run.first_page, run.first_page + run.page_count):
            try:
                evidence.snapshot.memory.read_page(block, page)
            except FormatError as error:
                address = page * evidence.snapshot.ram.page_size
                yield Finding(
                    check=NAME,
                    severity=Severity.ERROR,
                    message=f"page {address:#x} of RAM block {block}: {error.problem}",
                    offset=error.offset,
                )
                return
