"""What the walker yields: frozen values that know where in the stream they were.

Offsets are absolute bytes in the source; `end` is the first byte behind. Layouts: QEMU 10.0.2
migration/savevm.c.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from vmstate_tools.core.errors import LocatedError
    from vmstate_tools.core.source import ByteSource


class SectionKind(IntEnum):
    """The type byte of a section that carries a payload."""

    START = 0x01
    PART = 0x02
    END = 0x03
    FULL = 0x04


class CommandCode(IntEnum):
    """The commands of QEMU 10.0.2 (enum qemu_vm_cmd)."""

    OPEN_RETURN_PATH = 1
    PING = 2
    POSTCOPY_ADVISE = 3
    POSTCOPY_LISTEN = 4
    POSTCOPY_RUN = 5
    POSTCOPY_RAM_DISCARD = 6
    PACKAGED = 7
    ENABLE_COLO = 8
    POSTCOPY_RESUME = 9
    RECV_BITMAP = 10
    SWITCHOVER_START = 11


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """Magic and version, the first eight bytes."""

    offset: int
    end: int
    version: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Configuration:
    """The configuration section: what the source insisted on."""

    offset: int
    end: int
    machine: str
    page_bits: int | None
    """`configuration/target-page-bits`; None when the stream does not say."""
    capabilities: tuple[str, ...]
    uuid: str | None
    """RFC 4122 text, or None."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SectionStart:
    """A section of a handler or device, up to its payload."""

    kind: SectionKind
    offset: int
    section_id: int
    idstr: str
    """For PART and END: that of the latest START with this id."""
    instance_id: int
    version_id: int
    payload_offset: int

    @property
    def label(self) -> str:
        """What error messages call it: `section 5 "cpu"/0`."""
        return f'section {self.section_id} "{self.idstr}"/{self.instance_id}'


@dataclass(frozen=True, slots=True, kw_only=True)
class Section(SectionStart):
    """A whole section; what its payload means is for the ram and device packages."""

    payload_end: int
    end: int
    """Behind the footer, or `payload_end` where the stream has none."""
    problem: LocatedError | None = None
    """Why the payload could not be read; `payload_end` is then where its footer was found."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """A command to the destination; QEMU writes some even to a plain file."""

    offset: int
    end: int
    code: int
    """A value of CommandCode, or one that is newer than this table."""
    payload_offset: int
    payload_end: int
    """Where the payload ends. PACKAGED: its embedded stream goes from here to `end`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EndOfStream:
    """The EOF byte: the loadable part ends here."""

    offset: int
    end: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Description:
    """The JSON description (vmdesc) behind EOF; its text goes from `json_offset` to `end`."""

    offset: int
    end: int
    json_offset: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Trailing:
    """Bytes behind the last record: padding of a container, or something unknown."""

    offset: int
    end: int
    all_zero: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Preamble:
    """What stands before the first section, and what follows from it for the rest."""

    header: Header
    configuration: Configuration | None
    """None for machine types up to 2.3, which have no such section."""
    page_size: int
    """Target page size in bytes."""
    page_size_stated: bool
    """Whether the stream says so; otherwise it is the one that most machines have."""
    description: Description | None
    """The description, where the source could be searched for it beforehand."""
    end: int


Record = Header | Configuration | Section | Command | EndOfStream | Description | Trailing


class PayloadReader(Protocol):
    """Knows one kind of payload, none of which has a length of its own."""

    def read_payload(self, source: ByteSource, section: SectionStart) -> int:
        """Read the payload at `section.payload_offset`; return the offset of its end.

        Raises:
            FormatError: the payload is damaged.
            UnsupportedError: it is of a kind that we do not read.
        """
