"""footers: each device's state ends where its footer stands."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vmstate_tools.checks.finding import Finding, Severity

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vmstate_tools.checks.finding import Evidence

NAME = "footers"
FOOTER_FIELD = "footer"
"""What the walker calls the place when it finds something else there."""


def footers(evidence: Evidence) -> Iterator[Finding]:
    """Report devices whose footer is not where their description says."""
    for device in evidence.snapshot.devices:
        if device.problem is not None and device.problem.field == FOOTER_FIELD:
            yield Finding(
                check=NAME,
                severity=Severity.ERROR,
                message=f"{device.label}: {device.problem.problem}",
                offset=device.problem.offset,
            )
