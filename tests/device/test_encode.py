from __future__ import annotations

import re

import pytest

from builders.vmdesc import Field, nested, number, numbers, raw, structure
from decoding import decode_fields
from vmstate_tools.core.errors import UsageError
from vmstate_tools.device.encode import encode_value, parse_value
from vmstate_tools.device.values import Leaf, NumberArray, Value, ValueList

FITTING = [
    ("uint8", 0, "255", "ff"),
    ("uint8", 0, "0x10", "10"),
    ("int8", 0, "-128", "80"),
    ("int8", 0, "-0x1", "ff"),
    ("uint16", 0, "258", "0102"),
    ("int16", 0, "-2", "fffe"),
    ("uint32", 0, "0xFFFFFFFF", "ffffffff"),
    ("int32", 0, "-1", "ffffffff"),
    ("uint64", 0, str(2**64 - 1), "f" * 16),
    ("int64", 0, str(-(2**63)), "8" + "0" * 15),
    ("timer", 0, "-1", "f" * 16),
    ("bool", 0, "true", "01"),
    ("bool", 1, "False", "00"),
    ("bool", 7, "1", "01"),
]


def value_of(name: str, *fields: Field) -> Value:
    return decode_fields(*fields).values.members[name]


@pytest.mark.parametrize("type_name, before, text, expected", FITTING)
def test_number_takes_the_bytes_of_its_type(
    type_name: str, before: int, text: str, expected: str
) -> None:
    value = value_of("x", number("x", type_name, before))
    assert encode_value(parse_value(value, text, "dev#0::x")) == bytes.fromhex(expected)


@pytest.mark.parametrize(
    "type_name, text, expected",
    [
        ("uint8", "256", "256 does not fit into uint8 (expected 0 to 255)"),
        ("uint8", "-1", "-1 does not fit into uint8 (expected 0 to 255)"),
        ("int8", "0x80", "0x80 does not fit into int8 (expected -128 to 127)"),
        ("uint64", str(2**64), f"does not fit into uint64 (expected 0 to {2**64 - 1})"),
        ("int32", "", "'' is not a number (expected decimal digits, or 0x and hex digits)"),
        ("int32", "1.5", "'1.5' is not a number"),
        ("int32", "9" * 5000, "is not a number"),
        ("bool", "2", "'2' is not a bool (expected true or false)"),
    ],
)
def test_number_that_does_not_fit_is_refused(type_name: str, text: str, expected: str) -> None:
    value = value_of("x", number("x", type_name, 0))
    with pytest.raises(UsageError, match=rf"^dev#0::x: .*{re.escape(expected)}"):
        parse_value(value, text, "dev#0::x")


@pytest.mark.parametrize("text", ["00010203", "0x00010203", "00 01 02 03"])
def test_bytes_are_hex_digits(text: str) -> None:
    value = value_of("mac", raw("mac", b"abcd"))
    assert encode_value(parse_value(value, text, "mac")) == bytes(range(4))


@pytest.mark.parametrize(
    "text, expected",
    [
        ("000102", "mac: 3 bytes do not fit (expected 4 bytes)"),
        ("xyz", "mac: 'xyz' is not bytes (expected hex digits)"),
    ],
)
def test_bytes_of_another_length_are_refused(text: str, expected: str) -> None:
    value = value_of("mac", raw("mac", b"abcd"))
    with pytest.raises(UsageError, match=re.escape(expected)):
        parse_value(value, text, "mac")


def test_whole_array_is_numbers_with_commas() -> None:
    value = value_of("cr", numbers("cr", "uint16", [1, 2, 3]))
    assert encode_value(parse_value(value, "4, 0x5,6", "cr")) == bytes([0, 4, 0, 5, 0, 6])


@pytest.mark.parametrize(
    "text, expected",
    [
        ("1,2", "cr has 3 numbers, not 2 (one is cr[i])"),
        ("1,2,70000", "cr[2]: 70000 does not fit into uint16"),
    ],
)
def test_array_of_another_length_or_range_is_refused(text: str, expected: str) -> None:
    value = value_of("cr", numbers("cr", "uint16", [1, 2, 3]))
    with pytest.raises(UsageError, match=re.escape(expected)):
        parse_value(value, text, "cr")


def test_register_takes_as_many_bytes_as_it_has() -> None:
    value = value_of("psr", raw("psr", b"\0\0\0\1", "psr"))
    assert encode_value(parse_value(value, "0xfffffffe", "psr")) == b"\xff\xff\xff\xfe"


def test_name_of_the_same_length_takes_its_place() -> None:
    value = value_of("cap", raw("cap", b"\3abc", "capability"))
    assert encode_value(parse_value(value, "xyz", "cap")) == b"\3xyz"
    with pytest.raises(UsageError, match="expected 3 ASCII characters"):
        parse_value(value, "longer", "cap")


def test_interrupt_table_is_little_endian() -> None:
    table = value_of("msix", raw("msix", bytes(17), "msix state"))
    entry = table.members["table"].elements[0].members["data"]  # type: ignore[union-attr]
    assert isinstance(entry, Leaf)
    assert encode_value(parse_value(entry, "0x01020304", "data")) == b"\4\3\2\1"


@pytest.mark.parametrize(
    "field",
    [
        number("x", "int32", -5),
        number("x", "bool", 9),
        numbers("x", "uint16", [1, 65535]),
        raw("x", b"any\xff"),
        raw("x", b"0", "nullptr"),
        raw("x", b"\3abc", "capability"),
        raw("x", bytes(8), "fpscr"),
        raw("x", bytes(range(16)), "bitmap"),
    ],
)
def test_value_that_was_decoded_gives_its_bytes_again(field: Field) -> None:
    value = value_of("x", field)
    assert isinstance(value, Leaf | NumberArray)
    assert encode_value(value) == field.payload


@pytest.mark.parametrize(
    "value, expected",
    [
        (value_of("s", nested("s", structure("t", [number("a", "int8", 1)]))), "such as s::a"),
        (value_of("s", nested("s", structure("t", []))), "expected one of its fields)"),
        (value_of("s", raw("s", b"0", "nullptr")), "null pointer"),
        (ValueList(type_name="qtailq", offset=0, size=1, elements=()), "s has 0 elements"),
    ],
)
def test_what_is_no_single_value_is_refused(value: Value, expected: str) -> None:
    with pytest.raises(UsageError, match=re.escape(expected)):
        parse_value(value, "1", "s")
