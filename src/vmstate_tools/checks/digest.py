"""digest: the state file is, byte for byte, the one that the snapshot wrote."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vmstate_tools.checks.finding import Finding, Severity

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vmstate_tools.checks.finding import Evidence

NAME = "digest"


def digest(evidence: Evidence) -> Iterator[Finding]:
    """Compare the digest in the manifest with that of the file."""
    manifest = evidence.snapshot.manifest
    if manifest is None:
        return
    expected = manifest.files[manifest.state.name].sha256
    if evidence.sha256 != expected:
        yield Finding(
            check=NAME,
            severity=Severity.ERROR,
            message=f"{manifest.state.name} has changed since it was written: "
            f"SHA-256 {evidence.sha256} (expected {expected})",
        )
