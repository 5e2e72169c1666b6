import pytest

from vmstate_tools.device.values import Leaf, NumberArray, Value, ValueList, ValueStruct
from vmstate_tools.reports.fields import plain_text, tree_lines, value_text


def leaf(content: int | str | bytes | None) -> Leaf:
    return Leaf(type_name="any", offset=0, size=1, content=content)


def numbers(*values: int) -> NumberArray:
    return NumberArray(type_name="uint32", offset=0, size=4 * len(values), numbers=values)


def items(*values: Value) -> ValueList:
    return ValueList(type_name="struct", offset=0, size=0, elements=values)


def struct(**members: Value) -> ValueStruct:
    return ValueStruct(type_name="vmsd", offset=0, size=0, members=members)


def tree(**members: Value) -> list[str]:
    return list(tree_lines(struct(**members)))


@pytest.mark.parametrize(
    "content, text",
    [
        (0, "0"),
        (1234, "1234"),
        (-1, "-1"),
        (True, "true"),
        (False, "false"),
        (None, "null"),
        (b"\x00\xff", "00ff"),
        (b"", ""),
        ("name", "name"),
        ("\x1b[2J", r"\x1b[2J"),
    ],
)
def test_a_value_is_what_a_script_would_take(content: int | str | bytes | None, text: str) -> None:
    assert plain_text(content) == value_text(leaf(content)) == text


def test_a_number_is_shown_both_ways_when_they_differ() -> None:
    assert tree(a=leaf(9), b=leaf(10), c=leaf(-16)) == ["a = 9", "b = 10 (0xa)", "c = -16 (-0x10)"]


def test_a_short_array_is_one_line_and_repetitions_are_counted() -> None:
    assert tree(a=numbers(1, 1, 1, 255), b=numbers(0, 0, 0, 0, 7)) == [
        "a = 1 1 1 0xff",
        "b = 0*4 7",
    ]


def test_a_long_array_is_wrapped_below_its_name() -> None:
    name, *lines = tree(a=numbers(*range(100, 140)))
    assert name == "a: 40 numbers"
    assert len(lines) > 1
    assert all(line.startswith("  0x") and len(line) <= 80 for line in lines)


def test_structs_are_indented() -> None:
    assert tree(outer=struct(inner=struct(x=leaf(1))), last=leaf(2)) == [
        "outer:",
        "  inner:",
        "    x = 1",
        "last = 2",
    ]


def test_an_empty_struct_says_so() -> None:
    assert tree(a=struct(), b=items()) == ["a: empty", "b: 0 elements"]


def test_equal_elements_are_shown_once() -> None:
    same, other = struct(x=leaf(1)), struct(x=leaf(2))
    assert tree(a=items(same, same, same, other)) == [
        "a: 4 elements",
        "  [0] to [2]:",
        "    x = 1",
        "  [3]:",
        "    x = 2",
    ]


def test_elements_that_are_numbers_are_shown_beside_their_index() -> None:
    assert tree(a=items(leaf(1), leaf(None))) == ["a: 2 elements", "  [0] = 1", "  [1] = null"]


def test_a_short_buffer_is_one_line() -> None:
    assert tree(a=leaf(b"\x01\x02"), b=leaf(bytes(100)), c=leaf(bytes(1))) == [
        "a = 01 02",
        "b = 100 zero bytes",
        "c = 1 zero byte",
    ]


def test_a_long_buffer_is_a_dump_without_its_zeros() -> None:
    data = bytes([1]) + bytes(47) + bytes([2])
    assert tree(a=leaf(data)) == [
        "a:",
        "  0000  01 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00",
        "  0030  02",
    ]


def test_a_very_long_buffer_is_cut() -> None:
    assert tree(a=leaf(b"\x01" * 5000))[-1] == "  and 904 bytes more (--json has them)"


def test_a_value_that_is_a_struct_is_a_tree() -> None:
    assert value_text(struct(x=leaf(1), y=struct(z=leaf(2)))) == "x = 1\ny:\n  z = 2"
    assert value_text(numbers(1, 2, 300)) == "1 2 0x12c"


def test_a_name_cannot_reach_the_terminal_raw() -> None:
    assert list(tree_lines(struct(**{"a\x1b[2J": leaf(1)}))) == [r"a\x1b[2J = 1"]
