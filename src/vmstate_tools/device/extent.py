"""How long the payload of a device is, from its description but without its tree of fields.

The size of a field covers what is nested in it, so the outermost fields are enough: walking past
all devices of a stream costs next to nothing, and trees are built for those asked for only.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from vmstate_tools.device.description_json import (
    DescriptionError,
    get_name,
    get_objects,
    get_u32,
)
from vmstate_tools.device.tree import MAX_NESTING, is_null_only, run_length

if TYPE_CHECKING:
    from vmstate_tools.device.description_json import JsonObject


@dataclass(frozen=True, slots=True, kw_only=True)
class NullArray:
    """Elements that are one byte each only if all of them are null (FieldRun.is_null_only)."""

    start: int
    """Bytes from the start of the structure."""
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Extent:
    """The bytes of one structure."""

    fields_size: int
    """Bytes of all fields, and of everything nested in them."""
    null_arrays: tuple[NullArray, ...]
    subsections: tuple[SubsectionExtent, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class SubsectionExtent:
    """A subsection: header, then body."""

    name: str
    version: int
    body: Extent


def measure(description: JsonObject, depth: int = 0) -> Extent:
    """Add up the sizes of the outermost fields.

    Raises:
        DescriptionError: a size or count is missing or not a length.
    """
    if depth > MAX_NESTING:
        raise DescriptionError(f"subsections are nested deeper than {MAX_NESTING}")
    members = dict(description)
    fields_size = 0
    null_arrays = []
    for number, field in enumerate(get_objects(members, "fields")):
        try:
            described = dict(field)
            element_size, count = run_length(described)
        except DescriptionError as error:
            error.places.append(f"fields[{number}]")
            raise
        if is_null_only(described):
            null_arrays.append(NullArray(start=fields_size, count=count))
        fields_size += element_size * count
    return Extent(
        fields_size=fields_size,
        null_arrays=tuple(null_arrays),
        subsections=tuple(
            _measure_subsection(subsection, depth + 1)
            for subsection in get_objects(members, "subsections")
        ),
    )


def _measure_subsection(description: JsonObject, depth: int) -> SubsectionExtent:
    members = dict(description)
    name = get_name(members, "vmsd_name")
    try:
        version = get_u32(members, "version")
        return SubsectionExtent(name=name, version=version, body=measure(description, depth))
    except DescriptionError as error:
        error.places.append(name)
        raise
