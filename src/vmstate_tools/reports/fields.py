"""The fields of a device as text: a tree of names, types and values."""

from __future__ import annotations

import textwrap
from itertools import groupby
from typing import TYPE_CHECKING

from vmstate_tools.device.values import Leaf, NumberArray, ValueList, ValueStruct
from vmstate_tools.reports.text import count_text, printable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vmstate_tools.device.values import Value

INDENT = "  "
LINE_WIDTH = 80
DUMP_BYTES = 16
"""Bytes in a line."""
MAX_DUMPED_BYTES = 4096
"""What a person may want to look at: the configuration space of a PCI Express device."""
SMALLEST_HEX = 10
FEWEST_REPETITIONS = 4
"""So many equal numbers become one with a count."""


def value_text(value: Value) -> str:
    """Return a single value as a script would take it, anything else as a person would."""
    if isinstance(value, Leaf):
        return plain_text(value.content)
    return "\n".join(_value_lines(value, 0))


def tree_lines(values: ValueStruct, depth: int = 0) -> Iterator[str]:
    """Yield the lines of a structure's members."""
    for name, member in values.members.items():
        yield from _member_lines(printable(name), member, depth)


def _member_lines(name: str, member: Value, depth: int) -> Iterator[str]:
    """Yield a member: on the line of its name if it fits there, otherwise below."""
    indent = INDENT * depth
    lines = list(_value_lines(member, depth + 1))
    if not isinstance(member, ValueStruct | ValueList) and len(lines) == 1:
        line = f"{indent}{name} = {lines[0].strip()}"
        if len(line) <= LINE_WIDTH:
            yield line
            return
    yield f"{indent}{name}{_heading(member)}"
    yield from lines


def _heading(member: Value) -> str:
    match member:
        case ValueStruct():
            return ":" if member.members else ": empty"
        case ValueList():
            return f": {count_text(len(member.elements), 'element')}"
        case NumberArray():
            return f": {count_text(len(member.numbers), 'number')}"
        case Leaf():
            return ":"


def _value_lines(value: Value, depth: int) -> Iterator[str]:
    indent = INDENT * depth
    match value:
        case ValueStruct():
            yield from tree_lines(value, depth)
        case ValueList():
            yield from _element_lines(value, depth)
        case NumberArray():
            words = _number_words(value.numbers)
            yield from textwrap.wrap(
                words, LINE_WIDTH, initial_indent=indent, subsequent_indent=indent
            )
        case Leaf():
            yield from (f"{indent}{line}" for line in _content_lines(value.content))


def _content_lines(content: int | str | bytes | None) -> Iterator[str]:
    match content:
        case bytes():
            yield from _dump(content)
        case int() if not isinstance(content, bool):
            yield _number_text(content)
        case _:
            yield plain_text(content)


def _element_lines(value: ValueList, depth: int) -> Iterator[str]:
    """Yield elements; those that are equal and follow each other are shown once."""
    first = 0
    for _, group in groupby(value.elements, key=lambda element: element.to_plain()):
        elements = list(group)
        last = first + len(elements) - 1
        name = f"[{first}]" if first == last else f"[{first}] to [{last}]"
        yield from _member_lines(name, elements[0], depth)
        first = last + 1


def _number_words(numbers: tuple[int, ...]) -> str:
    """Return numbers in hexadecimal, repetitions shortened."""
    words = []
    for number, group in groupby(numbers):
        count = sum(1 for _ in group)
        if count < FEWEST_REPETITIONS:
            words += [_hex(number)] * count
        else:
            words.append(f"{_hex(number)}*{count}")
    return " ".join(words)


def _number_text(number: int) -> str:
    return str(number) if abs(number) < SMALLEST_HEX else f"{number} ({_hex(number)})"


def _hex(number: int) -> str:
    return str(number) if abs(number) < SMALLEST_HEX else f"{number:#x}"


def plain_text(content: int | str | bytes | None) -> str:
    """Return a single value as a script would take it: numbers in decimal, bytes in hex."""
    match content:
        case None:
            return "null"
        case bool():
            return "true" if content else "false"
        case bytes():
            return content.hex()
    return printable(str(content))


def _dump(data: bytes) -> Iterator[str]:
    if not any(data):
        yield count_text(len(data), "zero byte")
        return
    if len(data) <= DUMP_BYTES:
        yield data.hex(" ")
        return
    shown = data[:MAX_DUMPED_BYTES]
    zero = bytes(DUMP_BYTES)
    for start in range(0, len(shown), DUMP_BYTES):
        line = shown[start : start + DUMP_BYTES]
        if line != zero:  # lines of zeros are left out
            yield f"{start:04x}  {line.hex(' ')}"
    if len(shown) < len(data):
        yield f"and {count_text(len(data) - len(shown), 'byte')} more (--json has them)"
