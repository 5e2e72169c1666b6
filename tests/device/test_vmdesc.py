from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from builders.vmdesc import (
    JsonObject,
    described_device,
    equal_structs,
    flat,
    json_text,
    nested,
    null_array,
    number,
    numbers,
    old_style_device,
    queue,
    raw,
    structure,
    subsection_bytes,
    unequal_structs,
    vmdesc,
)
from decoding import parse_device
from vmstate_tools.core.errors import FormatError
from vmstate_tools.device.tree import MAX_NESTING
from vmstate_tools.device.vmdesc import parse_vmdesc

if TYPE_CHECKING:
    from vmstate_tools.device.tree import Field, Vmsd

OFFSET = 5000
VERSION = JsonObject([("version", 1)])


def only_field(vmsd: Vmsd) -> Field:
    (field,) = vmsd.fields
    return field


def device_with(field: JsonObject) -> JsonObject:
    head = [("name", "dev"), ("instance_id", 0), ("vmsd_name", "dev"), ("version", 1)]
    return JsonObject([*head, ("fields", [field])])


def test_page_size_and_devices_are_as_described() -> None:
    devices = [
        described_device(structure("cpu", version=12), instance_id=1),
        described_device(structure("vga"), name="0000:00:02.0/vga", instance_id=-1),
    ]
    description = parse_vmdesc(vmdesc(devices, page_size=16384), "guest.mig", OFFSET)
    assert description.page_size == 16384
    assert [device.label for device in description.devices] == [
        "cpu#1",
        "0000:00:02.0/vga#4294967295",
    ]
    assert [device.version for device in description.devices] == [12, 1]
    assert description.configuration is None


def test_a_memoryview_is_as_good_as_bytes() -> None:
    text = vmdesc([described_device(structure("cpu"))])
    assert parse_vmdesc(memoryview(text), "guest.mig", OFFSET).devices[0].name == "cpu"


def test_devices_are_found_by_name_and_instance() -> None:
    devices = [described_device(structure("cpu"), instance_id=i) for i in range(3)]
    description = parse_vmdesc(vmdesc(devices), "guest.mig", OFFSET)
    assert description.find_device("cpu", 2) is description.devices[2]
    assert description.find_device("cpu", 3) is None
    assert description.find_device("apic", 0) is None


def test_configuration_is_a_tree() -> None:
    keys = structure("configuration", [number("len", "uint32", 7), raw("name", b"pc-10.0")]).keys
    configuration = parse_vmdesc(vmdesc([], configuration=keys), "guest.mig", 0).configuration
    assert configuration is not None
    assert [field.name for field in configuration.fields] == ["len", "name"]


def test_an_old_style_device_is_one_buffer() -> None:
    device = parse_device(old_style_device("slirp", 38))
    assert device.version is None
    field = only_field(device.vmsd)
    assert (field.name, field.runs[0].type_name, field.runs[0].size) == ("data", "buffer", 38)
    assert device.extent.fields_size == 38


def test_the_tree_is_built_once() -> None:
    device = parse_device(described_device(structure("cpu", [number("halted", "uint32", 1)])))
    assert device.vmsd is device.vmsd


def test_a_compressed_array_is_one_run() -> None:
    device = parse_device(described_device(structure("d", [numbers("irr", "uint32", [1, 2, 3])])))
    field = only_field(device.vmsd)
    assert field.is_array
    assert [(run.count, run.element_size, run.size) for run in field.runs] == [(3, 4, 12)]


@pytest.mark.parametrize("index_on_last", [True, False])
def test_neighbours_of_one_name_are_one_array(*, index_on_last: bool) -> None:
    elements = [structure("port", [number("x", "uint8", i)]) for i in range(3)]
    array = unequal_structs("ports", elements, index_on_last=index_on_last)
    field = only_field(parse_device(described_device(structure("d", [array]))).vmsd)
    assert field.name == "ports"
    assert field.is_array
    assert [run.count for run in field.runs] == [1, 1, 1]


def test_an_array_of_one_indexed_element_is_an_array() -> None:
    array = unequal_structs("ports", [structure("port")])
    field = only_field(parse_device(described_device(structure("d", [array]))).vmsd)
    assert field.is_array


def test_names_in_brackets_are_fields_of_their_own() -> None:
    fields = [number("config[0]", "uint8", 1), number("config[1]", "uint8", 2)]
    vmsd = parse_device(described_device(structure("d", fields))).vmsd
    assert [(field.name, field.is_array) for field in vmsd.fields] == [
        ("config[0]", False),
        ("config[1]", False),
    ]


def test_a_struct_has_fields_and_subsections() -> None:
    inner = structure("in", [number("x", "uint8", 1)], [structure("in/more", version=3)])
    run = only_field(parse_device(described_device(structure("d", [nested("s", inner)]))).vmsd)
    (vmsd,) = run.runs[0].nested
    assert vmsd.name == "in"
    assert [field.name for field in vmsd.fields] == ["x"]
    assert [(sub.name, sub.version) for sub in vmsd.subsections] == [("in/more", 3)]


@pytest.mark.parametrize("count", [0, 1, 3])
def test_a_list_has_one_structure_for_each_element(count: int) -> None:
    elements = [structure("req", [number(f"x{i}", "uint8", i)]) for i in range(count)]
    device = parse_device(described_device(structure("d", [queue("requests", elements)])))
    run = only_field(device.vmsd).runs[0]
    assert [vmsd.fields[0].name for vmsd in run.nested] == [f"x{i}" for i in range(count)]


def test_an_empty_struct_of_one_byte_stands_for_a_null_pointer() -> None:
    device = parse_device(described_device(structure("d", [null_array("css", 256)])))
    run = only_field(device.vmsd).runs[0]
    assert run.is_null_only
    assert run.count == 256
    assert [(array.start, array.count) for array in device.extent.null_arrays] == [(0, 256)]


def test_an_extent_counts_fields_and_knows_subsections() -> None:
    inner = structure("in", [number("x", "uint64", 1)])
    sub = structure("d/sub", [number("y", "uint16", 1)], [structure("d/sub/sub")], version=2)
    content = structure(
        "d", [numbers("a", "uint32", [1, 2, 3]), equal_structs("s", [inner, inner])], [sub]
    )
    extent = parse_device(described_device(content)).extent
    assert extent.fields_size == 3 * 4 + 2 * 8
    (measured,) = extent.subsections
    assert (measured.name, measured.version, measured.body.fields_size) == ("d/sub", 2, 2)
    assert measured.body.subsections[0].name == "d/sub/sub"
    assert len(content.payload) == 12 + 16 + len(subsection_bytes(sub))


@pytest.mark.parametrize(
    "text, place",
    [
        (b"{", "vmdesc"),
        (b"{}", "vmdesc::page_size"),
        (b'{"page_size": 4096, "devices": {}}', "vmdesc::devices"),
        (b'{"page_size": 4096, "devices": [1]}', "vmdesc::devices"),
        (b'{"page_size": 4096, "devices": [{}]}', "vmdesc::devices[0]::name"),
        (
            b'{"page_size": 4096, "devices": [{"name": "a", "instance_id": "0"}]}',
            "vmdesc::devices[0]::instance_id",
        ),
        (b'{"page_size": -1, "devices": []}', "vmdesc::page_size"),
        (b'{"page_size": true, "devices": []}', "vmdesc::page_size"),
        (b'{"page_size": 4096, "configuration": []}', "vmdesc::configuration"),
    ],
)
def test_a_damaged_description_is_refused_at_its_offset(text: bytes, place: str) -> None:
    with pytest.raises(FormatError, match=r"^guest\.mig: byte 0x") as caught:
        parse_vmdesc(text, "guest.mig", OFFSET)
    assert caught.value.field == place
    assert caught.value.offset is not None
    assert OFFSET <= caught.value.offset <= OFFSET + len(text)


@pytest.mark.parametrize("size", [-1, 1.0, "4", None, True, 1 << 64])
def test_a_size_that_is_no_length_is_refused_before_anything_is_decoded(size: object) -> None:
    described = device_with(JsonObject([("name", "x"), ("type", "buffer"), ("size", size)]))
    with pytest.raises(FormatError) as caught:
        parse_device(described)
    assert caught.value.field == "vmdesc::devices[0]::fields[0]::size"


def test_a_damaged_subsection_is_named() -> None:
    sub = JsonObject([("vmsd_name", "d/sub"), ("version", "1"), ("fields", [])])
    described = described_device(structure("d"))
    described.append(("subsections", [sub]))
    with pytest.raises(FormatError) as caught:
        parse_device(described)
    assert caught.value.field == "vmdesc::devices[0]::d/sub::version"


@pytest.mark.parametrize(
    "keys, place",
    [
        ([("type", "buffer"), ("size", 1)], "name"),
        ([("name", "x"), ("size", 1)], "x::type"),
        ([("name", "x"), ("type", "struct"), ("struct", []), ("size", 1)], "x::struct"),
        (
            [("name", "x"), ("type", "tmp"), ("vmsd_name", 1), ("fields", []), ("size", 1)],
            "x::vmsd_name",
        ),
        ([("name", "x"), ("type", "struct"), ("size", 1), ("struct", VERSION)], "x::vmsd_name"),
        (
            [("name", "x"), ("type", "tmp"), ("vmsd_name", "t"), ("fields", []), ("size", 1)],
            "x::t::version",
        ),
    ],
)
def test_a_damaged_field_is_refused_when_the_tree_is_asked_for(
    keys: list[tuple[str, object]], place: str
) -> None:
    device = parse_device(device_with(JsonObject(keys)))
    with pytest.raises(FormatError, match=r"^guest\.mig: byte 0x3e8 \(vmdesc") as caught:
        _ = device.vmsd
    assert caught.value.field == f"vmdesc::dev#0::dev::{place}"


def test_a_damaged_old_style_device_is_refused_when_its_tree_is_asked_for() -> None:
    described = JsonObject([("name", "slirp"), ("instance_id", 0)])
    described.append(("fields", [JsonObject([("size", 1), ("type", "buffer")])]))
    with pytest.raises(FormatError) as caught:
        _ = parse_device(described).vmsd
    assert caught.value.field == "vmdesc::slirp#0::name"


def test_structs_may_be_nested_up_to_the_limit_and_no_deeper() -> None:
    content = structure("leaf", [number("x", "uint8", 7)])
    for _ in range(MAX_NESTING):
        content = structure("level", [nested("s", content)])
    assert parse_device(described_device(content)).vmsd.name == "level"
    with pytest.raises(FormatError, match=f"nested deeper than {MAX_NESTING}"):
        _ = parse_device(described_device(structure("top", [nested("s", content)]))).vmsd


def test_subsections_may_be_nested_up_to_the_limit_and_no_deeper() -> None:
    content = structure("leaf")
    for _ in range(MAX_NESTING):
        content = structure("level", [], [content])
    assert parse_device(described_device(content)).vmsd.name == "level"
    with pytest.raises(FormatError, match=f"nested deeper than {MAX_NESTING}"):
        parse_device(described_device(structure("top", [], [content])))


@pytest.mark.parametrize("opening", [b'{"devices":', b'{"page_size":1,"devices":[{"x":', b"[["])
def test_endless_nesting_is_damage_and_not_a_crash(opening: bytes) -> None:
    with pytest.raises(FormatError):
        parse_vmdesc(opening * 100_000, "guest.mig", OFFSET)


def test_a_list_of_many_elements_costs_no_more_than_its_text() -> None:
    elements = [structure("e") for _ in range(20_000)]
    described = described_device(structure("d", [queue("q", elements)]))
    assert len(json_text(described)) > 20_000
    assert len(only_field(parse_device(described).vmsd).runs[0].nested) == 20_000


def test_keys_of_flat_structures_do_not_leak_into_each_other() -> None:
    first = structure("a", [number("x", "uint8", 1)], [structure("a/sub")])
    second = structure("b", [number("y", "uint8", 1)])
    payload = b"\x01" + first.payload + b"\x01" + second.payload + b"\x00"
    field = flat("q", "qlist", payload, [], first, second)
    run = only_field(parse_device(described_device(structure("d", [field]))).vmsd).runs[0]
    assert [(vmsd.name, len(vmsd.subsections)) for vmsd in run.nested] == [("a", 1), ("b", 0)]
