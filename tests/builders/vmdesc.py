"""Writes device state together with its description, as QEMU does it in one pass.

Written from QEMU 7.2.22 and 10.0.2 migration/vmstate.c and sharing nothing with the reader. Each
builder returns the bytes, the objects of the description, and the value that both stand for.
"""

from __future__ import annotations

import json
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

CODES = {
    "bool": "B",
    "int8": "b",
    "int16": "h",
    "int32": "i",
    "int64": "q",
    "uint8": "B",
    "uint16": "H",
    "uint32": "I",
    "uint64": "Q",
    "timer": "q",
}


class JsonObject(list[tuple[str, Any]]):
    """An object that may have a key more than once."""


def json_text(value: object) -> str:
    """Write JSON the way QEMU spaces it."""
    if isinstance(value, JsonObject):
        members = (f"{json.dumps(key)}: {json_text(member)}" for key, member in value)
        return "{" + ", ".join(members) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(json_text, value)) + "]"
    return json.dumps(value)


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """One field, of one or more objects."""

    name: str
    objects: tuple[JsonObject, ...]
    payload: bytes
    plain: Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Structure:
    """A vmsd with its content."""

    name: str
    keys: JsonObject
    """What QEMU writes between the start and the end of its object."""
    payload: bytes
    plain: dict[str, Any]
    version: int


def pack(type_name: str, *values: int) -> bytes:
    return struct.pack(f">{len(values)}{CODES[type_name]}", *values)


# Fields


def raw(
    name: str,
    data: bytes,
    type_name: str = "buffer",
    *,
    plain: object = ...,
    size: int | None = None,
    **more: object,
) -> Field:
    """Any field of one element; `more` are keys between name and type, such as `array_len`."""
    described = JsonObject([("name", name), *more.items(), ("type", type_name)])
    described.append(("size", len(data) if size is None else size))
    value = data.hex() if plain is ... else plain
    return Field(name=name, objects=(described,), payload=data, plain=value)


def number(name: str, type_name: str, value: int) -> Field:
    return raw(name, pack(type_name, value), type_name, plain=value)


def numbers(name: str, type_name: str, values: Sequence[int]) -> Field:
    """An array of two or more."""
    data = pack(type_name, *values)
    size = len(data) // len(values)
    return raw(name, data, type_name, plain=list(values), size=size, array_len=len(values))


def nested(name: str, structure: Structure, **more: object) -> Field:
    """A struct."""
    described = JsonObject([("name", name), *more.items(), ("type", "struct")])
    described += [("struct", structure.keys), ("size", len(structure.payload))]
    return Field(name=name, objects=(described,), payload=structure.payload, plain=structure.plain)


def equal_structs(name: str, structures: Sequence[Structure]) -> Field:
    """An array of structs that are described once, by the first."""
    field = nested(name, structures[0], array_len=len(structures))
    return Field(
        name=name,
        objects=field.objects,
        payload=b"".join(structure.payload for structure in structures),
        plain=[structure.plain for structure in structures],
    )


def unequal_structs(
    name: str, structures: Sequence[Structure], *, index_on_last: bool = True
) -> Field:
    """An array of structs that are described one by one; QEMU 10.0 does not index the last."""
    last = len(structures) - 1
    fields = [
        nested(name, structure, **({"index": i} if i < last or index_on_last else {}))
        for i, structure in enumerate(structures)
    ]
    return runs(*fields)


def runs(*fields: Field) -> Field:
    """Several descriptions of one array, such as null pointers between structs."""
    plain: list[object] = []
    for field in fields:
        plain += field.plain if isinstance(field.plain, list) else [field.plain]
    return Field(
        name=fields[0].name,
        objects=tuple(described for field in fields for described in field.objects),
        payload=b"".join(field.payload for field in fields),
        plain=plain,
    )


def nulls(name: str, count: int) -> Field:
    """A run of null pointers, as QEMU 10.0 describes it."""
    more = {"array_len": count} if count > 1 else {}
    plain = [None] * count if count > 1 else None
    return raw(name, b"0" * count, "nullptr", plain=plain, size=1, **more)


def null_array(name: str, count: int, payload: bytes | None = None) -> Field:
    """An array of pointers whose first is null, as QEMU 7.2 describes it whatever the others."""
    described = JsonObject([("name", name), ("array_len", count), ("type", "struct")])
    described += [("struct", JsonObject()), ("size", 1)]
    data = b"0" * count if payload is None else payload
    return Field(name=name, objects=(described,), payload=data, plain=[None] * len(data))


def flat(name: str, type_name: str, payload: bytes, plain: object, *inner: Structure) -> Field:
    """A field that has the keys of what is nested in it among its own."""
    described = JsonObject([("name", name), ("type", type_name)])
    for structure in inner:
        described += structure.keys
    described.append(("size", len(payload)))
    return Field(name=name, objects=(described,), payload=payload, plain=plain)


def inline(name: str, structure: Structure, type_name: str = "vstruct") -> Field:
    """A `vstruct` or a `tmp`."""
    return flat(name, type_name, structure.payload, structure.plain, structure)


def queue(name: str, elements: Sequence[Structure], type_name: str = "qtailq") -> Field:
    payload = b"".join(b"\x01" + element.payload for element in elements) + b"\x00"
    return flat(name, type_name, payload, [element.plain for element in elements], *elements)


def tree(name: str, nodes: Sequence[tuple[int | Structure, Structure]]) -> Field:
    """A `gtree`, its keys all numbers or all structures."""
    payload = struct.pack(">I", len(nodes))
    plain = []
    inner: list[Structure] = []
    for key, value in nodes:
        if isinstance(key, int):
            payload += b"\x01" + pack("uint64", key) + value.payload
            plain.append({"key": key, "value": value.plain})
            inner.append(value)
        else:
            payload += b"\x01" + key.payload + value.payload
            plain.append({"key": key.plain, "value": value.plain})
            inner += [key, value]
    return flat(name, "gtree", payload + b"\x00", plain, *inner)


# Structures


def structure(
    name: str,
    fields: Iterable[Field] = (),
    subsections: Iterable[Structure] = (),
    *,
    version: int = 1,
) -> Structure:
    fields, subsections = tuple(fields), tuple(subsections)
    keys = JsonObject([("vmsd_name", name), ("version", version)])
    keys.append(("fields", [described for field in fields for described in field.objects]))
    if subsections:
        keys.append(("subsections", [subsection.keys for subsection in subsections]))
    return Structure(
        name=name,
        keys=keys,
        payload=b"".join(field.payload for field in fields)
        + b"".join(subsection_bytes(subsection) for subsection in subsections),
        plain={field.name: field.plain for field in fields}
        | {subsection.name: subsection.plain for subsection in subsections},
        version=version,
    )


def subsection_bytes(subsection: Structure) -> bytes:
    name = subsection.name.encode()
    header = b"\x05" + bytes([len(name)]) + name + struct.pack(">I", subsection.version)
    return header + subsection.payload


def described_device(
    content: Structure, *, name: str | None = None, instance_id: int = 0
) -> JsonObject:
    head = [("name", content.name if name is None else name), ("instance_id", instance_id)]
    return JsonObject([*head, *content.keys])


def old_style_device(name: str, size: int, *, instance_id: int = 0) -> JsonObject:
    """A handler without a vmsd."""
    data = JsonObject([("name", "data"), ("size", size), ("type", "buffer")])
    head = [("name", name), ("instance_id", instance_id)]
    return JsonObject([*head, ("size", size), ("fields", [data])])


def vmdesc(
    devices: Iterable[JsonObject],
    *,
    page_size: int = 4096,
    configuration: JsonObject | None = None,
) -> bytes:
    """The text of a whole description."""
    top = JsonObject([("page_size", page_size), ("devices", list(devices))])
    if configuration is not None:
        top.insert(0, ("configuration", configuration))
    return json_text(top).encode()
