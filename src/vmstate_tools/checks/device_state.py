"""device-state: the devices' bytes are what the description says, no more and no less."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vmstate_tools.checks.finding import Finding, Severity
from vmstate_tools.checks.footers import FOOTER_FIELD
from vmstate_tools.core.errors import FormatError, UnsupportedError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vmstate_tools.checks.finding import Evidence
    from vmstate_tools.device.vmdesc import Vmdesc
    from vmstate_tools.snapshot.open import Snapshot

NAME = "device-state"


def device_state(evidence: Evidence) -> Iterator[Finding]:
    """Report devices that do not agree with their description, and those that lack one."""
    snapshot = evidence.snapshot
    if not snapshot.devices:
        return
    try:
        description = snapshot.vmdesc
    except FormatError as error:
        yield _error(f"the description cannot be read: {error.problem}", error.offset)
        return
    if description is None:
        message = "the stream has no description, so that device state was not looked into"
        yield Finding(check=NAME, severity=Severity.WARNING, message=message)
        return
    yield from _problems(snapshot)
    yield from _versions(snapshot, description)
    yield from _missing_devices(snapshot, description)


def _problems(snapshot: Snapshot) -> Iterator[Finding]:
    for device in snapshot.devices:
        if device.problem is not None and device.problem.field != FOOTER_FIELD:
            unknown = isinstance(device.problem, UnsupportedError)
            yield Finding(
                check=NAME,
                severity=Severity.WARNING if unknown else Severity.ERROR,
                message=f"{device.label}: {device.problem.problem}",
                offset=device.problem.offset,
            )


def _versions(snapshot: Snapshot, description: Vmdesc) -> Iterator[Finding]:
    for device in snapshot.devices:
        described = description.find_device(device.name, device.instance_id)
        if described is None:
            yield _error(f"{device.label} is not described", device.offset)
        elif described.version not in {None, device.version_id}:
            message = f"{device.label} has version {device.version_id}, not {described.version}"
            yield _error(f"{message} as described", device.offset)


def _missing_devices(snapshot: Snapshot, description: Vmdesc) -> Iterator[Finding]:
    present = {device.label for device in snapshot.devices}
    assert snapshot.description is not None
    for described in description.devices:
        if described.label not in present:
            message = f"{described.label} is described and not in the stream"
            yield _error(message, snapshot.description.offset)


def _error(message: str, offset: int | None) -> Finding:
    return Finding(check=NAME, severity=Severity.ERROR, message=message, offset=offset)
