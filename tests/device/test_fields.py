from __future__ import annotations

import pytest

from builders.vmdesc import number, numbers, raw
from decoding import BEFORE, decode_fields
from vmstate_tools.device.decode import UNDECODED
from vmstate_tools.device.values import Leaf, NumberArray, ValueList, ValueStruct


def plain(data: bytes, type_name: str) -> object:
    decoded = decode_fields(raw("x", data, type_name))
    assert decoded.problems == ()
    return decoded.values.to_plain()["x"]


@pytest.mark.parametrize(
    "type_name, data, value",
    [
        ("int8", "ff", -1),
        ("int16", "fffe", -2),
        ("int32", "80000000", -(1 << 31)),
        ("int64", "8000000000000000", -(1 << 63)),
        ("uint8", "ff", 0xFF),
        ("uint16", "0102", 0x0102),
        ("uint32", "ffffffff", 0xFFFFFFFF),
        ("uint64", "ffffffffffffffff", (1 << 64) - 1),
        ("int32 equal", "ffffffff", -1),
        ("uint8 equal", "ff", 0xFF),
        ("uint16 equal", "fffe", 0xFFFE),
        ("uint32 equal", "fffffffe", 0xFFFFFFFE),
        ("int64 equal", "ffffffffffffffff", (1 << 64) - 1),
        ("int32 le", "00000002", 2),
        ("timer", "ffffffffffffffff", -1),
        ("timer", "000000003b9aca00", 1_000_000_000),
        ("CPU_Double_U", "3ff0000000000000", 0x3FF0000000000000),
        ("float64", "7ff8000000000000", 0x7FF8000000000000),
        ("bitmap", "00000000000000010000000000000002", [1, 2]),
        ("nullptr", "30", None),
        ("capability", "0a6d61707065642d72616d", "mapped-ram"),
        ("buffer", "00ff", "00ff"),
        ("unused_buffer", "0000", "0000"),
        ("unknown", "01", "01"),
        ("fd", "20", "20"),
        ("pci config", "8680" * 128, "8680" * 128),
        ("pci irq state", "00000000000000010000000000000000", [0, 1, 0, 0]),
        ("virtio", "00000002", "00000002"),
        ("int32_as_uint16", "ffff", 0xFFFF),
        ("cpsr", "600001d3", 0x600001D3),
        ("powered_off", "01", 1),
        ("fsr", "0000000000000001", 1),
        ("xcc", "0001", 1),
        ("fpr", "00000000000000010000000000000002", [1, 2]),
        ("slbe", "00000000000000010000000000000002", [1, 2]),
        ("tlb entry", "0000000000000001" * 4, [1] * 4),
        ("a type from the future", "0102", "0102"),
    ],
)
def test_bytes_of_a_type_have_a_value(type_name: str, data: str, value: object) -> None:
    assert plain(bytes.fromhex(data), type_name) == value


@pytest.mark.parametrize("byte, value", [(0, False), (1, True)])
def test_a_bool_stays_one(byte: int, *, value: bool) -> None:
    assert plain(bytes([byte]), "bool") is value


def test_a_bool_that_is_neither_is_shown_as_it_is() -> None:
    shown = plain(b"\x07", "bool")
    assert shown == 7
    assert not isinstance(shown, bool)


def test_bools_in_an_array_stay_bools() -> None:
    array = decode_fields(numbers("x", "bool", [0, 1, 2])).values.to_plain()["x"]
    assert isinstance(array, list)
    assert [type(item) for item in array] == [bool, bool, int]


@pytest.mark.parametrize(
    "type_name, size",
    [
        ("bool", 2),
        ("uint32", 1),
        ("uint32", 0),
        ("timer", 4),
        ("bitmap", 9),
        ("bitmap", 0),
        ("pci irq state", 6),
        ("cpsr", 3),
        ("cpsr", 0),
        ("nullptr", 1),
        ("nullptr", 2),
        ("capability", 5),
        ("capability", 0),
        ("msix state", 16),
        ("msix state", 0),
    ],
)
def test_bytes_that_do_not_fit_their_type_stay_bytes_and_are_reported(
    type_name: str, size: int
) -> None:
    decoded = decode_fields(number("before", "uint8", 1), raw("x", bytes(size), type_name))
    assert decoded.values.to_plain() == {"before": 1, "x": "00" * size}
    (problem,) = decoded.problems
    assert problem.path == "x"
    assert problem.offset == len(BEFORE) + 1
    assert problem.message == f"{size} bytes ({'00' * min(size, 8)}) are not of type {type_name}"
    assert not problem.is_known_gap


def test_an_array_of_misfits_is_a_list_of_bytes() -> None:
    field = raw("x", b"\x01\x02\x03\x04", "uint32", size=1, array_len=4)
    decoded = decode_fields(field)
    assert decoded.values.to_plain() == {"x": ["01", "02", "03", "04"]}
    assert [problem.path for problem in decoded.problems] == ["x[0]", "x[1]", "x[2]", "x[3]"]


def test_numbers_know_where_they_are() -> None:
    array = decode_fields(number("a", "uint8", 9), numbers("x", "uint32", [5, 6])).values.members[
        "x"
    ]
    assert isinstance(array, NumberArray)
    assert (array.offset, array.size) == (len(BEFORE) + 1, 8)
    assert array.element(1) == Leaf(type_name="uint32", offset=len(BEFORE) + 5, size=4, content=6)


def test_elements_of_words_know_where_they_are() -> None:
    words = decode_fields(raw("x", bytes(15) + b"\x07", "bitmap")).values.members["x"]
    assert isinstance(words, NumberArray)
    assert words.element(1) == Leaf(type_name="bitmap", offset=len(BEFORE) + 8, size=8, content=7)


def test_msix_state_is_a_table_and_pending_bits() -> None:
    entry = bytes.fromhex("0010e0fe0000000021400000") + b"\x01\x00\x00\x00"
    data = entry + bytes(16) * 8 + b"\x80\x01"
    msix = decode_fields(raw("msix", data, "msix state")).values.members["msix"]
    assert isinstance(msix, ValueStruct)
    table = msix.members["table"]
    assert isinstance(table, ValueList)
    assert len(table.elements) == 9
    assert table.elements[0].to_plain() == {
        "address": 0xFEE01000,
        "data": 0x4021,
        "control": 1,
    }
    second = table.elements[1]
    assert isinstance(second, ValueStruct)
    assert (second.members["data"].offset, second.members["data"].size) == (len(BEFORE) + 24, 4)
    pending = msix.members["pending"]
    assert pending.to_plain() == "8001"
    assert (pending.offset, pending.size) == (len(BEFORE) + 9 * 16, 2)


@pytest.mark.parametrize("entry_count", [1, 7, 8, 9, 64, 65, 128, 129, 2048])
def test_msix_entry_count_follows_from_the_size(entry_count: int) -> None:
    data = bytes(16 * entry_count + (entry_count + 7) // 8)
    decoded = decode_fields(raw("msix", data, "msix state"))
    msix = decoded.values.members["msix"]
    assert isinstance(msix, ValueStruct)
    table = msix.members["table"]
    assert isinstance(table, ValueList)
    assert len(table.elements) == entry_count
    assert UNDECODED not in decoded.values.members
