"""How a stream came about, as far as the order of its sections shows.

QEMU 10.0.2 migration/migration.c and migration/savevm.c; seen in streams of 7.2 and 10.0.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

from vmstate_tools.stream.records import Command, CommandCode, Section, SectionKind

if TYPE_CHECKING:
    from collections.abc import Iterable

    from vmstate_tools.stream.records import Record

RAM = "ram"

EMPTY_END_BYTES = 16
"""Of a RAM END without pages: the end-of-section word, and a MULTIFD_FLUSH word before it."""

POSTCOPY_COMMANDS = {CommandCode.POSTCOPY_LISTEN, CommandCode.POSTCOPY_RUN, CommandCode.PACKAGED}


class Kind(StrEnum):
    """How a stream came about."""

    BACKGROUND_SNAPSHOT = "background-snapshot"
    """Memory as of one moment, saved while the guest ran on."""
    PRECOPY = "precopy"
    """`migrate` of a guest that ran: what it wrote in between was sent again at the end."""
    SAVEVM_LIKE = "savevm-like"
    """The guest stood still, or wrote nothing: `savevm`, or `migrate` of a stopped guest."""
    POSTCOPY = "postcopy"
    MAPPED_RAM = "mapped-ram"
    DEVICE_ONLY = "device-only"
    """No memory at all, as Xen saves devices."""


def find_kind(
    capabilities: Iterable[str], records: Iterable[Record], *, pages_repeated: bool
) -> Kind:
    """Tell the kind of a stream from its records.

    Args:
        capabilities: As the configuration lists them.
        pages_repeated: Some page occurs more than once.
    """
    commands = set()
    parts: dict[SectionKind, Section] = {}
    for record in records:
        if isinstance(record, Command):
            commands.add(record.code)
        elif isinstance(record, Section) and record.idstr == RAM:
            parts[record.kind] = record
    if "mapped-ram" in capabilities:
        return Kind.MAPPED_RAM
    if commands & POSTCOPY_COMMANDS:
        return Kind.POSTCOPY
    if SectionKind.START not in parts:
        return Kind.DEVICE_ONLY
    if SectionKind.END not in parts:
        return Kind.BACKGROUND_SNAPSHOT
    end = parts[SectionKind.END]
    stood_still = end.payload_end - end.payload_offset <= EMPTY_END_BYTES and not pages_repeated
    answered = CommandCode.OPEN_RETURN_PATH in commands  # savevm has nobody to answer
    return Kind.SAVEVM_LIKE if stood_still and not answered else Kind.PRECOPY
