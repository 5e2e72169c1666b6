"""The frozen tree of fields that a description unfolds to.

QEMU 10.0.2 migration/vmstate.c, vmsd_desc_field_start() and vmstate_save_vmsd_v().
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby, pairwise
from operator import itemgetter
from typing import TYPE_CHECKING

from vmstate_tools.device.description_json import (
    DescriptionError,
    as_object,
    get_count,
    get_name,
    get_objects,
    get_u32,
)

if TYPE_CHECKING:
    from vmstate_tools.device.description_json import JsonObject

MAX_NESTING = 32
"""Structs inside structs. Real descriptions have fewer than ten levels."""

STRUCT_KEY = "struct"
SUBSECTION = 0x05
NULL_BYTE = 0x30
"""What QEMU writes for an element of an array of pointers that is null: the digit 0."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldRun:
    """One object of the description: so many elements of one type, one after the other."""

    type_name: str
    element_size: int
    """Bytes of one element, its subsections included."""
    count: int
    """1 where the description says nothing of an array."""
    nested: tuple[Vmsd, ...]
    """One for a struct; for a list, what its elements have, in their order; else none."""

    @property
    def size(self) -> int:
        """Bytes of all elements."""
        return self.element_size * self.count

    @property
    def is_null_only(self) -> bool:
        """Whether only a null element was described, on behalf of every element.

        QEMU before 10.0 describes an array of pointers by its first element. If that is null, it
        writes an empty struct of one byte (s390x: `css`), whatever the other elements are.
        """
        return self.type_name == STRUCT_KEY and not self.nested and self.element_size == 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """A field; more than one run where the elements of an array were described one by one."""

    name: str
    is_array: bool
    runs: tuple[FieldRun, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Vmsd:
    """A structure: its fields, then its subsections, as the bytes go."""

    name: str
    version: int
    fields: tuple[Field, ...]
    subsections: tuple[Vmsd, ...]


def build_vmsd(description: JsonObject, depth: int = 0) -> Vmsd:
    """Build the tree of one structure.

    Raises:
        DescriptionError: a key is missing or of the wrong type, or nesting exceeds MAX_NESTING.
    """
    if depth > MAX_NESTING:
        raise DescriptionError(f"structs are nested deeper than {MAX_NESTING}")
    members = dict(description)
    name = get_name(members, "vmsd_name")
    try:
        return Vmsd(
            name=name,
            version=get_u32(members, "version"),
            fields=build_fields(get_objects(members, "fields"), depth),
            subsections=tuple(
                build_vmsd(subsection, depth + 1)
                for subsection in get_objects(members, "subsections")
            ),
        )
    except DescriptionError as error:
        error.places.append(name)
        raise


def build_fields(descriptions: list[JsonObject], depth: int = 0) -> tuple[Field, ...]:
    """Build the fields of one structure, consecutive objects of one name into one array.

    Names that occur twice in a structure carry an ordinal, so equal neighbours are an array. The
    key `index` would say so too, but QEMU 10.0 leaves it out of the last element.
    """
    named = ((get_name(dict(description), "name"), description) for description in descriptions)
    return tuple(
        _build_field(name, [description for _, description in group], depth)
        for name, group in groupby(named, key=itemgetter(0))
    )


def run_length(members: dict[str, object]) -> tuple[int, int]:
    """Return element size in bytes and element count of one object of the description."""
    count = get_count(members, "array_len") if "array_len" in members else 1
    return get_count(members, "size"), count


def is_null_only(members: dict[str, object]) -> bool:
    """See FieldRun.is_null_only, for an object that is not built yet."""
    return (
        members.get("type") == STRUCT_KEY
        and members.get(STRUCT_KEY) == ()
        and members.get("size") == 1
    )


def _build_field(name: str, descriptions: list[JsonObject], depth: int) -> Field:
    try:
        runs = tuple(_build_run(description, depth) for description in descriptions)
    except DescriptionError as error:
        error.places.append(name)
        raise
    keys = {key for key, _ in descriptions[0]}
    is_array = len(runs) > 1 or "array_len" in keys or "index" in keys
    return Field(name=name, is_array=is_array, runs=runs)


def _build_run(description: JsonObject, depth: int) -> FieldRun:
    members = dict(description)
    element_size, count = run_length(members)
    return FieldRun(
        type_name=get_name(members, "type"),
        element_size=element_size,
        count=count,
        nested=tuple(build_vmsd(nested, depth + 1) for nested in _nested(description, members)),
    )


def _nested(description: JsonObject, members: dict[str, object]) -> list[JsonObject]:
    """Find what is nested in a field: under `struct`, or flat among its own keys."""
    if STRUCT_KEY in members:
        nested = as_object(members[STRUCT_KEY], STRUCT_KEY)
        return [nested] if nested else []
    # vstruct, tmp, qtailq, qlist and gtree; each element of a list begins with its `vmsd_name`.
    starts = [index for index, (key, _) in enumerate(description) if key == "vmsd_name"]
    return [description[start:end] for start, end in pairwise([*starts, len(description)])]


def subsection_header(name: str, version: int) -> bytes:
    """Return the bytes that QEMU writes before the body of a subsection.

    QEMU 10.0.2 migration/vmstate.c, vmstate_subsection_save().
    """
    encoded = name.encode()
    # A longer name cannot have a length byte; cut short, it equals nothing.
    return bytes([SUBSECTION, len(encoded) & 0xFF]) + encoded + version.to_bytes(4, "big")
