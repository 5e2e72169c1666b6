"""The payload of a device and its tree of fields, to values.

What cannot be decoded never hides the rest: it stays as bytes, with a Problem that says why.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from vmstate_tools.core.errors import UnsupportedError
from vmstate_tools.device.fields import FIELD_TYPES, RAW, Cell, Number
from vmstate_tools.device.tree import NULL_BYTE, subsection_header
from vmstate_tools.device.values import Value, ValueList, ValueStruct

if TYPE_CHECKING:
    from vmstate_tools.core.source import ByteSource
    from vmstate_tools.device.tree import Field, FieldRun, Vmsd
    from vmstate_tools.device.vmdesc import Device

MAX_VALUE_COUNT = 1 << 20
"""Values of one device, an array of numbers counting as one. Real devices have up to a few
thousand; a struct of empty fields in a long array could have any number in very few bytes."""

MAX_EMPTY_COUNT = 4096
"""Elements of no bytes in one array. More are left out: they are in no real device, and no payload
bounds their number."""

UNDECODED = "(undecoded)"
"""Name of the bytes at the end of a structure that its description does not explain."""

STRUCT_TYPES = frozenset({"struct", "vstruct", "tmp"})
LIST_TYPES = frozenset({"qtailq", "qlist", "gtree"})
LIST_NEXT = 1
LIST_END = 0
TREE_COUNT_BYTES = 4
TREE_KEY_BYTES = 8

MAX_PROBLEM_COUNT = 100
"""Problems kept of one device. Who meets that many needs no more of them."""

SHOWN_BYTES = 8
"""How much of a misfit a message quotes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """Something that the description does not explain."""

    offset: int
    """Absolute, in bytes."""
    path: str
    """The field, as `--field` takes it, without the device; empty for the device itself."""
    message: str
    is_known_gap: bool
    """Whether QEMU is known to describe this wrongly, so that the bytes may well be sound."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DecodedDevice:
    """All values of a device."""

    label: str
    """As the user names it: `cpu#0`."""
    values: ValueStruct
    problems: tuple[Problem, ...]
    """None if every byte of the payload is explained."""


def decode_device(
    source: ByteSource, device: Device, payload_offset: int, payload_end: int
) -> DecodedDevice:
    """Decode the payload of a FULL section.

    Raises:
        FormatError: the description of this device is not what QEMU writes.
        UnsupportedError: more than MAX_VALUE_COUNT values.
        TruncatedError: the source ends before `payload_end`.
    """
    values, problems = decode_vmsd(source, device.vmsd, payload_offset, payload_end)
    return DecodedDevice(label=device.label, values=values, problems=problems)


def decode_vmsd(
    source: ByteSource, vmsd: Vmsd, offset: int, end: int
) -> tuple[ValueStruct, tuple[Problem, ...]]:
    """Decode a structure that takes the bytes from `offset` to `end`.

    Raises:
        UnsupportedError: more than MAX_VALUE_COUNT values.
        TruncatedError: the source ends before `end`.
    """
    payload = source.read_at(offset, end - offset, vmsd.name)
    decoder = _Decoder(payload, offset, source.name)
    return decoder.decode_struct(vmsd, 0, len(payload)), tuple(decoder.problems)


class _MismatchError(Exception):
    """Bytes and description do not go together at `position` in the payload."""

    def __init__(self, problem: str, position: int, *, is_known_gap: bool = False) -> None:
        super().__init__(problem)
        self.position = position
        self.is_known_gap = is_known_gap
        self.undecoded_start = position


class _Decoder:
    """Decodes one payload. Positions are bytes from its start; a limit is where bytes end."""

    def __init__(self, payload: memoryview, payload_offset: int, source_name: str) -> None:
        self.problems: list[Problem] = []
        self._payload = payload
        self._payload_offset = payload_offset
        self._source_name = source_name
        self._path: list[str] = []
        self._value_count = 0

    def decode_struct(self, vmsd: Vmsd, start: int, end: int) -> ValueStruct:
        """Decode a structure whose end is known; what it does not explain stays as bytes."""
        members: dict[str, Value] = {}
        depth = len(self._path)
        try:
            undecoded_start = self._decode_members(vmsd, members, start, end)
            if undecoded_start < end:
                self._note(f"{end - undecoded_start} bytes are not described", undecoded_start)
        except _MismatchError as error:
            undecoded_start = error.undecoded_start
            self._note_mismatch(error, depth)
        if undecoded_start < end:
            rest = RAW.decode(self._cell("unknown", undecoded_start, end))
            members[_free_key(members, UNDECODED)] = rest
        return self._struct(vmsd, members, start, end)

    def _decode_members(self, vmsd: Vmsd, members: dict[str, Value], start: int, limit: int) -> int:
        """Decode fields, then subsections, into `members`; return where they end."""
        position = start
        for field in vmsd.fields:
            self._path.append(field.name)
            value = self._decode_field(field, position, limit)
            members[_free_key(members, field.name)] = value
            position += value.size
            self._path.pop()
        for subsection in vmsd.subsections:
            self._path.append(subsection.name)
            position = self._decode_subsection(subsection, members, position, limit)
            self._path.pop()
        return position

    def _decode_subsection(
        self, vmsd: Vmsd, members: dict[str, Value], start: int, limit: int
    ) -> int:
        header = subsection_header(vmsd.name, vmsd.version)
        body = start + len(header)
        if body > limit or self._payload[start:body] != header:
            raise _MismatchError(f"no subsection begins here (expected {header.hex()})", start)
        inner: dict[str, Value] = {}
        key = _free_key(members, vmsd.name)
        try:
            end = self._decode_members(vmsd, inner, body, limit)
        except _MismatchError as error:
            members[key] = self._struct(vmsd, inner, start, error.undecoded_start)
            raise
        members[key] = self._struct(vmsd, inner, start, end)
        return end

    def _decode_field(self, field: Field, start: int, limit: int) -> Value:
        self._spend()
        first = field.runs[0]
        if not field.is_array:
            self._need(first.element_size, start, limit)
            return self._decode_element(first, start, start + first.element_size)
        if len(field.runs) == 1 and first.size:
            numbers = self._decode_numbers(first, start, limit)
            if numbers is not None:
                return numbers
        elements: list[Value] = []
        position = start
        try:
            for run in field.runs:
                position = self._decode_run(run, elements, position, limit)
        except _MismatchError as error:
            error.undecoded_start = start
            raise
        return self._list(first.type_name, elements, start, position)

    def _decode_numbers(self, run: FieldRun, start: int, limit: int) -> Value | None:
        """Decode an array of plain numbers at once; None if it is something else."""
        field_type = FIELD_TYPES.get(run.type_name)
        if not isinstance(field_type, Number):
            return None
        self._need(run.size, start, limit)
        return field_type.decode_array(
            self._cell(run.type_name, start, start + run.size), run.count
        )

    def _decode_run(self, run: FieldRun, elements: list[Value], start: int, limit: int) -> int:
        if not run.element_size and run.count > MAX_EMPTY_COUNT:
            return start
        is_capability = run.type_name == "capability"
        self._need(run.count if is_capability else run.size, start, limit)
        position = start
        for _ in range(run.count):
            self._spend()
            end = position + run.element_size
            if is_capability:
                # Names of different lengths, but described by the first alone.
                self._need(1, position, limit)
                end = position + 1 + self._payload[position]
                self._need(end - position, position, limit)
            self._path.append(f"[{len(elements)}]")
            elements.append(self._decode_element(run, position, end))
            self._path.pop()
            position = end
        return position

    def _decode_element(self, run: FieldRun, start: int, end: int) -> Value:
        if run.is_null_only and self._payload[start] != NULL_BYTE:
            problem = "not a null pointer, and QEMU before 10.0 describes no other element"
            raise _MismatchError(problem, start, is_known_gap=True)
        if run.nested and run.type_name in STRUCT_TYPES:
            return self.decode_struct(run.nested[0], start, end)
        cell = self._cell("nullptr" if run.is_null_only else run.type_name, start, end)
        value: Value | None
        if run.type_name in LIST_TYPES:
            value = self._decode_list(run, start, end)
        else:
            value = FIELD_TYPES.get(cell.type_name, RAW).decode(cell)
            if value is None:
                shown = bytes(cell.data[:SHOWN_BYTES]).hex()
                self._note(f"{end - start} bytes ({shown}) are not of type {run.type_name}", start)
        return RAW.decode(cell) if value is None else value

    def _decode_list(self, run: FieldRun, start: int, end: int) -> ValueList | None:
        """Decode a list of structures; None, and a problem, if its bytes tell another story."""
        depth = len(self._path)
        try:
            if run.type_name == "gtree":
                elements, position = self._decode_tree_nodes(run.nested, start, end)
            else:
                elements, position = self._decode_queue(run.nested, start, end)
            position = self._expect(LIST_END, position, end)
            self._expect_end(position, end)
        except _MismatchError as error:
            self._note_mismatch(error, depth)
            return None
        return self._list(run.type_name, elements, start, end)

    def _decode_queue(
        self, nested: tuple[Vmsd, ...], start: int, limit: int
    ) -> tuple[list[Value], int]:
        elements: list[Value] = []
        position = start
        for vmsd in nested:
            position = self._expect(LIST_NEXT, position, limit)
            element = self._decode_inner(vmsd, f"[{len(elements)}]", position, limit)
            elements.append(element)
            position += element.size
        return elements, position

    def _decode_tree_nodes(
        self, nested: tuple[Vmsd, ...], start: int, limit: int
    ) -> tuple[list[Value], int]:
        position = start + TREE_COUNT_BYTES
        self._need(TREE_COUNT_BYTES, start, limit)
        node_count = int.from_bytes(self._payload[start:position], "big")
        # A key is a structure of its own, or a number that the description does not mention.
        if len(nested) not in {node_count, 2 * node_count}:
            raise _MismatchError(
                f"{node_count} nodes, but {len(nested)} structures described", start
            )
        structs_per_node = len(nested) // node_count if node_count else 1
        elements: list[Value] = []
        for index in range(node_count):
            first = index * structs_per_node
            structs = nested[first : first + structs_per_node]
            node = self._decode_tree_node(structs, f"[{index}]", position, limit)
            elements.append(node)
            position += node.size
        return elements, position

    def _decode_tree_node(
        self, structs: tuple[Vmsd, ...], label: str, start: int, limit: int
    ) -> ValueStruct:
        position = self._expect(LIST_NEXT, start, limit)
        key: Value
        if len(structs) > 1:
            key = self._decode_inner(structs[0], f"{label}::key", position, limit)
        else:
            self._need(TREE_KEY_BYTES, position, limit)
            number = int.from_bytes(self._payload[position : position + TREE_KEY_BYTES], "big")
            key = self._cell("uint64", position, position + TREE_KEY_BYTES).leaf(number)
        position += key.size
        value = self._decode_inner(structs[-1], f"{label}::value", position, limit)
        return ValueStruct(
            type_name="gtree node",
            offset=self._payload_offset + start,
            size=position + value.size - start,
            members={"key": key, "value": value},
        )

    def _decode_inner(self, vmsd: Vmsd, label: str, start: int, limit: int) -> ValueStruct:
        """Decode a structure that ends where its description does."""
        self._spend()
        self._path.append(label)
        members: dict[str, Value] = {}
        end = self._decode_members(vmsd, members, start, limit)
        self._path.pop()
        return self._struct(vmsd, members, start, end)

    def _expect(self, mark: int, position: int, limit: int) -> int:
        """Check the byte between the elements of a list; return what follows."""
        self._need(1, position, limit)
        found = self._payload[position]
        if found != mark:
            raise _MismatchError(f"list mark {found:#04x} (expected {mark:#04x})", position)
        return position + 1

    @staticmethod
    def _expect_end(position: int, limit: int) -> None:
        if position != limit:
            raise _MismatchError(f"{limit - position} bytes behind the end of the list", position)

    def _need(self, size: int, position: int, limit: int) -> None:
        if size > limit - position:
            problem = f"{size} bytes described, but {limit - position} left"
            raise _MismatchError(problem, position)

    def _spend(self) -> None:
        self._value_count += 1
        if self._value_count > MAX_VALUE_COUNT:
            problem = f"more than {MAX_VALUE_COUNT} values in one device"
            raise UnsupportedError(problem, source=self._source_name, offset=self._payload_offset)

    def _note_mismatch(self, error: _MismatchError, depth: int) -> None:
        self._note(str(error), error.position, is_known_gap=error.is_known_gap)
        del self._path[depth:]

    def _note(self, message: str, position: int, *, is_known_gap: bool = False) -> None:
        if len(self.problems) < MAX_PROBLEM_COUNT:
            self.problems.append(
                Problem(
                    offset=self._payload_offset + position,
                    path="::".join(self._path).replace("::[", "["),
                    message=message,
                    is_known_gap=is_known_gap,
                )
            )

    def _cell(self, type_name: str, start: int, end: int) -> Cell:
        return Cell(
            type_name=type_name,
            offset=self._payload_offset + start,
            data=self._payload[start:end],
        )

    def _list(self, type_name: str, elements: list[Value], start: int, end: int) -> ValueList:
        return ValueList(
            type_name=type_name,
            offset=self._payload_offset + start,
            size=end - start,
            elements=tuple(elements),
        )

    def _struct(self, vmsd: Vmsd, members: dict[str, Value], start: int, end: int) -> ValueStruct:
        return ValueStruct(
            type_name=vmsd.name,
            offset=self._payload_offset + start,
            size=end - start,
            members=members,
        )


def _free_key(members: dict[str, Value], name: str) -> str:
    """Return `name`, or with an ordinal if it is taken: nothing decoded may be overwritten."""
    key = name
    while key in members:
        key = f"{key}#{len(members)}"
    return key
