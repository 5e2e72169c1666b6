"""order: sections come in the order in which QEMU writes and loads them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vmstate_tools.checks.finding import Finding, Severity
from vmstate_tools.snapshot.kind import Kind
from vmstate_tools.stream.records import Section, SectionKind

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vmstate_tools.checks.finding import Evidence
    from vmstate_tools.snapshot.open import Snapshot

NAME = "order"
GLOBAL_STATE = "globalstate"


def order(evidence: Evidence) -> Iterator[Finding]:
    """Report sections that are out of order, twice, unended or missing."""
    snapshot = evidence.snapshot
    if snapshot.kind is not Kind.POSTCOPY:
        yield from _iterative_sections(snapshot)
        yield from _missing_sections(snapshot)
    else:
        message = "a postcopy stream: it was a conversation, and cannot be restored from a file"
        yield Finding(check=NAME, severity=Severity.WARNING, message=message)
    yield from _duplicate_devices(snapshot)


def _iterative_sections(snapshot: Snapshot) -> Iterator[Finding]:
    begun: dict[int, Section] = {}
    ended: set[int] = set()
    first_device: Section | None = None
    for section in snapshot.sections:
        if section.kind is SectionKind.FULL:
            # Some devices are set up before memory (virtio-mem).
            first_device = first_device or (section if begun else None)
            continue
        if first_device is not None:
            label = f"{first_device.idstr}#{first_device.instance_id}"
            yield _error(section, f"comes after the state of device {label}")
        if section.section_id in ended:
            yield _error(section, "goes on after its end")
        begun_before = begun.setdefault(section.section_id, section)
        if section.kind is SectionKind.START and begun_before is not section:
            yield _error(section, "begins twice")
        if section.kind is SectionKind.END:
            ended.add(section.section_id)
    yield from _unended(begun, ended)


def _unended(begun: dict[int, Section], ended: set[int]) -> Iterator[Finding]:
    for section_id, section in begun.items():
        # A background snapshot ends none of them.
        if ended and section_id not in ended:
            yield _error(section, "begins and does not end")


def _missing_sections(snapshot: Snapshot) -> Iterator[Finding]:
    if snapshot.kind is Kind.DEVICE_ONLY:
        message = "no guest memory"
        yield Finding(check=NAME, severity=Severity.WARNING, message=message)
    if not snapshot.devices:
        message = "no device state"
        yield Finding(check=NAME, severity=Severity.ERROR, message=message)
    # Machine types up to 2.2 write neither configuration nor run state.
    elif snapshot.configuration and GLOBAL_STATE not in {item.name for item in snapshot.devices}:
        message = f"no section {GLOBAL_STATE}: a paused guest would run when it is restored"
        yield Finding(check=NAME, severity=Severity.WARNING, message=message)


def _duplicate_devices(snapshot: Snapshot) -> Iterator[Finding]:
    seen = set()
    for device in snapshot.devices:
        if device.label in seen:
            message = f"{device.label} is there twice"
            yield Finding(
                check=NAME, severity=Severity.ERROR, message=message, offset=device.offset
            )
        seen.add(device.label)


def _error(section: Section, problem: str) -> Finding:
    label = f"section {section.idstr}#{section.instance_id}"
    message = f"{section.kind.name} of {label} {problem}"
    return Finding(check=NAME, severity=Severity.ERROR, message=message, offset=section.offset)
