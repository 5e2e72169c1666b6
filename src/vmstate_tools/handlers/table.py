"""Which handler is read by what: one table by idstr, and the readers of one stream."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from vmstate_tools.core.errors import FormatError, UnsupportedError
from vmstate_tools.handlers import vfio
from vmstate_tools.handlers.block import BlockContent, BlockReader
from vmstate_tools.handlers.cursor import Cursor
from vmstate_tools.handlers.dirty_bitmap import DirtyBitmapContent, DirtyBitmapReader
from vmstate_tools.handlers.hash_table import HashTableContent, HashTableReader
from vmstate_tools.handlers.s390_full import (
    ClockContent,
    StorageKeysContent,
    read_clock,
    read_storage_keys,
)
from vmstate_tools.handlers.storage_attributes import (
    StorageAttributesContent,
    StorageAttributesReader,
)

if TYPE_CHECKING:
    from vmstate_tools.core.errors import LocatedError
    from vmstate_tools.core.source import ByteSource
    from vmstate_tools.stream.records import PayloadReader, SectionStart

Content = (
    BlockContent
    | DirtyBitmapContent
    | HashTableContent
    | StorageAttributesContent
    | vfio.VfioContent
    | StorageKeysContent
    | ClockContent
)

MAX_STATES = 4096
"""What is known of each is kept. Machines have one of most, and a VFIO device or two."""


class StateReader(Protocol):
    """Reads the sections of one state, one after the other."""

    @property
    def content(self) -> Content:
        """What has been read until now."""

    def read(self, cursor: Cursor) -> None:
        """Read the payload of one section and leave the cursor behind it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Handler:
    """A handler with START, PART and END sections."""

    version_id: int
    make_reader: Callable[[], StateReader]


ITERATIVE: Mapping[str, Handler] = {
    "block": Handler(version_id=1, make_reader=BlockReader),
    "dirty-bitmap": Handler(version_id=1, make_reader=DirtyBitmapReader),
    "spapr/htab": Handler(version_id=1, make_reader=HashTableReader),
    "s390-storage_attributes": Handler(version_id=0, make_reader=StorageAttributesReader),
    vfio.IDSTR: Handler(version_id=1, make_reader=vfio.VfioReader),
}

FULL: Mapping[str, Callable[[Cursor], Content]] = {
    "s390-skeys": read_storage_keys,
    "todclock": read_clock,
}
"""Handlers without a vmsd whose state is a device section: the description tells its size."""


def find_handler(idstr: str) -> Handler | None:
    """Return the iterative handler that calls itself so."""
    return ITERATIVE.get(vfio.IDSTR if idstr.endswith(f"/{vfio.IDSTR}") else idstr)


@dataclass(frozen=True, slots=True, kw_only=True)
class HandlerState:
    """What a stream holds of one handler beside `ram`."""

    name: str
    """Its idstr."""
    instance_id: int
    version_id: int
    section_id: int
    content: Content | None
    problem: LocatedError | None
    """Why there is no content, where there is none."""


def read_full(source: ByteSource, idstr: str, offset: int, size: int) -> Content:
    """Read the device section of a handler that FULL lists.

    Args:
        offset: Of its payload.
        size: In bytes.

    Raises:
        FormatError: it is damaged, or of another size.
        UnsupportedError: it holds what no QEMU writes.
    """
    cursor = Cursor(source, offset, idstr)
    content = FULL[idstr](cursor)
    if cursor.offset != offset + size:
        raise cursor.damaged(f"it ends after {cursor.offset - offset} bytes (expected {size})")
    return content


class StatesReader:
    """Reads the payloads of all iterative handlers of one stream."""

    def __init__(self) -> None:
        self._begun: dict[tuple[int, str], tuple[SectionStart, StateReader]] = {}

    @property
    def states(self) -> tuple[HandlerState, ...]:
        """What has been read until now, in the order in which it began."""
        return tuple(
            HandlerState(
                name=section.idstr,
                instance_id=section.instance_id,
                version_id=section.version_id,
                section_id=section.section_id,
                content=reader.content,
                problem=None,
            )
            for section, reader in self._begun.values()
        )

    def read_payload(self, source: ByteSource, section: SectionStart) -> int:
        """See PayloadReader.

        Raises:
            FormatError: the payload is damaged.
            UnsupportedError: it is of a version that we do not know.
        """
        key = section.section_id, section.idstr
        begun = self._begun.get(key)
        if begun is None:
            begun = self._begun[key] = section, self._make_reader(source, section)
        cursor = Cursor(source, section.payload_offset, section.idstr)
        begun[1].read(cursor)
        return cursor.offset

    def _make_reader(self, source: ByteSource, section: SectionStart) -> StateReader:
        handler = find_handler(section.idstr)
        assert handler is not None
        if section.version_id != handler.version_id:
            problem = f"version {section.version_id} (expected {handler.version_id})"
            raise UnsupportedError(
                problem, source=source.name, offset=section.offset, field=section.label
            )
        if len(self._begun) == MAX_STATES:
            problem = f"more than {MAX_STATES} handlers"
            raise FormatError(
                problem, source=source.name, offset=section.offset, field=section.label
            )
        return handler.make_reader()


class Readers(Mapping[str, "PayloadReader"]):
    """By idstr, what reads an iterative section; VFIO devices have names of their own."""

    def __init__(self, readers: Mapping[str, PayloadReader], states: StatesReader) -> None:
        """Make one.

        Args:
            readers: Of handlers that are no business of this package, such as `ram`.
            states: Reads all that ITERATIVE lists.
        """
        self._readers = readers
        self._states = states

    def __getitem__(self, idstr: str) -> PayloadReader:
        """Return the reader of this handler."""
        if idstr in self._readers:
            return self._readers[idstr]
        if find_handler(idstr) is None:
            raise KeyError(idstr)
        return self._states

    def __iter__(self) -> Iterator[str]:
        """Yield the names that are known beforehand."""
        yield from self._readers
        yield from ITERATIVE

    def __len__(self) -> int:
        """Return how many names are known beforehand."""
        return len(self._readers) + len(ITERATIVE)
