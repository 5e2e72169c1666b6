"""pairing: every file and disk layer that a restore needs is there."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vmstate_tools.checks.finding import Finding, Severity
from vmstate_tools.snapshot.pairing import find_pairing_problems

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vmstate_tools.checks.finding import Evidence

NAME = "pairing"


def pairing(evidence: Evidence) -> Iterator[Finding]:
    """Report what the manifest names and is not there, or is not what it was."""
    snapshot = evidence.snapshot
    if snapshot.manifest is None or snapshot.directory is None:
        return
    for problem in find_pairing_problems(snapshot.directory, snapshot.manifest):
        disk = f"disk {problem.node}: " if problem.node else ""
        message = f"{disk}{problem.path} {problem.problem}"
        yield Finding(check=NAME, severity=Severity.ERROR, message=message)
