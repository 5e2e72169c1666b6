"""Decoded values. Each knows its type, and where in the stream its bytes are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias, Union

if TYPE_CHECKING:
    from collections.abc import Mapping

PlainValue: TypeAlias = Union["int", "str", "None", "list[PlainValue]", "dict[str, PlainValue]"]
"""What JSON holds: numbers, hex for bytes, lists for arrays, objects for structures."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Leaf:
    """A single value."""

    type_name: str
    offset: int
    """Absolute, in bytes."""
    size: int
    """In bytes."""
    content: int | str | bytes | None
    """A bool stays one; None is a null pointer."""

    def to_plain(self) -> PlainValue:
        """Return what JSON shows."""
        return self.content.hex() if isinstance(self.content, bytes) else self.content


@dataclass(frozen=True, slots=True, kw_only=True)
class NumberArray:
    """Numbers of one type, one after the other."""

    type_name: str
    offset: int
    size: int
    numbers: tuple[int, ...]
    """At least one."""

    def element(self, index: int) -> Leaf:
        """Return the number at `index`, which must be in range, with its own place."""
        element_size = self.size // len(self.numbers)
        return Leaf(
            type_name=self.type_name,
            offset=self.offset + index * element_size,
            size=element_size,
            content=self.numbers[index],
        )

    def to_plain(self) -> PlainValue:
        """Return what JSON shows."""
        return list(self.numbers)


@dataclass(frozen=True, slots=True, kw_only=True)
class ValueList:
    """Elements of an array or of a list (`qtailq`, `qlist`, `gtree`)."""

    type_name: str
    offset: int
    size: int
    elements: tuple[Value, ...]

    def to_plain(self) -> PlainValue:
        """Return what JSON shows."""
        return [element.to_plain() for element in self.elements]


@dataclass(frozen=True, slots=True, kw_only=True)
class ValueStruct:
    """Fields by name, then subsections by the name of their vmsd."""

    type_name: str
    """Name of the vmsd."""
    offset: int
    size: int
    members: Mapping[str, Value]

    def to_plain(self) -> dict[str, PlainValue]:
        """Return what JSON shows."""
        return {name: member.to_plain() for name, member in self.members.items()}


Value: TypeAlias = Leaf | NumberArray | ValueList | ValueStruct
