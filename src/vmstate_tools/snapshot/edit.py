"""Set fields of a stream: everything else stays as it is, byte for byte.

The run state is in section `globalstate` (QEMU 10.0.2 migration/global_state.c), the machine type
in the configuration section (migration/savevm.c).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from vmstate_tools.core.errors import FormatError, UnsupportedError, UsageError
from vmstate_tools.device.address import (
    SEPARATOR,
    FieldPath,
    find_field,
    parse_field_path,
    select_device,
)
from vmstate_tools.device.encode import encode_value, parse_value
from vmstate_tools.device.values import Leaf
from vmstate_tools.stream.preamble import MAX_MACHINE_BYTES
from vmstate_tools.stream.writer import Extent, configuration_head, description_head

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from vmstate_tools.device.decode import DecodedDevice
    from vmstate_tools.device.values import NumberArray, PlainValue, Value
    from vmstate_tools.snapshot.open import Snapshot
    from vmstate_tools.stream.records import Configuration
    from vmstate_tools.stream.writer import Piece

SHORT_NAMES = {
    "machine": "configuration::name",
    "globalstate": "globalstate::runstate",
}
"""Names for what is no device, or is looked for under another name."""

RUN_STATES = frozenset(
    {
        *("finish-migrate", "guest-panicked", "internal-error", "io-error", "paused"),
        *("postmigrate", "prelaunch", "running", "shutdown", "suspended", "watchdog"),
    }
)
"""What a QEMU that loads a stream can go over to (QEMU 10.0.2 system/runstate.c). Any other state
makes it abort, but for `colo`, which is not one that a file is loaded into."""

MAPPED = "mapped-ram"
"""Capability of streams that hold absolute offsets in the file."""

_MACHINE = FieldPath(device="configuration", names=("name",))
_RUN_STATE = FieldPath(device="globalstate", names=("runstate",))
_RUN_STATE_LENGTH = FieldPath(device="globalstate", names=("size",))
_MACHINE_NAME = re.compile(r"[\w.+-]+", re.ASCII)

# The description of the machine's name, as QEMU since 8.2 writes it.
_NAME_SIZE = re.compile(rb'"name":\s*"name",\s*"type":\s*"buffer",\s*"size":\s*(\d+)')


@dataclass(frozen=True, slots=True, kw_only=True)
class Assignment:
    """A field and what it shall be."""

    path: FieldPath
    text: str

    @property
    def field(self) -> str:
        """The field as the user names it."""
        return SEPARATOR.join((self.path.device, *self.path.names))


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """Bytes of the stream that others take the place of."""

    start: int
    end: int
    data: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Edit:
    """A field that gets another value."""

    field: str
    before: PlainValue
    after: PlainValue
    changes: tuple[Change, ...]
    """What that means for the stream."""


def parse_assignment(text: str) -> Assignment:
    """Split `FIELD=VALUE`.

    Raises:
        UsageError: not of that form.
    """
    name, equals, value = text.partition("=")
    if not equals:
        raise UsageError(f"{text}: nothing to set (expected FIELD=VALUE)")
    return Assignment(path=parse_field_path(SHORT_NAMES.get(name, name)), text=value)


def plan_edits(snapshot: Snapshot, assignments: Iterable[Assignment]) -> tuple[Edit, ...]:
    """Find out what changes, and where.

    Raises:
        UsageError: there is no such field, or the value does not fit, or two are of one place.
        UnsupportedError: the stream has no description that tells where fields are.
    """
    planner = _Planner(snapshot)
    edits = tuple(planner.plan(assignment) for assignment in assignments)
    placed = [(change, edit.field) for edit in edits for change in edit.changes]
    placed.sort(key=lambda pair: pair[0].start)
    for (before, first), (change, second) in pairwise(placed):
        if change.start < before.end:
            raise UsageError(f"{first} and {second} are set at the same place")
    return edits


def edited_pieces(snapshot: Snapshot, edits: Iterable[Edit]) -> Iterator[Piece]:
    """Yield the stream with its changes, to be written with stream.writer.write_pieces()."""
    changes = (change for edit in edits for change in edit.changes)
    position = 0
    for change in sorted(changes, key=lambda change: change.start):
        yield Extent(start=position, end=change.start)
        yield change.data
        position = change.end
    yield Extent(start=position, end=snapshot.source.size_to_end())


class _Planner:
    """Turns assignments into edits of one snapshot."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot
        self._decoded: dict[str, DecodedDevice] = {}

    def plan(self, assignment: Assignment) -> Edit:
        """Find out what has to change so that the field has its new value."""
        if assignment.path == _MACHINE:
            return self._plan_machine(assignment)
        is_instance_0 = assignment.path.device.removesuffix("#0") == _RUN_STATE.device
        if is_instance_0 and assignment.path.names == _RUN_STATE.names:
            return self._plan_run_state(assignment)
        return self._plan_field(assignment)

    def _plan_field(self, assignment: Assignment) -> Edit:
        value = find_field(self._decode(assignment.path.device), assignment.path)
        after = parse_value(value, assignment.text, assignment.field)
        return Edit(
            field=assignment.field,
            before=value.to_plain(),
            after=after.to_plain(),
            changes=(_change_to(after),),
        )

    def _plan_run_state(self, assignment: Assignment) -> Edit:
        """Set the state, padded with zeros, and its length with one of them."""
        if assignment.text not in RUN_STATES:
            states = ", ".join(sorted(RUN_STATES))
            raise UsageError(f"no run state {assignment.text!r} (there are {states})")
        values = self._decode(_RUN_STATE.device)
        name = find_field(values, _RUN_STATE)
        length = find_field(values, _RUN_STATE_LENGTH)
        state = assignment.text.encode()
        padded = parse_value(name, state.ljust(name.size, b"\0").hex(), assignment.field)
        counted = parse_value(length, str(len(state) + 1), assignment.field)
        return Edit(
            field=assignment.field,
            before=_state_text(name),
            after=assignment.text,
            changes=(_change_to(counted), _change_to(padded)),
        )

    def _plan_machine(self, assignment: Assignment) -> Edit:
        machine = assignment.text
        if not _MACHINE_NAME.fullmatch(machine) or len(machine) > MAX_MACHINE_BYTES:
            raise UsageError(f"{machine!r} is not the name of a machine type")
        configuration = self._snapshot.configuration
        if configuration is None:
            raise UsageError("the stream has no configuration section, so it names no machine")
        if len(machine) != len(configuration.machine) and MAPPED in configuration.capabilities:
            problem = (
                "a file whose pages have fixed places (mapped-ram), so names keep their length"
            )
            raise UnsupportedError(problem, source=self._snapshot.source.name)
        start = configuration.offset
        end = start + len(configuration_head(configuration.machine))
        head = Change(start=start, end=end, data=configuration_head(machine))
        return Edit(
            field=assignment.field,
            before=configuration.machine,
            after=machine,
            changes=(head, *self._described_machine(machine, configuration)),
        )

    def _described_machine(self, machine: str, configuration: Configuration) -> Iterator[Change]:
        """Yield the new length of the name in the description, and the new length of that."""
        description, vmdesc = self._snapshot.description, self._snapshot.vmdesc
        if description is None or vmdesc is None or vmdesc.configuration is None:
            return
        length = description.end - description.json_offset
        text = bytes(self._snapshot.source.read_at(description.json_offset, length, "description"))
        match = _NAME_SIZE.search(text)
        if match is None or int(match[1]) != len(configuration.machine):
            raise FormatError(
                "the configuration section is described otherwise than it is",
                source=self._snapshot.source.name,
                offset=description.json_offset,
                field="description",
            )
        size = str(len(machine)).encode()
        head = description_head(length + len(size) - len(match[1]))
        yield Change(start=description.offset, end=description.json_offset, data=head)
        start, end = (description.json_offset + place for place in match.span(1))
        yield Change(start=start, end=end, data=size)

    def _decode(self, name: str) -> DecodedDevice:
        vmdesc = self._snapshot.vmdesc
        if vmdesc is None:
            problem = "the stream has no description, so that fields cannot be found"
            raise UnsupportedError(problem, source=self._snapshot.source.name)
        label = select_device(vmdesc, name).label
        if label not in self._decoded:
            device = next((one for one in self._snapshot.devices if one.label == label), None)
            decoded = None if device is None else self._snapshot.decode(device)
            if decoded is None:
                raise UsageError(f"the stream has no section {label}, though it describes one")
            self._decoded[label] = decoded
        return self._decoded[label]


def _change_to(value: Leaf | NumberArray) -> Change:
    return Change(start=value.offset, end=value.offset + value.size, data=encode_value(value))


def _state_text(value: Value) -> PlainValue:
    if isinstance(value, Leaf) and isinstance(value.content, bytes):
        return value.content.partition(b"\0")[0].decode("ascii", "backslashreplace")
    return value.to_plain()
