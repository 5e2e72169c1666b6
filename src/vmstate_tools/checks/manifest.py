"""manifest: what the manifest says of the VM is what the stream says."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vmstate_tools.checks.finding import Finding, Severity

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vmstate_tools.checks.finding import Evidence

NAME = "manifest"


def manifest(evidence: Evidence) -> Iterator[Finding]:
    """Compare machine type, page size, RAM blocks and totals."""
    snapshot = evidence.snapshot
    stated = snapshot.manifest
    if stated is None:
        return
    counts = [snapshot.ram.counts(block.name) for block in snapshot.ram.blocks]
    pairs: list[tuple[str, object, object]] = [
        ("machine", stated.machine, snapshot.machine or stated.machine),
        ("page_size", stated.page_size, snapshot.ram.page_size),
        (
            "ram_blocks",
            {block.name: block.size for block in stated.ram_blocks},
            {block.name: block.size for block in snapshot.ram.blocks},
        ),
        ("totals.pages_stored", stated.totals.pages_stored, sum(item.stored for item in counts)),
        ("totals.pages_zero", stated.totals.pages_zero, sum(item.zero for item in counts)),
        ("totals.device_bytes", stated.totals.device_bytes, snapshot.device_bytes),
    ]
    for key, said, found in pairs:
        if said != found:
            message = f"{key} is {said} in the manifest, {found} in the state file"
            yield Finding(check=NAME, severity=Severity.ERROR, message=message)
