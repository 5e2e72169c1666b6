"""Open what holds the state of a VM, and read it once: a Snapshot knows what is where."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, TypeVar

from vmstate_tools.containers.detect import require_stream
from vmstate_tools.core.errors import LocatedError, UnsupportedError, UsageError
from vmstate_tools.core.source import FileSource, open_source
from vmstate_tools.device.decode import DecodedDevice, decode_device
from vmstate_tools.device.reader import DeviceReader
from vmstate_tools.device.vmdesc import Vmdesc, parse_vmdesc
from vmstate_tools.handlers.table import FULL, HandlerState, Readers, StatesReader, read_full
from vmstate_tools.ram.image import RamImage
from vmstate_tools.ram.index import RamIndex
from vmstate_tools.ram.reader import IDSTR as RAM
from vmstate_tools.ram.reader import RamReader
from vmstate_tools.snapshot.kind import Kind, find_kind
from vmstate_tools.snapshot.passing import PassingSource
from vmstate_tools.stream.preamble import read_preamble
from vmstate_tools.stream.records import (
    Command,
    CommandCode,
    Description,
    Section,
    SectionKind,
    Trailing,
)
from vmstate_tools.stream.walker import walk

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from vmstate_tools.core.source import ByteSource
    from vmstate_tools.snapshot.manifest import Manifest
    from vmstate_tools.snapshot.passing import OnPassed
    from vmstate_tools.stream.records import Configuration, Preamble, Record

RecordType = TypeVar("RecordType")


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """A device section of the stream."""

    name: str
    """Its idstr."""
    instance_id: int
    version_id: int
    section_id: int
    offset: int
    """Of its state, in the state file."""
    size: int
    """Bytes of its state."""
    problem: LocatedError | None
    """Why its state could not be followed; where it ends was then told by its footer."""

    @property
    def label(self) -> str:
        """The name that tells it from all others: `cpu#0`."""
        return f"{self.name}#{self.instance_id}"


@dataclass(kw_only=True)
class Snapshot:
    """The state of a VM, read once. Payloads stay in the source until somebody asks for them.

    It can be used as long as its source is open.
    """

    source: ByteSource
    preamble: Preamble
    records: Sequence[Record]
    """Everything that was read, in order of the stream."""
    ram: RamIndex
    """Without blocks where the stream holds no memory."""
    stopped: LocatedError | None
    """Why reading had to stop before the end, for those who asked to have what was read."""
    states: Sequence[HandlerState] = ()
    """What the sections of iterative handlers beside `ram` hold."""
    directory: Path | None = None
    """The snapshot directory, if it is one."""
    manifest: Manifest | None = None

    @cached_property
    def memory(self) -> RamImage:
        """The content of memory, read when it is asked for."""
        return RamImage(self.source, self.ram)

    @property
    def configuration(self) -> Configuration | None:
        """What the source insisted on; None for machine types up to 2.3."""
        return self.preamble.configuration

    @property
    def machine(self) -> str | None:
        """Versioned machine type, as the stream has it."""
        return self.configuration.machine if self.configuration else None

    @property
    def container(self) -> str:
        """What the stream came in: `stream`, `mapped-ram` or `directory`."""
        if self.directory is not None:
            return "directory"
        return "mapped-ram" if self.kind is Kind.MAPPED_RAM else "stream"

    @cached_property
    def sections(self) -> tuple[Section, ...]:
        """The sections, in order of the stream."""
        return tuple(record for record in self.records if isinstance(record, Section))

    @cached_property
    def devices(self) -> tuple[Device, ...]:
        """The device sections, in order of the stream."""
        return tuple(
            Device(
                name=section.idstr,
                instance_id=section.instance_id,
                version_id=section.version_id,
                section_id=section.section_id,
                offset=section.payload_offset,
                size=section.payload_end - section.payload_offset,
                problem=section.problem,
            )
            for section in self.sections
            if section.kind is SectionKind.FULL
        )

    @cached_property
    def handlers(self) -> tuple[HandlerState, ...]:
        """What the handlers hold, beside `ram`, that have no vmsd and so no field has a name."""
        return (*self.states, *map(self._full_state, filter(self._is_handler, self.devices)))

    @property
    def device_bytes(self) -> int:
        """Bytes of device state."""
        return sum(device.size for device in self.devices)

    @property
    def footers(self) -> bool:
        """Whether sections have footers."""
        return any(section.end > section.payload_end for section in self.sections)

    @cached_property
    def description(self) -> Description | None:
        """Where the description of the devices is."""
        return self._find(Description)

    @cached_property
    def vmdesc(self) -> Vmdesc | None:
        """The description of the devices; None if the stream has none.

        Raises:
            FormatError: it is not what QEMU writes.
        """
        return None if self.description is None else _read_vmdesc(self.source, self.description)

    def decode(self, device: Device) -> DecodedDevice | None:
        """Decode the state of a device; None if nothing describes it.

        Raises:
            FormatError: its description is not what QEMU writes.
            UnsupportedError: it has more values than any device.
        """
        if self.vmdesc is None:
            return None
        described = self.vmdesc.find_device(device.name, device.instance_id)
        if described is None:
            return None
        return decode_device(self.source, described, device.offset, device.offset + device.size)

    @cached_property
    def trailing(self) -> Trailing | None:
        """Bytes behind the stream."""
        return self._find(Trailing)

    @cached_property
    def kind(self) -> Kind:
        """How the stream came about."""
        capabilities = self.configuration.capabilities if self.configuration else ()
        repeated = any(self.ram.counts(block.name).repeated for block in self.ram.blocks)
        return find_kind(capabilities, self.records, pages_repeated=repeated)

    def _is_handler(self, device: Device) -> bool:
        # A device that was passed by its footer is no longer there in a pipe.
        return device.name in FULL and (device.problem is None or self.source.searchable)

    def _full_state(self, device: Device) -> HandlerState:
        content = problem = None
        try:
            content = read_full(self.source, device.name, device.offset, device.size)
        except LocatedError as error:
            problem = error
        return HandlerState(
            name=device.name,
            instance_id=device.instance_id,
            version_id=device.version_id,
            section_id=device.section_id,
            content=content,
            problem=problem,
        )

    def _find(self, kind: type[RecordType]) -> RecordType | None:
        return next((record for record in self.records if isinstance(record, kind)), None)


def _read_vmdesc(source: ByteSource, description: Description) -> Vmdesc:
    start = description.json_offset
    text = source.read_at(start, description.end - start, "description")
    return parse_vmdesc(text, source.name, start)


def read_snapshot(
    source: ByteSource,
    *,
    on_first_page: Callable[[], object] | None = None,
    partial: bool = False,
) -> Snapshot:
    """Read a stream to its end, in one pass: for files and pipes alike.

    Args:
        on_first_page: Called once, when the first page of memory has come.
        partial: When the stream is damaged, return what was read, with the reason.

    Raises:
        FormatError: the stream is damaged.
        UnsupportedError: it holds something that this version does not read.
    """
    preamble = read_preamble(source)
    ram_reader = RamReader(preamble, on_first_page)
    states_reader = StatesReader()
    readers = Readers({RAM: ram_reader}, states_reader)
    parsed: list[Vmdesc] = []

    def make_device_reader(description: Description) -> DeviceReader:
        parsed.append(_read_vmdesc(source, description))
        return DeviceReader(parsed[0])

    records: list[Record] = []
    stopped: LocatedError | None = None
    try:
        for record in walk(source, preamble, readers, make_device_reader):
            records.append(record)
            if isinstance(record, Command) and record.code == CommandCode.POSTCOPY_RAM_DISCARD:
                ram_reader.discard(source, record)
    except LocatedError as error:
        if not partial:
            raise
        stopped = error
    snapshot = Snapshot(
        source=source,
        preamble=preamble,
        records=tuple(records),
        ram=ram_reader.index or RamIndex((), preamble.page_size),
        stopped=stopped,
        states=states_reader.states,
    )
    if parsed:
        snapshot.vmdesc = parsed[0]  # it need not be parsed again
    return snapshot


@contextmanager
def open_snapshot(
    path: Path,
    *,
    on_passed: OnPassed | None = None,
    partial: bool = False,
) -> Iterator[Snapshot]:
    """Open a snapshot directory or a state file, known by its content, and read it.

    Args:
        path: `-` is standard input.
        on_passed: Called on the way with what was passed; of a file this is every byte.
        partial: When the stream is damaged, give what was read, with the reason.

    Raises:
        UsageError: there is no such file, or the snapshot was not finished.
        FormatError: it is damaged.
        UnsupportedError: it is, or holds, something that this version does not read.
    """
    manifest: Manifest | None = None
    with ExitStack() as steps:
        source: ByteSource
        if _is_directory(path):
            manifest = _read_manifest(path)
            source = steps.enter_context(FileSource(path / manifest.state.name))
        else:
            source = steps.enter_context(open_source(path))
        if on_passed is not None:
            source = PassingSource(source, on_passed)
        require_stream(source)
        snapshot = read_snapshot(source, partial=partial)
        if isinstance(source, PassingSource) and source.searchable:
            source.pass_rest()
        if manifest is not None:
            snapshot.directory = path
            snapshot.manifest = manifest
        yield snapshot


def _is_directory(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError as error:  # a folder on the way there may not be searched
        raise UsageError(f"{path}: {error.strerror}") from error


def _read_manifest(directory: Path) -> Manifest:
    # Importing it takes as long as indexing 300 MiB, and a state file has no manifest.
    from vmstate_tools.snapshot.manifest import read_manifest  # noqa: PLC0415

    manifest = read_manifest(directory)
    if manifest.state.format != "stream":
        problem = f"a state file in format {manifest.state.format!r} (this version reads 'stream')"
        raise UnsupportedError(problem, source=str(directory))
    return manifest
