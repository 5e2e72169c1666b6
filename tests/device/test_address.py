from __future__ import annotations

import pytest

from builders.vmdesc import (
    described_device,
    nested,
    number,
    numbers,
    queue,
    raw,
    structure,
    unequal_structs,
    vmdesc,
)
from decoding import BEFORE, decode
from vmstate_tools.core.errors import UsageError
from vmstate_tools.device.address import (
    FieldPath,
    find_field,
    parse_field_path,
    select_device,
    select_devices,
)
from vmstate_tools.device.vmdesc import Vmdesc, parse_vmdesc

SEGMENTS = [structure("segment", [number("base", "uint32", i * 16)]) for i in range(6)]
MSR = structure("dev/poll_control_msr", [number("env.poll_control_msr", "uint64", 1)])
DEVICE = decode(
    structure(
        "dev",
        [
            number("env.eip", "uint64", 0xFFF0),
            numbers("env.regs", "uint64", [10, 11, 12]),
            unequal_structs("env.segs", SEGMENTS),
            number("config[0]", "uint8", 77),
            queue("requests", [structure("req", [numbers("tags", "uint8", [5, 6])])]),
            raw("bits", bytes(15) + b"\x01", "bitmap"),
            nested("parent", structure("p", [raw("config", b"\x86\x80", "pci config")])),
        ],
        [MSR],
    )
)


def devices() -> Vmdesc:
    described = [described_device(structure("cpu"), instance_id=i) for i in range(7)]
    described.append(described_device(structure("vga"), name="0000:00:02.0/vga"))
    return parse_vmdesc(vmdesc(described), "guest.mig", 0)


@pytest.mark.parametrize(
    "text, device, names",
    [
        ("cpu#0::env.eip", "cpu#0", ("env.eip",)),
        ("cpu#0::env.segs[2]::base", "cpu#0", ("env.segs[2]", "base")),
        ("0000:00:02.0/vga::dev::config[0]", "0000:00:02.0/vga", ("dev", "config[0]")),
    ],
)
def test_a_path_is_a_device_and_names(text: str, device: str, names: tuple[str, ...]) -> None:
    assert parse_field_path(text) == FieldPath(device=device, names=names)


@pytest.mark.parametrize("text", ["", "cpu", "cpu:eip", "::x", "cpu::", "cpu::a::::b"])
def test_text_that_is_no_path_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match=r"not a field \(expected DEVICE::NAME"):
        parse_field_path(text)


@pytest.mark.parametrize(
    "path, value",
    [
        ("env.eip", 0xFFF0),
        ("env.regs", [10, 11, 12]),
        ("env.regs[1]", 11),
        ("env.segs[2]", {"base": 32}),
        ("env.segs[2]::base", 32),
        ("config[0]", 77),
        ("requests[0]::tags[1]", 6),
        ("bits[1]", 1),
        ("parent::config", "8680"),
        ("dev/poll_control_msr::env.poll_control_msr", 1),
    ],
)
def test_a_field_is_found_by_its_path(path: str, value: object) -> None:
    assert find_field(DEVICE, parse_field_path(f"dev#0::{path}")).to_plain() == value


def test_a_field_that_is_found_knows_where_it_is() -> None:
    found = find_field(DEVICE, parse_field_path("dev::env.regs[2]"))
    assert (found.type_name, found.offset, found.size) == ("uint64", len(BEFORE) + 24, 8)


@pytest.mark.parametrize(
    "path, message",
    [
        ("env.eipp", "dev#0 has no field env.eipp (there are env.eip, "),
        ("eip::x", "dev#0 has no field eip (there are env.eip"),
        ("zzzzzzzz", "dev#0 has no field zzzzzzzz (there are env.eip, env.regs, env.segs, "),
        ("env.segs[1]::bas", "dev#0::env.segs[1] has no field bas (there are base)"),
        ("env.regs[3]", "dev#0::env.regs has 3 elements, so it has no element 3"),
        ("env.segs[6]", "dev#0::env.segs has 6 elements, so it has no element 6"),
        ("env.eip[0]", "dev#0::env.eip is no array, so it has no element 0"),
        ("env.regs[0][0]", "dev#0::env.regs[0] is no array, so it has no element 0"),
        ("env.segs::base", "dev#0::env.segs is no structure, so it has no base"),
        ("env.regs[x]", "dev#0 has no field env.regs[x] (there are env.regs"),
    ],
)
def test_a_field_that_is_not_there_is_explained_in_one_line(path: str, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        find_field(DEVICE, parse_field_path(f"dev#0::{path}"))
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)


def test_a_device_without_fields_suggests_none() -> None:
    with pytest.raises(UsageError, match=r"^dev#0 has no field x$"):
        find_field(decode(structure("dev")), parse_field_path("dev::x"))


def test_an_idstr_selects_all_its_instances() -> None:
    assert [device.label for device in select_devices(devices(), "cpu")] == [
        f"cpu#{i}" for i in range(7)
    ]


@pytest.mark.parametrize(
    "name, label",
    [
        ("cpu#3", "cpu#3"),
        ("0000:00:02.0/vga", "0000:00:02.0/vga#0"),
        ("0000:00:02.0/vga#0", "0000:00:02.0/vga#0"),
    ],
)
def test_one_device_is_selected_by_its_name(name: str, label: str) -> None:
    assert select_device(devices(), name).label == label


def test_a_name_of_several_devices_is_not_one_device() -> None:
    message = r"^cpu is 7 devices: cpu#0, cpu#1, cpu#2, cpu#3, cpu#4, 2 more$"
    with pytest.raises(UsageError, match=message):
        select_device(devices(), "cpu")


@pytest.mark.parametrize("name", ["cpu#7", "cpu#", "cpus", "CPU", ""])
def test_a_device_that_is_not_there_is_explained(name: str) -> None:
    with pytest.raises(UsageError, match=rf"^no device {name} \(there are .*cpu#"):
        select_device(devices(), name)


def test_a_stream_without_devices_suggests_none() -> None:
    with pytest.raises(UsageError, match=r"^no device cpu$"):
        select_device(parse_vmdesc(vmdesc([]), "guest.mig", 0), "cpu")
