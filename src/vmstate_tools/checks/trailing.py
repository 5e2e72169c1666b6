"""trailing: no bytes that belong to nothing, no commands that nobody knows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vmstate_tools.checks.finding import Finding, Severity
from vmstate_tools.stream.records import Command, CommandCode

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vmstate_tools.checks.finding import Evidence

NAME = "trailing"


def trailing(evidence: Evidence) -> Iterator[Finding]:
    """Report bytes behind the stream, and unknown commands in it."""
    for record in evidence.snapshot.records:
        if isinstance(record, Command) and record.code not in set(CommandCode):
            message = f"command {record.code} is not known"
            yield _warning(message, record.offset)
    rest = evidence.snapshot.trailing
    if rest is not None:
        size = rest.end - rest.offset
        what = "zero bytes, padding perhaps, follow" if rest.all_zero else "unknown bytes follow"
        yield _warning(f"{size} {what} the stream", rest.offset)


def _warning(message: str, offset: int) -> Finding:
    return Finding(check=NAME, severity=Severity.WARNING, message=message, offset=offset)
