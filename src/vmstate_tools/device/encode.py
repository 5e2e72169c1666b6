"""What a user writes for a value, and a value to the bytes that stand for it in the stream."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Literal

from vmstate_tools.core.errors import UsageError
from vmstate_tools.device.fields import FIELD_TYPES, Number
from vmstate_tools.device.tree import NULL_BYTE
from vmstate_tools.device.values import Leaf, NumberArray, ValueList

if TYPE_CHECKING:
    from vmstate_tools.device.values import Value

BOOLS = {"false": False, "0": False, "true": True, "1": True}

LITTLE_ENDIAN_TYPES = frozenset({"le32", "le64"})
"""Parts of the MSI-X table, which is kept as the guest sees it."""

HEX_PREFIX = "0x"


def parse_value(value: Value, text: str, field: str) -> Leaf | NumberArray:
    """Return `value` with the content that `text` stands for; its place and size stay.

    Args:
        value: What stands in the place now; its type tells what fits.
        text: A number in decimal or with 0x; numbers with commas for a whole array; `true` or
            `false`; hex digits for bytes.
        field: What error messages call it.

    Raises:
        UsageError: the text does not fit to the type, or there is more than one value.
    """
    if isinstance(value, Leaf):
        return replace(value, content=_parse_content(value, text, field))
    if isinstance(value, NumberArray):
        return replace(value, numbers=_parse_numbers(value, text.split(","), field))
    if isinstance(value, ValueList):
        raise UsageError(f"{field} has {len(value.elements)} elements (expected {field}[i])")
    names = f", such as {field}::{next(iter(value.members))}" if value.members else ""
    raise UsageError(f"{field} is a structure (expected one of its fields{names})")


def encode_value(value: Leaf | NumberArray) -> bytes:
    """Return the bytes of a value, as many as it has in the stream."""
    if isinstance(value, NumberArray):
        return b"".join(
            _encode_content(value.element(index), number)
            for index, number in enumerate(value.numbers)
        )
    return _encode_content(value, value.content)


def _encode_content(leaf: Leaf, content: int | str | bytes | None) -> bytes:
    match content:
        case None:
            return bytes([NULL_BYTE])
        case bytes():
            return content
        case str():
            return bytes([len(content)]) + content.encode("ascii")
    order: Literal["little", "big"] = "little" if leaf.type_name in LITTLE_ENDIAN_TYPES else "big"
    return content.to_bytes(leaf.size, order, signed=_is_signed(leaf))


def _is_signed(leaf: Leaf) -> bool:
    field_type = FIELD_TYPES.get(leaf.type_name)
    return isinstance(field_type, Number) and field_type.is_signed


def _parse_content(leaf: Leaf, text: str, field: str) -> int | str | bytes:
    match leaf.content:
        case None:
            raise UsageError(f"{field} is a null pointer, which cannot become anything else")
        case bytes():
            return _parse_bytes(leaf, text, field)
        case str():
            return _parse_name(leaf, text, field)
    return _parse_number(leaf, text, field)


def _parse_numbers(array: NumberArray, words: list[str], field: str) -> tuple[int, ...]:
    count = len(array.numbers)
    if len(words) != count:
        raise UsageError(f"{field} has {count} numbers, not {len(words)} (one is {field}[i])")
    return tuple(
        _parse_number(array.element(index), word, f"{field}[{index}]")
        for index, word in enumerate(words)
    )


def _parse_bytes(leaf: Leaf, text: str, field: str) -> bytes:
    try:
        data = bytes.fromhex(text.removeprefix(HEX_PREFIX))
    except ValueError as error:
        raise UsageError(f"{field}: {text!r} is not bytes (expected hex digits)") from error
    if len(data) != leaf.size:
        raise UsageError(f"{field}: {len(data)} bytes do not fit (expected {leaf.size} bytes)")
    return data


def _parse_name(leaf: Leaf, text: str, field: str) -> str:
    length = leaf.size - 1  # one byte is the length, which the description repeats
    if not text.isascii() or len(text) != length:
        raise UsageError(f"{field}: {text!r} does not fit (expected {length} ASCII characters)")
    return text


def _parse_number(leaf: Leaf, text: str, field: str) -> int:
    digits = text.strip().lower()
    if leaf.type_name == "bool":
        if digits not in BOOLS:
            raise UsageError(f"{field}: {text!r} is not a bool (expected true or false)")
        return BOOLS[digits]
    base = 16 if digits.removeprefix("-").startswith(HEX_PREFIX) else 10
    try:
        number = int(digits, base)
    except ValueError as error:
        expected = "expected decimal digits, or 0x and hex digits"
        raise UsageError(f"{field}: {text!r} is not a number ({expected})") from error
    bits = leaf.size * 8
    lowest, highest = (0, (1 << bits) - 1)
    if _is_signed(leaf):
        lowest, highest = -(1 << bits - 1), (1 << bits - 1) - 1
    if not lowest <= number <= highest:
        expected = f"expected {lowest} to {highest}"
        raise UsageError(f"{field}: {text} does not fit into {leaf.type_name} ({expected})")
    return number
