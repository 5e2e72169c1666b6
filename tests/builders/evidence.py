"""What a check looks at, from the bytes of a stream or from a snapshot directory."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from vmstate_tools.checks.finding import Evidence, Finding
from vmstate_tools.core.source import BytesSource
from vmstate_tools.snapshot.manifest import read_manifest
from vmstate_tools.snapshot.open import read_snapshot

if TYPE_CHECKING:
    from pathlib import Path


def evidence(data: bytes) -> Evidence:
    """Read as much of a stream as can be read."""
    snapshot = read_snapshot(BytesSource(data, "guest.mig"), partial=True)
    return Evidence(snapshot=snapshot, sha256=None)


def directory_evidence(directory: Path) -> Evidence:
    """Read a snapshot directory."""
    data = (directory / "vmstate.bin").read_bytes()
    snapshot = read_snapshot(BytesSource(data, "vmstate.bin"), partial=True)
    snapshot.directory = directory
    snapshot.manifest = read_manifest(directory)
    return Evidence(snapshot=snapshot, sha256=hashlib.sha256(data).hexdigest())


def told(findings: list[Finding]) -> list[tuple[str, str]]:
    """Severity and message of each."""
    return [(finding.severity.value, finding.message) for finding in findings]
