"""Walk a stream from its first byte to its last: bytes to records.

No payload in this format has a length. Iterative sections (`ram`) are passed by readers that know
them, device sections by a reader that is made from the description at the end of the stream, and
what remains by the footers, if the stream has any.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING

from vmstate_tools.core.errors import (
    FormatError,
    LocatedError,
    TruncatedError,
    UnsupportedError,
)
from vmstate_tools.core.parse import parse_struct
from vmstate_tools.stream import wire
from vmstate_tools.stream.records import (
    Command,
    CommandCode,
    Description,
    EndOfStream,
    PayloadReader,
    Preamble,
    Record,
    Section,
    SectionKind,
    SectionStart,
)
from vmstate_tools.stream.resync import find_footer
from vmstate_tools.stream.trailer import find_description, iter_trailer

if TYPE_CHECKING:
    from vmstate_tools.core.source import ByteSource

DeviceReaderFactory = Callable[[Description], PayloadReader]
"""Makes the reader of device sections, once, from the description of the stream.

May raise FormatError or UnsupportedError; the devices are then passed by their footers.
"""

_COMMAND_LENGTHS = {
    CommandCode.OPEN_RETURN_PATH: {0},
    CommandCode.PING: {4},
    CommandCode.POSTCOPY_ADVISE: {0, 16},
    CommandCode.POSTCOPY_LISTEN: {0},
    CommandCode.POSTCOPY_RUN: {0},
    CommandCode.PACKAGED: {4},
    CommandCode.ENABLE_COLO: {0},
    CommandCode.POSTCOPY_RESUME: {0},
    CommandCode.SWITCHOVER_START: {0},
}
"""mig_cmd_args[] of QEMU 10.0.2 migration/savevm.c; commands that are missing have any length."""


def walk(
    source: ByteSource,
    preamble: Preamble,
    readers: Mapping[str, PayloadReader],
    make_device_reader: DeviceReaderFactory | None = None,
) -> Iterator[Record]:
    """Yield every record of a stream, in order, to the last byte of the source.

    A section that cannot be read but has a footer is yielded with its `problem`. A pipe is kept in
    memory from its first device section behind RAM on, so that the devices can be read afterwards.

    Args:
        preamble: What read_preamble() returned for this source.
        readers: By idstr, for iterative sections.
        make_device_reader: None passes device sections by their footers, for callers that want
            the framing alone; they have no problem then, and nothing is kept in memory.

    Raises:
        FormatError: the stream is damaged so that the rest cannot be found.
        UnsupportedError: the same, but it is us who do not know how to go on.
    """
    yield preamble.header
    if preamble.configuration is not None:
        yield preamble.configuration
    yield from _Walk(source, preamble, readers, make_device_reader).records()


class _Walk:
    """One pass over the sections of a stream."""

    def __init__(
        self,
        source: ByteSource,
        preamble: Preamble,
        readers: Mapping[str, PayloadReader],
        make_device_reader: DeviceReaderFactory | None,
    ) -> None:
        self._source = source
        self._offset = preamble.end
        self._readers = readers
        self._devices = (
            None
            if make_device_reader is None
            else _DeviceReaders(source, preamble.description, make_device_reader)
        )
        self._live: dict[int, SectionStart] = {}
        self._footers: bool | None = None  # until the first section has shown it

    @property
    def _keep(self) -> bool:
        return self._devices is not None and self._devices.keep

    def records(self) -> Iterator[Record]:
        """Yield everything behind the preamble."""
        while (kind := self._source.read_at(self._offset, 1, "section type")[0]) != wire.EOF:
            record = self._command() if kind == wire.COMMAND else self._section(kind)
            yield record
            self._offset = record.end
            if not self._keep:
                self._source.release(self._offset)
        eof = EndOfStream(offset=self._offset, end=self._offset + 1)
        yield eof
        yield from iter_trailer(self._source, eof.end, keep=self._keep)

    def _command(self) -> Command:
        header = parse_struct(wire.COMMAND_HEADER, self._source, self._offset + 1)
        lengths = _COMMAND_LENGTHS.get(header.code)
        if lengths is not None and header.length not in lengths:
            raise self._damaged(f"command {header.code} with {header.length} bytes", "command")
        payload_offset = self._offset + 1 + wire.COMMAND_HEADER.sizeof()
        payload_end = payload_offset + header.length
        self._source.window(payload_offset, header.length, "command")
        end = payload_end
        if header.code == CommandCode.PACKAGED:
            end = self._package_end(payload_offset)
        return Command(
            offset=self._offset,
            end=end,
            code=header.code,
            payload_offset=payload_offset,
            payload_end=payload_end,
        )

    def _package_end(self, length_offset: int) -> int:
        start = length_offset + wire.PACKAGED_LENGTH.sizeof()
        end = start + int(parse_struct(wire.PACKAGED_LENGTH, self._source, length_offset))
        self._source.release(end)  # up to 4 GiB that a pipe must not keep
        if self._source.at_end(end - 1):
            problem = f"the data ends inside of the package (expected {end - start} bytes)"
            raise TruncatedError(
                problem, source=self._source.name, offset=start, field="packaged stream"
            )
        return end

    def _section(self, kind: int) -> Section:
        start = self._section_start(kind)
        problem = None
        try:
            payload_end = self._read_payload(start)
            end = self._footer_end(start, payload_end)
        except LocatedError as error:
            if start.kind is not SectionKind.FULL and start.idstr in self._readers:
                raise  # its state goes on into the next section of the same handler
            problem = error
            payload_end = self._find_footer(start, error)
            end = payload_end + wire.FOOTER_RECORD.size
        return Section(
            kind=start.kind,
            offset=start.offset,
            section_id=start.section_id,
            idstr=start.idstr,
            instance_id=start.instance_id,
            version_id=start.version_id,
            payload_offset=start.payload_offset,
            payload_end=payload_end,
            end=end,
            problem=problem,
        )

    def _section_start(self, kind: int) -> SectionStart:
        if kind in {SectionKind.PART, SectionKind.END}:
            return self._continued_section(SectionKind(kind))
        if kind not in {SectionKind.START, SectionKind.FULL}:
            raise self._damaged(f"there is no section type {kind:#04x}", "section type")
        header = parse_struct(wire.SECTION_HEADER, self._source, self._offset + 1)
        if not header.idstr:
            raise self._damaged("a section without a name", "section header")
        section = SectionStart(
            kind=SectionKind(kind),
            offset=self._offset,
            section_id=header.section_id,
            idstr=header.idstr,
            instance_id=header.instance_id,
            version_id=header.version_id,
            payload_offset=self._offset + 1 + header.size,
        )
        if section.kind is SectionKind.START:
            known = self._live.setdefault(section.section_id, section)
            if known.idstr != section.idstr:
                problem = f"section {section.section_id} is {known.idstr!r} already"
                raise self._damaged(problem, "section header")
        return section

    def _continued_section(self, kind: SectionKind) -> SectionStart:
        header_offset = self._offset + 1
        header = self._source.read_at(header_offset, wire.PART_HEADER.size, "section header")
        (section_id,) = wire.PART_HEADER.unpack(header)
        begun = self._live.get(section_id)
        if begun is None:
            raise self._damaged(f"section {section_id} goes on but never began", "section header")
        return SectionStart(
            kind=kind,
            offset=self._offset,
            section_id=section_id,
            idstr=begun.idstr,
            instance_id=begun.instance_id,
            version_id=begun.version_id,
            payload_offset=header_offset + wire.PART_HEADER.size,
        )

    def _read_payload(self, section: SectionStart) -> int:
        if section.kind is SectionKind.FULL:
            if self._devices is None:
                problem = "device state, and neither a reader for it nor a footer"
                return self._find_footer(section, _unsupported(self._source, section, problem))
            # A section that RAM has gone before is the first of the tail; see _DeviceReaders.
            reader = self._devices.reader_for(section, in_tail=bool(self._live))
        elif section.idstr in self._readers:
            reader = self._readers[section.idstr]
        else:
            raise _unsupported(self._source, section, "a section of a kind that we cannot read")
        return reader.read_payload(self._source, section)

    def _footer_end(self, section: SectionStart, payload_end: int) -> int:
        """Check the footer at `payload_end`, if this stream has footers; return its end."""
        if self._footers is None:
            self._footers = self._source.read_at(payload_end, 1, "footer")[0] == wire.FOOTER
        if not self._footers:
            return payload_end
        record = self._source.read_at(payload_end, wire.FOOTER_RECORD.size, "footer")
        mark, section_id = wire.FOOTER_RECORD.unpack(record)
        if (mark, section_id) != (wire.FOOTER, section.section_id):
            found = f"the footer of section {section_id}" if mark == wire.FOOTER else f"{mark:#04x}"
            problem = f"{found} (expected the footer of {section.label})"
            raise FormatError(problem, source=self._source.name, offset=payload_end, field="footer")
        return payload_end + wire.FOOTER_RECORD.size

    def _find_footer(self, section: SectionStart, problem: LocatedError) -> int:
        """Return where the footer of a section that has a `problem` begins, or raise that."""
        if self._footers is False:
            raise problem
        footer = find_footer(self._source, section, self._live, keep=self._keep)
        if footer is None and self._footers and isinstance(problem, UnsupportedError):
            # The other sections have footers: what is missing is the rest of the stream.
            raise TruncatedError(
                "the data ends before the footer of this section",
                source=self._source.name,
                offset=section.offset,
                field=section.label,
            ) from problem
        if footer is None:
            raise problem
        self._footers = True
        return footer

    def _damaged(self, problem: str, field: str) -> FormatError:
        return FormatError(problem, source=self._source.name, offset=self._offset, field=field)


class _DeviceReaders:
    """The reader of device sections, made when the first of them has been reached."""

    def __init__(
        self, source: ByteSource, description: Description | None, make: DeviceReaderFactory
    ) -> None:
        self._source = source
        self._description = description
        self._make = make
        self._reader: PayloadReader | None = None
        self._problem: LocatedError | None = None
        self._searched = source.searchable
        self.keep = False
        """A pipe has been read to its end, and what follows must stay in memory."""

    def reader_for(self, section: SectionStart, *, in_tail: bool) -> PayloadReader:
        """Return the reader.

        Args:
            in_tail: Guest memory has passed, so a pipe can be read to its end. Before, that would
                mean to keep guest memory too.

        Raises:
            UnsupportedError: there is no description.
            LocatedError: what making the reader has raised.
        """
        if self._problem is not None:
            raise self._problem
        if self._reader is None:
            description = self._find_description(section, in_tail=in_tail)
            try:
                self._reader = self._make(description)
            except LocatedError as error:
                self._problem = error  # another try would end the same
                raise
        return self._reader

    def _find_description(self, section: SectionStart, *, in_tail: bool) -> Description:
        if in_tail and not self._searched:
            self._searched = True
            self._source.size_to_end()
            self.keep = True
            self._description = find_description(self._source, section.offset)
        if self._description is None:
            raise _unsupported(self._source, section, "no description explains its state")
        return self._description


def _unsupported(source: ByteSource, section: SectionStart, problem: str) -> UnsupportedError:
    return UnsupportedError(problem, source=source.name, offset=section.offset, field=section.label)
