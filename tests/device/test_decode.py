from __future__ import annotations

import time

import pytest

from builders.vmdesc import (
    Field,
    described_device,
    equal_structs,
    flat,
    inline,
    nested,
    null_array,
    nulls,
    number,
    numbers,
    old_style_device,
    pack,
    queue,
    raw,
    runs,
    structure,
    subsection_bytes,
    tree,
    unequal_structs,
)
from decoding import BEFORE, NAME, decode, decode_fields, parse_device
from vmstate_tools.core.errors import TruncatedError, UnsupportedError
from vmstate_tools.core.source import BytesSource
from vmstate_tools.device import decode as decode_module
from vmstate_tools.device.decode import MAX_PROBLEM_COUNT, UNDECODED, decode_device
from vmstate_tools.device.values import ValueList, ValueStruct

START = len(BEFORE)
POINT = structure("point", [number("x", "uint8", 1), number("y", "uint16", 2)])
OTHER_POINT = structure("point", [number("x", "uint8", 3), number("y", "uint16", 4)])


def by_name(*fields: Field) -> dict[str, object]:
    return {field.name: field.plain for field in fields}


@pytest.mark.parametrize(
    "field",
    [
        number("n", "int32", -5),
        numbers("n", "uint16", [1, 2, 3]),
        raw("b", b"\x00\x01"),
        raw("b", b""),
        nested("s", POINT),
        nested("s", structure("empty")),
        equal_structs("s", [POINT, OTHER_POINT]),
        equal_structs("s", [structure("empty"), structure("empty")]),
        unequal_structs("s", [POINT, OTHER_POINT]),
        unequal_structs("s", [POINT, structure("point"), OTHER_POINT], index_on_last=False),
        inline("v", POINT, "vstruct"),
        inline("t", POINT, "tmp"),
        nested("s", structure("outer", [nested("in", POINT)], [OTHER_POINT])),
        queue("q", []),
        queue("q", [POINT]),
        queue("q", [POINT, structure("point"), OTHER_POINT], "qlist"),
        tree("g", []),
        tree("g", [(7, POINT), (8, OTHER_POINT)]),
        tree("g", [(POINT, OTHER_POINT), (OTHER_POINT, POINT)]),
        nulls("p", 1),
        nulls("p", 3),
        runs(nulls("css", 3), nested("css", POINT), nulls("css", 1)),
        runs(nested("css", POINT), nulls("css", 2)),
        null_array("css", 256),
        raw("caps", b"\x02ab\x01c", "capability", plain=["ab", "c"], size=3, array_len=2),
        raw("caps", b"\x01c\x02ab", "capability", plain=["c", "ab"], size=2, array_len=2),
    ],
)
def test_a_field_and_what_follows_it_have_their_values(field: Field) -> None:
    after = number("after", "uint8", 0x55)
    decoded = decode_fields(field, after)
    assert decoded.problems == ()
    assert decoded.values.to_plain() == by_name(field, after)
    assert decoded.values.members[field.name].size == len(field.payload)
    assert decoded.values.members["after"].offset == START + len(field.payload)


def test_a_device_has_a_label_and_a_type() -> None:
    decoded = decode(POINT)
    assert decoded.label == "dev#0"
    assert (decoded.values.type_name, decoded.values.offset) == ("point", START)
    assert decoded.values.size == len(POINT.payload)


def test_an_old_style_device_is_its_bytes() -> None:
    device = parse_device(old_style_device("slirp", 4))
    decoded = decode_device(BytesSource(b"\x01\x02\x03\x04", NAME), device, 0, 4)
    assert decoded.values.to_plain() == {"data": "01020304"}


def test_subsections_are_members_by_the_name_of_their_vmsd() -> None:
    inner = structure("dev/a/b", [number("z", "uint8", 9)])
    sub = structure("dev/a", [number("y", "uint8", 8)], [inner], version=3)
    decoded = decode(structure("dev", [number("x", "uint8", 7)], [sub]))
    assert decoded.problems == ()
    assert decoded.values.to_plain() == {"x": 7, "dev/a": {"y": 8, "dev/a/b": {"z": 9}}}
    found = decoded.values.members["dev/a"]
    assert (found.offset, found.size) == (START + 1, len(subsection_bytes(sub)))


def test_a_field_may_begin_like_a_subsection() -> None:
    sub = structure("dev/a", [raw("b", b"\x05\x05dev/a")])
    content = structure("dev", [raw("b", b"\x05\x05dev/a")], [sub])
    assert decode(content).values.to_plain() == content.plain


def test_elements_of_lists_know_where_they_are() -> None:
    decoded = decode_fields(queue("q", [POINT, OTHER_POINT]))
    found = decoded.values.members["q"]
    assert isinstance(found, ValueList)
    assert [element.offset for element in found.elements] == [START + 1, START + 5]


def test_nodes_of_a_tree_know_where_they_are() -> None:
    found = decode_fields(tree("g", [(7, POINT)])).values.members["g"]
    assert isinstance(found, ValueList)
    (node,) = found.elements
    assert isinstance(node, ValueStruct)
    assert (node.offset, node.size) == (START + 4, 12)
    assert (node.members["key"].offset, node.members["value"].offset) == (START + 5, START + 13)


def test_bytes_that_are_not_described_are_shown_and_reported() -> None:
    decoded = decode(POINT, POINT.payload + b"\xaa\xbb")
    assert decoded.values.to_plain() == {"x": 1, "y": 2, UNDECODED: "aabb"}
    (problem,) = decoded.problems
    assert (problem.offset, problem.path) == (START + 3, "")
    assert problem.message == "2 bytes are not described"


def test_a_struct_that_is_longer_than_its_fields_does_not_hide_what_follows() -> None:
    field = nested("s", POINT)
    field.objects[0][-1] = ("size", 5)
    decoded = decode_fields(
        field, number("z", "uint8", 9), payload=POINT.payload + b"\xaa\xbb" + b"\x09"
    )
    assert decoded.values.to_plain() == {"s": {"x": 1, "y": 2, UNDECODED: "aabb"}, "z": 9}
    (problem,) = decoded.problems
    assert (problem.offset, problem.path) == (START + 3, "s")


def test_a_struct_that_is_shorter_than_its_fields_does_not_hide_what_follows() -> None:
    field = nested("s", POINT)
    field.objects[0][-1] = ("size", 2)
    decoded = decode_fields(field, number("z", "uint8", 9), payload=b"\x01\xaa\x09")
    assert decoded.values.to_plain() == {"s": {"x": 1, UNDECODED: "aa"}, "z": 9}
    (problem,) = decoded.problems
    assert (problem.offset, problem.path) == (START + 1, "s::y")
    assert problem.message == "2 bytes described, but 1 left"


def test_a_payload_that_ends_early_keeps_what_was_there() -> None:
    decoded = decode_fields(
        number("a", "uint8", 1), number("b", "uint32", 2), payload=b"\x01\x00\x00"
    )
    assert decoded.values.to_plain() == {"a": 1, UNDECODED: "0000"}
    assert decoded.problems[0].message == "4 bytes described, but 2 left"


def test_a_missing_subsection_is_reported_where_it_should_begin() -> None:
    content = structure("dev", [number("x", "uint8", 7)], [structure("dev/a", version=2)])
    decoded = decode(content, b"\x07\x05\x05dev/b\x00\x00\x00\x02")
    (problem,) = decoded.problems
    assert (problem.offset, problem.path) == (START + 1, "dev/a")
    assert problem.message == "no subsection begins here (expected 05056465762f6100000002)"
    assert decoded.values.to_plain()[UNDECODED] == b"\x05\x05dev/b\x00\x00\x00\x02".hex()


def test_what_was_decoded_of_a_cut_subsection_is_kept() -> None:
    sub = structure("dev/a", [number("y", "uint8", 8), number("z", "uint32", 9)])
    content = structure("dev", [], [sub])
    decoded = decode(content, content.payload[:-1])
    assert decoded.values.to_plain() == {"dev/a": {"y": 8}, UNDECODED: "000000"}
    (problem,) = decoded.problems
    assert problem.path == "dev/a::z"


@pytest.mark.parametrize(
    "payload, path, offset, message",
    [
        ("02 010002 00", "q", 0, "list mark 0x02 (expected 0x01)"),
        ("01 010002 01", "q", 4, "list mark 0x01 (expected 0x00)"),
        ("00 010002 00", "q", 0, "list mark 0x00 (expected 0x01)"),
    ],
)
def test_a_list_that_is_not_as_described_stays_bytes(
    payload: str, path: str, offset: int, message: str
) -> None:
    data = bytes.fromhex(payload)
    decoded = decode_fields(queue("q", [POINT]), number("z", "uint8", 9), payload=data + b"\x09")
    assert decoded.values.to_plain() == {"q": data.hex(), "z": 9}
    (problem,) = decoded.problems
    assert (problem.path, problem.offset, problem.message) == (path, START + offset, message)


def test_a_list_with_bytes_behind_its_end_stays_bytes() -> None:
    decoded = decode_fields(flat("q", "qtailq", b"\x01\x01\x00\x02\x00\xaa", None, POINT))
    assert decoded.values.to_plain() == {"q": "0101000200aa"}
    assert decoded.problems[0].message == "1 bytes behind the end of the list"


def test_a_list_that_is_too_short_stays_bytes() -> None:
    decoded = decode_fields(flat("q", "qtailq", b"\x01\x01\x00", None, POINT))
    assert decoded.values.to_plain() == {"q": "010100"}
    assert decoded.problems[0].path == "q[0]::y"


@pytest.mark.parametrize(
    "payload, message",
    [
        ("00000005 01", "5 nodes, but 1 structures described"),
        ("ffffffff 01", "4294967295 nodes, but 1 structures described"),
        ("0000", "4 bytes described, but 2 left"),
        ("00000001 01 00", "8 bytes described, but 1 left"),
    ],
)
def test_a_tree_that_is_not_as_described_stays_bytes(payload: str, message: str) -> None:
    data = bytes.fromhex(payload)
    decoded = decode_fields(flat("g", "gtree", data, None, POINT), number("z", "uint8", 9))
    assert decoded.values.to_plain() == {"g": data.hex(), "z": 9}
    assert [problem.message for problem in decoded.problems] == [message]


def test_a_list_inside_a_list_may_be_damaged_alone() -> None:
    bad = flat("q", "qtailq", b"\x07", None)
    decoded = decode_fields(queue("outer", [structure("e", [bad, number("x", "uint8", 1)])]))
    assert decoded.values.to_plain() == {"outer": [{"q": "07", "x": 1}]}
    assert [problem.path for problem in decoded.problems] == ["outer[0]::q"]


def test_a_pointer_that_is_not_null_ends_what_old_qemu_described() -> None:
    decoded = decode_fields(
        number("a", "uint8", 1),
        null_array("css", 4, payload=b"00" + b"\x01\x02\x03" + b"0"),
        number("b", "uint8", 2),
    )
    assert decoded.values.to_plain() == {"a": 1, UNDECODED: "30300102033002"}
    (problem,) = decoded.problems
    assert (problem.offset, problem.path) == (START + 3, "css[2]")
    assert problem.is_known_gap


def test_a_pointer_that_is_not_null_is_damage_where_qemu_described_each() -> None:
    decoded = decode_fields(nulls("css", 3), payload=b"0x0")
    assert decoded.values.to_plain() == {"css": [None, "78", None]}
    assert [problem.is_known_gap for problem in decoded.problems] == [False]


def test_a_struct_without_description_stays_bytes() -> None:
    decoded = decode_fields(raw("s", b"\x01\x02", "struct"), raw("t", b"\x03", "tmp"))
    assert decoded.values.to_plain() == {"s": "0102", "t": "03"}
    assert decoded.problems == ()


@pytest.mark.parametrize("type_name", ["uint8", "buffer", "virtio", "capability", "bitmap"])
@pytest.mark.parametrize("size", [1, 1 << 40])
def test_an_array_that_is_longer_than_the_payload_costs_nothing(type_name: str, size: int) -> None:
    field = raw("x", b"\x01\x02", type_name, size=size, array_len=10**9)
    started = time.perf_counter()
    decoded = decode_fields(field)
    assert time.perf_counter() - started < 1
    assert decoded.values.to_plain() == {UNDECODED: "0102"}
    assert len(decoded.problems) == 1


@pytest.mark.parametrize("type_name", ["uint8", "buffer"])
def test_a_long_array_of_nothing_is_empty(type_name: str) -> None:
    decoded = decode_fields(raw("x", b"", type_name, size=0, array_len=10**9))
    assert decoded.values.to_plain() == {"x": []}


def test_a_capability_that_is_longer_than_the_payload_is_reported() -> None:
    field = raw("caps", b"\x01a\xff", "capability", size=2, array_len=2)
    decoded = decode_fields(field)
    assert decoded.values.to_plain() == {UNDECODED: "0161ff"}
    assert decoded.problems[0].message == "256 bytes described, but 1 left"


def test_more_capabilities_than_bytes_are_reported() -> None:
    decoded = decode_fields(raw("caps", b"\x01a\x00", "capability", size=1, array_len=3))
    assert decoded.problems[0].message == "1 bytes described, but 0 left"


def test_values_without_end_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decode_module, "MAX_VALUE_COUNT", 1000)
    hollow = structure("hollow", [raw(f"x{i}", b"") for i in range(100)] + [raw("b", b"\x00")])
    with pytest.raises(UnsupportedError, match="more than 1000 values in one device") as caught:
        decode_fields(equal_structs("s", [hollow] * 100))
    assert caught.value.offset == START


def test_problems_without_end_are_cut() -> None:
    decoded = decode_fields(raw("x", bytes(1000), "uint32", size=1, array_len=1000))
    assert len(decoded.problems) == MAX_PROBLEM_COUNT


def test_no_field_hides_another_of_the_same_name() -> None:
    fields = [number(name, "uint8", i) for i, name in enumerate(["a", "b", "a", "b", "a"])]
    decoded = decode_fields(*fields)
    assert decoded.values.to_plain() == {"a": 0, "b": 1, "a#2": 2, "b#3": 3, "a#4": 4}


def test_a_subsection_does_not_hide_a_field_of_the_same_name() -> None:
    content = structure("dev", [number("x", "uint8", 1)], [structure("x")])
    assert decode(content).values.to_plain() == {"x": 1, "x#1": {}}


def test_a_payload_behind_the_end_of_the_source_is_truncated() -> None:
    device = parse_device(described_device(POINT))
    with pytest.raises(TruncatedError):
        decode_device(BytesSource(pack("uint16", 1), NAME), device, 0, 3)


def test_a_damaged_struct_in_an_array_leaves_its_neighbours_alone() -> None:
    broken = structure("e", [queue("q", [POINT])])
    field = equal_structs("s", [broken, broken, broken])
    payload = bytearray(field.payload)
    payload[len(broken.payload)] = 9
    decoded = decode_fields(field, payload=bytes(payload))
    plain = decoded.values.to_plain()["s"]
    assert isinstance(plain, list)
    assert plain[0] == plain[2] == broken.plain
    assert [problem.path for problem in decoded.problems] == ["s[1]::q"]
