"""fields: every field of every device can be decoded. Only with `--deep`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vmstate_tools.checks.finding import Finding, Severity
from vmstate_tools.core.errors import LocatedError, UnsupportedError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vmstate_tools.checks.finding import Evidence
    from vmstate_tools.snapshot.open import Device, Snapshot

NAME = "fields"


def fields(evidence: Evidence) -> Iterator[Finding]:
    """Report what the decoder could not make values of."""
    for device in evidence.snapshot.devices:
        if device.problem is None:  # otherwise the other checks have said it
            yield from _decode(evidence.snapshot, device)


def _decode(snapshot: Snapshot, device: Device) -> Iterator[Finding]:
    try:
        decoded = snapshot.decode(device)
    except LocatedError as error:
        unknown = isinstance(error, UnsupportedError)
        yield Finding(
            check=NAME,
            severity=Severity.WARNING if unknown else Severity.ERROR,
            message=f"{device.label}: {error.problem}",
            offset=error.offset,
        )
        return
    for problem in decoded.problems if decoded else ():
        yield Finding(
            check=NAME,
            severity=Severity.WARNING if problem.is_known_gap else Severity.ERROR,
            message=f"{device.label}::{problem.path}: {problem.message}",
            offset=problem.offset,
        )
