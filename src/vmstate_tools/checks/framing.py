"""framing: the stream can be followed from its first byte to its end."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vmstate_tools.checks.finding import Finding, Severity
from vmstate_tools.core.errors import LocatedError, UnsupportedError
from vmstate_tools.stream.records import SectionKind

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vmstate_tools.checks.finding import Evidence

NAME = "framing"


def framing(evidence: Evidence) -> Iterator[Finding]:
    """Report where reading had to stop, and sections that nobody could read."""
    snapshot = evidence.snapshot
    for section in snapshot.sections:
        if section.problem is not None and section.kind is not SectionKind.FULL:
            unknown = isinstance(section.problem, UnsupportedError)
            yield Finding(
                check=NAME,
                severity=Severity.WARNING if unknown else Severity.ERROR,
                message=f"section {section.idstr}#{section.instance_id} was passed over: "
                f"{section.problem.problem}",
                offset=section.problem.offset,
            )
    if snapshot.stopped is not None:
        yield stop_finding(snapshot.stopped)


def stop_finding(error: LocatedError) -> Finding:
    """Make the finding for an error after which nothing more can be read."""
    field = f" ({error.field})" if error.field else ""
    return Finding(
        check=NAME,
        severity=Severity.ERROR,
        message=f"reading had to stop{field}: {error.problem}",
        offset=error.offset,
    )
