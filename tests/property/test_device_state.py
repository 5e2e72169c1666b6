"""Device state that another program wrote is decoded to what was written, or else refused."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from builders.vmdesc import (
    CODES,
    Field,
    JsonObject,
    Structure,
    described_device,
    equal_structs,
    inline,
    nested,
    null_array,
    nulls,
    number,
    numbers,
    queue,
    raw,
    runs,
    structure,
    tree,
    unequal_structs,
    vmdesc,
)
from decoding import BEFORE, NAME, decode, parse_device
from vmstate_tools.core.errors import FormatError, VmstateError
from vmstate_tools.core.source import BytesSource
from vmstate_tools.device.address import find_field, parse_field_path
from vmstate_tools.device.decode import decode_device
from vmstate_tools.device.reader import DeviceReader
from vmstate_tools.device.values import Leaf, NumberArray, Value, ValueList, ValueStruct
from vmstate_tools.device.vmdesc import parse_vmdesc
from vmstate_tools.stream.records import SectionKind, SectionStart

# Drawing a structure costs more than the test; the first one below sees them all.
FEWER = settings(max_examples=60)

FIELD_NAMES = st.sampled_from(["x", "env.regs", "env.cr[4]", "config[0]", "a.b->c", "n", "unused"])
VMSD_NAMES = st.sampled_from(["PCIDevice", "cpu/msr", "fpreg_tmp", "pit channel", "s"])


@st.composite
def number_types(draw: st.DrawFn) -> tuple[str, st.SearchStrategy[int]]:
    type_name = draw(st.sampled_from(sorted(CODES)))
    bits = {"b": 8, "h": 16, "i": 32, "q": 64}[CODES[type_name].lower()]
    if type_name == "bool":
        return type_name, st.integers(0, 1)
    if CODES[type_name].islower():
        return type_name, st.integers(-(1 << bits - 1), (1 << bits - 1) - 1)
    return type_name, st.integers(0, (1 << bits) - 1)


@st.composite
def plain_fields(draw: st.DrawFn, name: str) -> Field:
    kind = draw(st.sampled_from(["number", "numbers", "raw", "nulls", "null array"]))
    if kind == "raw":
        return raw(name, draw(st.binary(max_size=20)), draw(st.sampled_from(["buffer", "new"])))
    if kind == "nulls":
        return nulls(name, draw(st.integers(1, 4)))
    if kind == "null array":
        return null_array(name, draw(st.integers(2, 5)))
    type_name, values = draw(number_types())
    if kind == "number":
        value = draw(values)
        return number(name, type_name, value)
    return numbers(name, type_name, draw(st.lists(values, min_size=2, max_size=5)))


@st.composite
def nested_fields(draw: st.DrawFn, name: str, depth: int) -> Field:
    kind = draw(st.sampled_from(["struct", "flat", "equal", "runs", "several"]))
    first = draw(structures(depth - 1))
    if kind == "struct":
        return nested(name, first)
    if kind == "flat":
        return inline(name, first, draw(st.sampled_from(["vstruct", "tmp"])))
    if kind == "equal":
        return equal_structs(name, [first] * draw(st.integers(2, 4)))
    if kind == "runs":
        return runs(nulls(name, draw(st.integers(2, 3))), nested(name, first), nulls(name, 1))
    return draw(fields_of_several(name, first, depth))


@st.composite
def fields_of_several(draw: st.DrawFn, name: str, first: Structure, depth: int) -> Field:
    kind = draw(st.sampled_from(["unequal", "queue", "tree"]))
    others = draw(st.lists(structures(depth - 1), min_size=1, max_size=2))
    if kind == "unequal":
        return unequal_structs(name, [first, *others], index_on_last=draw(st.booleans()))
    if kind == "queue":
        elements = others[draw(st.integers(0, 1)) :]
        return queue(name, elements, draw(st.sampled_from(["qtailq", "qlist"])))
    keys = [first] * len(others) if draw(st.booleans()) else list(range(len(others)))
    return tree(name, list(zip(keys, others, strict=True)))


@st.composite
def structures(draw: st.DrawFn, depth: int = 2) -> Structure:
    names = draw(st.lists(FIELD_NAMES, max_size=3, unique=True))
    fields = []
    for name in names:
        is_nested = depth > 0 and draw(st.booleans())
        fields.append(draw(nested_fields(name, depth) if is_nested else plain_fields(name)))
    subsections: list[Structure] = []
    if depth > 0 and draw(st.integers(0, 3)) == 0:
        subsections = draw(st.lists(structures(depth - 1), max_size=2, unique_by=_name))
    return structure(draw(VMSD_NAMES), fields, subsections, version=draw(st.integers(0, 99)))


def _name(content: Structure) -> str:
    return content.name


def leaves(value: Value) -> list[Leaf]:
    if isinstance(value, Leaf):
        return [value]
    if isinstance(value, NumberArray):
        return [value.element(index) for index in range(len(value.numbers))]
    inner = value.elements if isinstance(value, ValueList) else value.members.values()
    return [leaf for element in inner for leaf in leaves(element)]


def section() -> SectionStart:
    return SectionStart(
        kind=SectionKind.FULL,
        offset=0,
        section_id=1,
        idstr="dev",
        instance_id=0,
        version_id=1,
        payload_offset=len(BEFORE),
    )


@given(structures())
def test_what_was_written_is_decoded(content: Structure) -> None:
    decoded = decode(content)
    assert decoded.problems == ()
    assert decoded.values.to_plain() == content.plain
    assert decoded.values.size == len(content.payload)


@FEWER
@given(structures())
def test_the_reader_finds_the_end_that_was_written(content: Structure) -> None:
    source = BytesSource(BEFORE + content.payload + b"behind", NAME)
    description = parse_vmdesc(vmdesc([described_device(content, name="dev")]), NAME, 0)
    end = DeviceReader(description).read_payload(source, section())
    assert end == len(BEFORE) + len(content.payload)


@FEWER
@given(structures())
def test_values_stand_one_behind_the_other(content: Structure) -> None:
    position = len(BEFORE)
    for leaf in leaves(decode(content).values):
        assert leaf.offset >= position
        position = leaf.offset + leaf.size
    assert position <= len(BEFORE) + len(content.payload)


@given(structures(), st.data())
def test_no_change_of_a_payload_goes_unseen(content: Structure, data: st.DataObject) -> None:
    payload = bytearray(content.payload)
    assume(payload)
    if data.draw(st.booleans()):
        payload[data.draw(st.integers(0, len(payload) - 1))] ^= data.draw(st.integers(1, 255))
    else:
        payload = payload[: data.draw(st.integers(0, len(payload) - 1))]
        payload += data.draw(st.binary(max_size=4))
    decoded = decode(content, bytes(payload))
    assert decoded.values.size == len(payload)
    if decoded.values.to_plain() == content.plain:
        # Marks of lists and headers of subsections are no values, but they are checked.
        assert bytes(payload) == content.payload


@given(structures(), st.data())
def test_a_mutated_description_is_decoded_or_refused(
    content: Structure, data: st.DataObject
) -> None:
    text = bytearray(vmdesc([described_device(content, name="dev")]))
    for _ in range(data.draw(st.integers(1, 4))):
        position = data.draw(st.integers(0, len(text) - 1))
        length = data.draw(st.integers(0, 3))
        text[position : position + length] = data.draw(
            st.sampled_from([b"", b"0", b"9", b'"', b"{", b"}", b"[]", b",", b"\xff", b"-", b"e5"])
        )
    source = BytesSource(BEFORE + content.payload, NAME)
    with suppress(VmstateError):
        description = parse_vmdesc(bytes(text), NAME, 0)
        for device in description.devices:
            decoded = decode_device(source, device, len(BEFORE), len(BEFORE + content.payload))
            decoded.values.to_plain()
        DeviceReader(description).read_payload(source, section())


@given(st.one_of(st.binary(max_size=200), st.text(max_size=200).map(str.encode)))
def test_arbitrary_text_is_no_description(text: bytes) -> None:
    with pytest.raises(FormatError):
        parse_vmdesc(text, NAME, 0)


KEYS = st.sampled_from(
    "name type size array_len index struct fields subsections vmsd_name version".split()  # noqa: SIM905
)
JSON_VALUES = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-5, 40),
        st.integers(),
        st.floats(),
        st.sampled_from(
            ["x", "struct", "qtailq", "gtree", "uint8", "uint32", "nullptr", "capability", "bool"]
        ),
        st.text(max_size=5),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.lists(
            st.tuples(
                KEYS,
                inner,
            ),
            max_size=7,
        ).map(JsonObject),
    ),
    max_leaves=30,
)
NUMBERS = st.integers(0, 40)
SHAPED_FIELDS = st.builds(
    lambda name, type_name, size, more: JsonObject(
        [("name", name), ("type", type_name), ("size", size), *more]
    ),
    FIELD_NAMES,
    st.sampled_from(["uint8", "uint32", "struct", "tmp", "qtailq", "gtree", "nullptr", "bitmap"]),
    NUMBERS,
    st.lists(
        st.one_of(
            st.tuples(st.sampled_from(["array_len", "index", "version"]), NUMBERS),
            st.tuples(st.just("vmsd_name"), VMSD_NAMES),
            st.tuples(st.sampled_from(["struct", "fields", "subsections"]), JSON_VALUES),
        ),
        max_size=4,
    ),
)


@given(st.lists(st.one_of(SHAPED_FIELDS, JSON_VALUES), max_size=5), st.binary(max_size=60))
def test_an_odd_description_is_decoded_or_refused(fields: list[object], payload: bytes) -> None:
    head = [("name", "dev"), ("instance_id", 0), ("vmsd_name", "dev"), ("version", 1)]
    with suppress(VmstateError):
        device = parse_device(JsonObject([*head, ("fields", fields)]))
        decoded = decode_device(BytesSource(payload, NAME), device, 0, len(payload))
        assert decoded.values.size == len(payload)


@FEWER
@given(structures())
def test_every_field_is_found_by_its_path(content: Structure) -> None:
    decoded = decode(content)
    for name, value in decoded.values.members.items():
        assert find_field(decoded, parse_field_path(f"dev::{name}")) is value
        if isinstance(value, ValueStruct):
            for inner_name, inner in value.members.items():
                path = parse_field_path(f"dev::{name}::{inner_name}")
                assert find_field(decoded, path) is inner
        elif isinstance(value, ValueList):
            for index, element in enumerate(value.elements):
                path = parse_field_path(f"dev::{name}[{index}]")
                assert find_field(decoded, path) is element
