"""The JSON text of a description, read with suspicion: it comes from strangers.

Objects become tuples of (key, value) pairs, because QEMU repeats keys inside one object: a list of
three elements has three `fields`, and a dictionary would keep the last (formats/vmdesc.md 3.2).
Arrays stay lists, so the two cannot be mixed up.
"""

from __future__ import annotations

import json
from typing import TypeAlias

MAX_TEXT_BYTES = 64 << 20
"""Real descriptions have 8 to 110 KB, and 7 KB more for each vCPU: this is twice what 4096 vCPUs
take, the most that a machine type has. Python makes seven times as much of the text."""

MAX_VALUE_COUNT = 8 << 20
"""Values in the text. Real text has 13 bytes for each; at 8 and less it is made to fill memory."""

MAX_INTEGER = (1 << 63) - 1
"""QEMU writes its numbers as int64."""

JsonObject: TypeAlias = "tuple[tuple[str, object], ...]"


class DescriptionError(ValueError):
    """The description is not what QEMU writes.

    Attributes:
        problem: What is wrong.
        places: Where, as keys and names from the innermost outwards.
        position: Byte offset in the text, where it is known.
    """

    def __init__(self, problem: str, *places: str, position: int = 0) -> None:
        super().__init__(problem)
        self.problem = problem
        self.places = list(places)
        self.position = position


def parse_json(text: bytes | memoryview) -> JsonObject:
    """Parse the text to nested JsonObjects.

    Raises:
        DescriptionError: not UTF-8, not JSON, not one object, too long, too deep, too dense.
    """
    if len(text) > MAX_TEXT_BYTES:
        raise DescriptionError(f"{len(text)} bytes long (at most {MAX_TEXT_BYTES})")
    raw = bytes(text)
    value_count = sum(raw.count(mark) for mark in (b",", b"{", b"["))
    if value_count > MAX_VALUE_COUNT:
        raise DescriptionError(f"{value_count} values (at most {MAX_VALUE_COUNT})")
    try:
        decoded = raw.decode("utf-8")
        parsed = json.loads(decoded, object_pairs_hook=tuple)
    except UnicodeDecodeError as error:
        raise DescriptionError("not UTF-8", position=error.start) from error
    except json.JSONDecodeError as error:
        position = len(decoded[: error.pos].encode())
        raise DescriptionError(f"not JSON: {error.msg}", position=position) from error
    except RecursionError as error:
        raise DescriptionError("nested too deeply") from error
    except ValueError as error:  # an integer of more digits than Python converts
        raise DescriptionError("a number of thousands of digits") from error
    return as_object(parsed, "description")


def as_object(value: object, place: str) -> JsonObject:
    """Return `value` if it is an object."""
    if not isinstance(value, tuple):
        raise DescriptionError("not an object", place)
    return value


def get_object(members: dict[str, object], key: str) -> JsonObject:
    """Return the object under `key`."""
    return as_object(_get(members, key), key)


def get_objects(members: dict[str, object], key: str) -> list[JsonObject]:
    """Return the array of objects under `key`; none where there is no such key."""
    value = members.get(key, [])
    if not isinstance(value, list):
        raise DescriptionError("not an array", key)
    for item in value:
        as_object(item, key)
    return value


def get_count(members: dict[str, object], key: str) -> int:
    """Return the number under `key`: how many, how long; never negative."""
    return _integer(_get(members, key), key, minimum=0)


def get_u32(members: dict[str, object], key: str) -> int:
    """Return the number under `key` as the stream has it: old QEMU printed it signed."""
    value = _integer(_get(members, key), key, minimum=-(1 << 31))
    if value >> 32 > 0:
        raise DescriptionError(f"{value} is out of range", key)
    return value & 0xFFFFFFFF


def get_name(members: dict[str, object], key: str) -> str:
    """Return the text under `key`, safe to print."""
    value = _get(members, key)
    if not isinstance(value, str):
        raise DescriptionError("not a text", key)
    if value.isprintable():
        return value
    return value.encode("unicode_escape").decode()


def _get(members: dict[str, object], key: str) -> object:
    try:
        return members[key]
    except KeyError as error:
        raise DescriptionError("missing", key) from error


def _integer(value: object, place: str, *, minimum: int) -> int:
    # JSON's true is an int to Python.
    if not isinstance(value, int) or isinstance(value, bool):
        raise DescriptionError("not an integer", place)
    if not minimum <= value <= MAX_INTEGER:
        raise DescriptionError(f"{value} is out of range", place)
    return value
