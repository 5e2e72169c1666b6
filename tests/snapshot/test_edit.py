from __future__ import annotations

import io
import json
import re
from typing import TYPE_CHECKING

import pytest

from builders import stream as build
from builders.sources import bytes_source
from vmstate_tools.core.errors import FormatError, UnsupportedError, UsageError
from vmstate_tools.snapshot.edit import edited_pieces, parse_assignment, plan_edits
from vmstate_tools.snapshot.open import Snapshot, open_snapshot, read_snapshot
from vmstate_tools.stream.writer import write_pieces

if TYPE_CHECKING:
    from conftest import RealStream

STATE_BYTES = 32


def global_state(name: str = "running", *, buffer_bytes: int = STATE_BYTES) -> build.Device:
    payload = build.be32(len(name) + 1) + name.encode().ljust(buffer_bytes, b"\0")
    fields: list[dict[str, object]] = [
        {"name": "size", "type": "uint32", "size": 4},
        {"name": "runstate", "type": "buffer", "size": buffer_bytes},
    ]
    return build.Device(idstr="globalstate", section_id=3, payload=payload, fields=fields)


def described(machine: str, *devices: build.Device, size: int | None = None) -> dict[str, object]:
    """What QEMU 10.0 says."""
    fields = [
        {"name": "len", "type": "uint32", "size": 4},
        {"name": "name", "type": "buffer", "size": len(machine) if size is None else size},
    ]
    configuration = {"vmsd_name": "configuration", "version": 1, "fields": fields}
    return {"configuration": configuration} | build.vmdesc(devices)


def new_stream(machine: str, size: int | None = None) -> bytes:
    """A stream of 10.0, without its last bytes in another form."""
    timer = build.Device()
    front = build.header() + build.configuration(machine, subsections=build.page_bits())
    text = json.dumps(described(machine, timer, size=size)).encode()
    return front + build.ram_sections({}) + timer.section() + build.eof() + build.description(text)


def edited(data: bytes, *settings: str) -> bytes:
    snapshot = read_snapshot(bytes_source(data))
    edits = plan_edits(snapshot, [parse_assignment(setting) for setting in settings])
    out = io.BytesIO()
    write_pieces(snapshot.source, edited_pieces(snapshot, edits), out)
    return out.getvalue()


def values(snapshot: Snapshot) -> dict[str, object]:
    decoded = {device.label: snapshot.decode(device) for device in snapshot.devices}
    return {label: device and device.values.to_plain() for label, device in decoded.items()}


def test_field_is_changed_and_nothing_else() -> None:
    timer = build.Device()
    after = build.Device(payload=build.be64(1) + build.be64(2) + build.be64(2**64 - 5))
    expected = build.stream(devices=[after])
    assert edited(build.stream(devices=[timer]), "timer::cpu_clock_offset=-5") == expected


def test_fields_of_several_devices_are_changed_together() -> None:
    first = build.Device()
    second = build.Device(instance_id=1, section_id=5)
    before = build.stream(devices=[first, second])
    data = edited(before, "timer#1::unused=ffffffffffffffff", "timer#0::cpu_ticks_offset=0x20")
    found = values(read_snapshot(bytes_source(data)))
    assert found["timer#0"] == {
        "cpu_ticks_offset": 32,
        "unused": "0000000000000002",
        "cpu_clock_offset": 3,
    }
    assert found["timer#1"] == {
        "cpu_ticks_offset": 1,
        "unused": "f" * 16,
        "cpu_clock_offset": 3,
    }


def test_edit_tells_what_was_there_and_what_will_be() -> None:
    snapshot = read_snapshot(bytes_source(build.stream(devices=[build.Device(), global_state()])))
    settings = ["timer::cpu_ticks_offset=0x10", "globalstate=paused", "machine=q35"]
    edits = plan_edits(snapshot, map(parse_assignment, settings))
    assert [(edit.field, edit.before, edit.after) for edit in edits] == [
        ("timer::cpu_ticks_offset", 1, 16),
        ("globalstate::runstate", "running", "paused"),
        ("configuration::name", "pc-i440fx-7.2", "q35"),
    ]


def test_nothing_to_set_gives_the_same_stream() -> None:
    assert edited(build.stream(trailing=bytes(5))) == build.stream(trailing=bytes(5))


@pytest.mark.parametrize(
    "name", ["globalstate", "globalstate::runstate", "globalstate#0::runstate"]
)
@pytest.mark.parametrize("buffer_bytes", [32, 100])
def test_run_state_is_set_by_name_with_its_length(name: str, buffer_bytes: int) -> None:
    before = build.stream(devices=[global_state("running", buffer_bytes=buffer_bytes)])
    after = build.stream(devices=[global_state("paused", buffer_bytes=buffer_bytes)])
    assert edited(before, f"{name}=paused") == after


def test_unknown_run_state_lists_those_that_qemu_takes() -> None:
    with pytest.raises(UsageError, match=r"no run state 'asleep' .*finish-migrate, .*, watchdog"):
        edited(build.stream(devices=[global_state()]), "globalstate=asleep")


@pytest.mark.parametrize("machine", ["pc-i440fx-10.0", "pc", "virt-10.0", "x" * 120])
@pytest.mark.parametrize("name", ["machine", "configuration::name"])
def test_machine_may_have_a_name_of_another_length(name: str, machine: str) -> None:
    assert edited(new_stream("pc-i440fx-7.2"), f"{name}={machine}") == new_stream(machine)


def test_machine_can_be_set_where_the_description_does_not_repeat_it() -> None:
    data = build.stream(machine="pc-1")
    assert edited(data, "machine=pc-22.0") == build.stream(machine="pc-22.0")
    data = build.stream(machine="pc-1", described=False)
    assert edited(data, "machine=pc-22.0") == build.stream(machine="pc-22.0", described=False)


@pytest.mark.parametrize("machine", ["", "pc 1", "p\n", "x" * 256, "\xe9"])
def test_what_cannot_be_a_machine_is_refused(machine: str) -> None:
    with pytest.raises(UsageError, match="is not the name of a machine type"):
        edited(new_stream("pc"), f"machine={machine}")


def test_machine_of_a_stream_without_configuration_is_refused() -> None:
    with pytest.raises(UsageError, match="no configuration section"):
        edited(build.stream(machine=None), "machine=pc")


def test_machine_keeps_its_length_where_pages_have_fixed_places() -> None:
    front = build.configuration("pc-1", subsections=build.capabilities("mapped-ram"))
    data = build.header() + front + build.eof()
    assert edited(data, "machine=pc-2") == data.replace(b"pc-1", b"pc-2")
    with pytest.raises(UnsupportedError, match="names keep their length"):
        edited(data, "machine=pc-22")


def test_configuration_that_is_described_wrongly_is_refused() -> None:
    with pytest.raises(FormatError, match="described otherwise than it is"):
        edited(new_stream("pc", size=3), "machine=q35")


@pytest.mark.parametrize(
    "settings, expected",
    [
        (["timer::unused"], "timer::unused: nothing to set (expected FIELD=VALUE)"),
        (["timer=1"], "timer: not a field"),
        (["nobody::x=1"], "no device nobody (there are timer#0)"),
        (["timer::unusde=00"], "timer#0 has no field unusde (there are unused)"),
        (["timer::unused=00"], "timer::unused: 1 bytes do not fit (expected 8 bytes)"),
        (
            ["timer::cpu_ticks_offset=1", "timer#0::cpu_ticks_offset=2"],
            "timer::cpu_ticks_offset and timer#0::cpu_ticks_offset are set at the same place",
        ),
    ],
)
def test_mistake_is_told_in_one_line(settings: list[str], expected: str) -> None:
    with pytest.raises(UsageError, match=re.escape(expected)):
        edited(build.stream(), *settings)


def test_stream_without_description_cannot_be_edited() -> None:
    with pytest.raises(UnsupportedError, match=r"^guest.mig: the stream has no description"):
        edited(build.stream(described=False), "timer::unused=00")


def test_device_that_is_described_but_not_there_is_refused() -> None:
    timer = build.Device()
    data = build.header() + build.ram_sections({}) + build.eof()
    data += build.description(build.vmdesc([timer]))
    with pytest.raises(UsageError, match="no section timer#0, though it describes one"):
        edited(data, "timer::unused=00")


def test_real_streams_stay_whole(real_stream: RealStream) -> None:
    with open_snapshot(real_stream.path) as before:
        if before.vmdesc is None:
            return
        edits = plan_edits(before, [parse_assignment("timer::cpu_ticks_offset=0x123456")])
        out = io.BytesIO()
        write_pieces(before.source, edited_pieces(before, edits), out)
        after = read_snapshot(bytes_source(out.getvalue()))
        expected = values(before)
        timer = expected["timer#0"]
        assert isinstance(timer, dict)
        timer["cpu_ticks_offset"] = 0x123456
        assert values(after) == expected
        assert after.records == before.records
