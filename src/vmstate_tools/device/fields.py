"""One decoder for each type of field that is not a container.

Types and layouts: QEMU 10.0.2 migration/vmstate-types.c, hw/pci/pci.c, hw/pci/msix.c and the
`VMStateInfo` of each target. Integers are big-endian unless a type says otherwise.
"""

from __future__ import annotations

from dataclasses import dataclass
from struct import Struct
from typing import TYPE_CHECKING, ClassVar, Protocol

from vmstate_tools.device.tree import NULL_BYTE
from vmstate_tools.device.values import Leaf, NumberArray, Value, ValueList, ValueStruct

if TYPE_CHECKING:
    from collections.abc import Mapping

MSIX_ENTRY_BYTES = 16
"""Size of an entry in the MSI-X table, by the PCI specification."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """The bytes of one element, as long as the description says."""

    type_name: str
    offset: int
    """Absolute, in bytes."""
    data: memoryview

    def leaf(self, content: int | str | bytes | None) -> Leaf:
        """Make the value of this cell."""
        return Leaf(
            type_name=self.type_name, offset=self.offset, size=len(self.data), content=content
        )


class FieldType(Protocol):
    """Knows how the bytes of a type are read."""

    def decode(self, cell: Cell) -> Value | None:
        """Decode one element; None where bytes or size are not of this type."""


class Number:
    """An integer of fixed size.

    Attributes:
        is_signed: Whether it can be negative.
    """

    def __init__(self, code: str) -> None:
        """Make one.

        Args:
            code: The letter of module struct.
        """
        self.is_signed = code.islower()
        self._code = code
        self._layout = Struct(f">{code}")

    def decode(self, cell: Cell) -> Value | None:
        """See FieldType."""
        if len(cell.data) != self._layout.size:
            return None
        return cell.leaf(self._convert(*self._layout.unpack(cell.data))[0])

    def decode_array(self, cell: Cell, count: int) -> Value | None:
        """Decode `count` elements, at least one, that fill the cell."""
        if len(cell.data) != self._layout.size * count:
            return None
        return NumberArray(
            type_name=cell.type_name,
            offset=cell.offset,
            size=len(cell.data),
            numbers=self._convert(*Struct(f">{count}{self._code}").unpack(cell.data)),
        )

    def _convert(self, *numbers: int) -> tuple[int, ...]:
        return numbers


class Bool(Number):
    """A byte that should be 0 or 1; any other is shown as it is."""

    def __init__(self) -> None:
        super().__init__("B")

    def _convert(self, *numbers: int) -> tuple[int, ...]:
        return tuple(bool(number) if number in {0, 1} else number for number in numbers)


class Words:
    """As many integers of one size as there is room for."""

    def __init__(self, code: str) -> None:
        self._number = Number(code)
        self._size = Struct(f">{code}").size

    def decode(self, cell: Cell) -> Value | None:
        """See FieldType."""
        if not cell.data or len(cell.data) % self._size:
            return None
        return self._number.decode_array(cell, len(cell.data) // self._size)


class Register:
    """A register of the target, whose size only the description knows: 1 to 8 bytes, or words."""

    _NUMBERS: ClassVar[Mapping[int, Number]] = {
        1: Number("B"),
        2: Number("H"),
        4: Number("I"),
        8: Number("Q"),
    }
    _WORDS: ClassVar[Words] = Words("Q")

    def decode(self, cell: Cell) -> Value | None:
        """See FieldType."""
        return self._NUMBERS.get(len(cell.data), self._WORDS).decode(cell)


class Raw:
    """Bytes without a layout that we know."""

    def decode(self, cell: Cell) -> Leaf:
        """See FieldType."""
        return cell.leaf(bytes(cell.data))


class Null:
    """A null pointer in an array of pointers."""

    def decode(self, cell: Cell) -> Value | None:
        """See FieldType."""
        return cell.leaf(None) if cell.data == bytes([NULL_BYTE]) else None


class Text:
    """One length byte, then a name."""

    def decode(self, cell: Cell) -> Value | None:
        """See FieldType."""
        if not cell.data or cell.data[0] != len(cell.data) - 1:
            return None
        return cell.leaf(bytes(cell.data[1:]).decode("ascii", "backslashreplace"))


class Msix:
    """The MSI-X table, 16 bytes an entry, then one pending bit for each, in whole bytes.

    QEMU keeps both as the guest sees them, so their integers are little-endian.
    """

    _ENTRY = Struct("<QII")
    _FIELDS = (("address", 0, 8), ("data", 8, 4), ("control", 12, 4))

    def decode(self, cell: Cell) -> Value | None:
        """See FieldType."""
        entry_count = len(cell.data) * 8 // (MSIX_ENTRY_BYTES * 8 + 1)
        table_size = entry_count * MSIX_ENTRY_BYTES
        if not entry_count or len(cell.data) != table_size + (entry_count + 7) // 8:
            return None
        table = ValueList(
            type_name="msix table",
            offset=cell.offset,
            size=table_size,
            elements=tuple(
                self._entry(cell, index * MSIX_ENTRY_BYTES) for index in range(entry_count)
            ),
        )
        pending = Leaf(
            type_name="buffer",
            offset=cell.offset + table_size,
            size=len(cell.data) - table_size,
            content=bytes(cell.data[table_size:]),
        )
        members: dict[str, Value] = {"table": table, "pending": pending}
        return ValueStruct(
            type_name=cell.type_name, offset=cell.offset, size=len(cell.data), members=members
        )

    def _entry(self, cell: Cell, start: int) -> ValueStruct:
        numbers = self._ENTRY.unpack_from(cell.data, start)
        members = {
            name: Leaf(
                type_name=f"le{size * 8}",
                offset=cell.offset + start + offset,
                size=size,
                content=number,
            )
            for (name, offset, size), number in zip(self._FIELDS, numbers, strict=True)
        }
        return ValueStruct(
            type_name="msix entry",
            offset=cell.offset + start,
            size=MSIX_ENTRY_BYTES,
            members=members,
        )


RAW = Raw()
_REGISTER = Register()

FIELD_TYPES: Mapping[str, FieldType] = {
    "bool": Bool(),
    "int8": Number("b"),
    "int16": Number("h"),
    "int32": Number("i"),
    "int64": Number("q"),
    "uint8": Number("B"),
    "uint16": Number("H"),
    "uint32": Number("I"),
    "uint64": Number("Q"),
    "int32 equal": Number("i"),
    "uint8 equal": Number("B"),
    "uint16 equal": Number("H"),
    "uint32 equal": Number("I"),
    "int64 equal": Number("Q"),  # vmstate_info_uint64_equal, misnamed by QEMU
    "int32 le": Number("i"),  # "less or equal" on load; the bytes are big-endian
    "timer": Number("q"),  # nanoseconds of its clock; -1 when it is not running
    "CPU_Double_U": Number("Q"),  # the bits of a double: NaN and infinity have no JSON
    "float64": Number("Q"),  # its old name
    "bitmap": Words("Q"),  # bit i is bit i % 64 of word i // 64
    "nullptr": Null(),
    "capability": Text(),
    "buffer": RAW,
    "unused_buffer": RAW,
    "fd": RAW,
    "unknown": RAW,
    "pci config": RAW,
    "pci irq state": Words("I"),  # INTA to INTD
    "msix state": Msix(),
    "shpc": RAW,
    "virtio": RAW,
    "virtqueue_extra_state": RAW,
    "virtio-gpu": RAW,
    "blob": RAW,
    "virtio-fs back-end state": RAW,
    "virtio-net vhost-user backend state": RAW,
    "scsi-requests": RAW,
    "usb-redir-parser": RAW,
    "usb-redir-bufpq": RAW,
    "usb-redir-packet-id-q": RAW,
    "irqs": RAW,
    "int32_as_uint16": Number("H"),
    "uint16_from_uint8": Number("B"),
    "cpsr": _REGISTER,
    "fpscr": _REGISTER,
    "fpcr": _REGISTER,
    "fpsr": _REGISTER,
    "powered_off": _REGISTER,
    "psr": _REGISTER,
    "fsr": _REGISTER,
    "xcc": _REGISTER,
    "sr": _REGISTER,
    "msr": _REGISTER,
    "psw": _REGISTER,
    "tlb entry": _REGISTER,
    "tlb_entry": RAW,
    "fpr": _REGISTER,
    "avr": _REGISTER,
    "vsr": _REGISTER,
    "slbe": _REGISTER,
    "cpu/altivec/vscr": _REGISTER,
    "sreg": _REGISTER,
    "rampD": _REGISTER,
    "rampX": _REGISTER,
    "rampY": _REGISTER,
    "rampZ": _REGISTER,
    "eind": _REGISTER,
}
"""By the name in the description. A name that is not here is RAW: its size is always known."""
