import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from builders import stream as build
from builders.snapshot_directory import snapshot_directory
from vmstate_tools.cli.main import run

PAGES: dict[str, list[bytes | None]] = {
    "pc.ram": [build.page(1), b"", None, build.page(2)],
    "pc.bios": [build.page(3)],
}
TIMER = build.Device()
SERIAL = [
    build.Device(idstr="serial", section_id=7 + number, instance_id=number) for number in range(2)
]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "guest.mig"
    path.write_bytes(build.stream(PAGES, (TIMER, *SERIAL)))
    return path


def shown(capsys: pytest.CaptureFixture[str], *arguments: Path | str) -> str:
    assert run(["inspect", *map(str, arguments)]) == 0
    captured = capsys.readouterr()
    assert captured.err == ""
    return captured.out


def shown_json(capsys: pytest.CaptureFixture[str], *arguments: Path | str) -> Any:
    return json.loads(shown(capsys, "--json", *arguments))


def test_json_of_the_stream_is_as_promised(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    document = shown_json(capsys, file)
    del document["ram"], document["devices"]
    assert document == {
        "schema": "vmstate/inspect/1",
        "file": str(file),
        "container": "stream",
        "bytes": file.stat().st_size,
        "stream": {
            "version": 3,
            "machine": "pc-i440fx-7.2",
            "capabilities": [],
            "uuid": None,
            "kind": "background-snapshot",
            "vmdesc": True,
            "footers": True,
            "trailing_bytes": 0,
        },
        "device_bytes": 72,
        "handlers": [],
    }


def test_json_of_memory_is_as_promised(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert shown_json(capsys, file)["ram"] == {
        "page_size": 4096,
        "bytes_stored": 3 * 4096,
        "blocks": [
            {
                "name": "pc.ram",
                "size": 4 * 4096,
                "pages": {"total": 4, "stored": 2, "zero": 1, "absent": 1, "repeated": 0},
            },
            {
                "name": "pc.bios",
                "size": 4096,
                "pages": {"total": 1, "stored": 1, "zero": 0, "absent": 0, "repeated": 0},
            },
        ],
    }


def test_json_of_devices_is_as_promised(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first, *others = shown_json(capsys, file)["devices"]
    assert first == {
        "name": "timer",
        "instance_id": 0,
        "version_id": 2,
        "section_id": 0,
        "offset": file.read_bytes().index(TIMER.payload),
        "size": 24,
    }
    assert [(device["name"], device["instance_id"]) for device in others] == [
        ("serial", 0),
        ("serial", 1),
    ]


def test_json_of_a_directory_tells_its_container(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    directory = snapshot_directory(tmp_path / "monday", build.stream(PAGES))
    document = shown_json(capsys, directory)
    assert (document["container"], document["file"]) == ("directory", str(directory))


def test_json_tells_what_the_configuration_holds(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "x"
    subsections = build.uuid() + build.page_bits(13)
    pages: dict[str, list[bytes | None]] = {"ram": [build.page(1, page_size=8192)]}
    path.write_bytes(
        build.stream(pages, machine="clipper", subsections=subsections, page_size=8192)
    )
    document = shown_json(capsys, path)
    assert document["stream"]["uuid"] == "00010203-0405-0607-0809-0a0b0c0d0e0f"
    assert document["ram"]["page_size"] == 8192


def test_what_a_destination_needs_is_shown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "x"
    subsections = build.capabilities("x-ignore-shared") + build.uuid()
    path.write_bytes(build.header() + build.configuration(subsections=subsections) + build.eof())
    assert shown_json(capsys, path)["stream"]["capabilities"] == ["x-ignore-shared"]
    text = shown(capsys, path)
    assert re.search(r"needs +x-ignore-shared$", text, re.MULTILINE)
    assert re.search(r"uuid +00010203-0405", text)


def test_bytes_behind_the_stream_are_counted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "x"
    path.write_bytes(build.stream(trailing=bytes(512)))
    assert shown_json(capsys, path)["stream"]["trailing_bytes"] == 512
    assert re.search(r"trailing +512 bytes", shown(capsys, path))


def test_device_adds_its_fields(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    timer, *others = shown_json(capsys, "--device", "timer", file)["devices"]
    assert timer["fields"] == {
        "cpu_ticks_offset": 1,
        "unused": "0000000000000002",
        "cpu_clock_offset": 3,
    }
    assert all("fields" not in device for device in others)


def test_a_name_without_instance_means_all_of_them(
    file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    devices = shown_json(capsys, "--device", "serial", file)["devices"]
    assert ["fields" in device for device in devices] == [False, True, True]


def test_a_name_with_instance_means_that_one(
    file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    devices = shown_json(capsys, "--device", "serial#1", file)["devices"]
    assert ["fields" in device for device in devices] == [False, False, True]


def test_field_adds_its_value(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    document = shown_json(capsys, "--field", "timer#0::cpu_clock_offset", file)
    assert document["field"] == {"name": "timer#0::cpu_clock_offset", "value": 3}
    assert all("fields" not in device for device in document["devices"])


def test_sections_adds_every_record(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    records = shown_json(capsys, "--sections", file)["sections"]
    assert [record["type"] for record in records] == [
        "header",
        "configuration",
        "start",
        "part",
        "part",
        "full",
        "full",
        "full",
        "eof",
        "vmdesc",
    ]
    offset = 0
    for record in records:
        assert record["offset"] == offset
        offset += record["size"]
    assert offset == file.stat().st_size
    assert records[2]["name"] == "ram"
    assert (records[7]["name"], records[7]["instance_id"], records[7]["section_id"]) == (
        "serial",
        1,
        8,
    )


def test_commands_are_listed_with_their_code(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "x"
    switchover = build.command(build.SWITCHOVER_START)
    data = build.header() + build.configuration() + build.ram_sections(PAGES) + switchover
    data += build.section(build.END, build.ram_eos()) + build.eof() + b"xyz"
    path.write_bytes(data)
    records = shown_json(capsys, "--sections", path)["sections"]
    assert {"type": "command", "offset": data.index(switchover), "size": 5, "code": 11} in records
    assert records[-1] == {"type": "trailing", "offset": len(data) - 3, "size": 3}
    assert re.search(r" 5  command +11$", shown(capsys, "--sections", path), re.MULTILINE)


def test_ram_adds_where_the_pages_are(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = file.read_bytes()
    first, _ = shown_json(capsys, "--ram", file)["ram"]["blocks"]
    stored, zero, absent, last = first["runs"]
    assert stored["kind"] == last["kind"] == "stored"
    assert data[stored["offset"] :].startswith(build.page(1))
    assert data[last["offset"] :].startswith(build.page(2))
    assert zero == {"kind": "zero", "address": 4096, "size": 4096}
    assert absent == {"kind": "absent", "address": 8192, "size": 4096}


def test_the_summary_is_for_people(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = shown(capsys, file)
    assert text.startswith(f"{file}: ")
    assert f"({file.stat().st_size:,} bytes)" in text
    assert re.search(r"machine +pc-i440fx-7\.2", text)
    assert re.search(r"kind +background-snapshot: memory of one moment", text)
    assert "Memory: 20 KiB, 12 KiB of it stored, in pages of 4 KiB" in text
    assert re.search(r"pc\.ram +16 KiB +2 +1 +1$", text, re.MULTILINE)
    assert "Devices: 3, with 72 bytes of state" in text
    assert re.search(r"timer +2 +0 +24 +0x", text)
    assert re.search(r"serial#1 +2 +8 +24 +0x", text)
    assert "REPEATED" not in text


def test_the_summary_tells_what_the_stream_does_not_have(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "x"
    path.write_bytes(build.header() + build.eof())
    text = shown(capsys, path)
    assert re.search(r"machine +not stated", text)
    assert re.search(r"description +none", text)
    assert re.search(r"footers +none", text)
    assert "Memory: none" in text
    assert "Devices: 0" in text


def test_the_summary_of_a_directory_tells_its_story(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    directory = snapshot_directory(tmp_path / "monday", build.stream(PAGES), disks=1)
    text = shown(capsys, directory)
    assert re.search(r"taken +2026-05-0", text)
    assert re.search(r"VM +vm$", text, re.MULTILINE)
    assert re.search(r"QEMU +7\.2\.22$", text, re.MULTILINE)
    assert re.search(r"pause +4\.2 ms$", text, re.MULTILINE)
    assert re.search(rf"disk +disk0: {tmp_path}/disk0\.qcow2$", text, re.MULTILINE)


def test_what_the_manifest_does_not_know_is_left_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    directory = snapshot_directory(
        tmp_path / "monday", build.stream(PAGES), downtime=None, vm_name=None
    )
    text = shown(capsys, directory)
    assert not re.search(r"^ +(VM|pause) ", text, re.MULTILINE)


def test_a_name_that_no_file_can_have_is_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["inspect", "x" * 5000]) == 2
    assert "File name too long" in capsys.readouterr().err


def test_a_page_that_was_sent_twice_is_shown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "x"
    again = build.ram_page(0, build.page(9), block="pc.ram") + build.ram_eos()
    data = build.header() + build.configuration() + build.ram_sections(PAGES)
    data += build.section(build.END, again) + build.eof()
    path.write_bytes(data)
    text = shown(capsys, path)
    assert "REPEATED" in text
    assert re.search(r"pc\.ram +16 KiB +2 +1 +1 +1$", text, re.MULTILINE)


def test_the_runs_of_pages_are_a_table(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = shown(capsys, "--ram", file)
    assert "Pages of pc.ram" in text
    assert re.search(r"0x1000 +1  zero$", text, re.MULTILINE)


def test_a_device_is_shown_as_a_tree(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = shown(capsys, "--device", "serial", file)
    first, second = text.split("\n\n")
    assert re.match(r"serial#0: 24 bytes at 0x[0-9a-f]+\n  cpu_ticks_offset = 1\n", first)
    assert second.startswith("serial#1: 24 bytes")


def test_a_field_is_a_value_that_scripts_can_use(
    file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert shown(capsys, "--field", "timer::cpu_clock_offset", file) == "3\n"
    assert shown(capsys, "--field", "timer#0::unused", file) == "0000000000000002\n"


@pytest.mark.parametrize(
    "option, name, message",
    [
        ("--device", "nonsense", r"no device nonsense \(there are timer#0, serial#0, serial#1\)"),
        ("--field", "timer", r"timer: not a field \(expected DEVICE::NAME"),
        ("--field", "timer::unusd", r"timer#0 has no field unusd \(there are unused"),
        ("--field", "serial::unused", r"serial is 2 devices: serial#0, serial#1"),
    ],
)
def test_a_name_that_means_nothing_is_wrong_usage(
    file: Path, capsys: pytest.CaptureFixture[str], option: str, name: str, message: str
) -> None:
    assert run(["inspect", option, name, str(file)]) == 2
    assert re.match(rf"vmstate: {message}", capsys.readouterr().err)


@pytest.mark.parametrize("arguments", [["--device", "timer"], ["--field", "timer::unused"]])
def test_without_description_there_are_no_fields(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    path = tmp_path / "x"
    path.write_bytes(build.stream(described=False))
    assert run(["inspect", *arguments, str(path)]) == 4
    assert capsys.readouterr().err.startswith(f"vmstate: {path}: the stream has no description")


def test_a_device_that_could_not_be_followed_is_marked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "x"
    path.write_bytes(build.stream(described=False))
    assert re.search(r"timer .*! not followed", shown(capsys, path))


def test_damage_is_one_line_with_its_place(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    os.truncate(file, 6000)
    assert run(["inspect", str(file)]) == 3
    captured = capsys.readouterr()
    place = rf"{file}: byte 0x[0-9a-f]+ \(ram\.record\)"
    assert re.fullmatch(rf"vmstate: {place}: the data ends \d+ bytes too early.*\n", captured.err)
    assert captured.out == ""


def test_names_cannot_reach_the_terminal_raw(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    evil = "\x1b[2J\x07"
    field: dict[str, object] = {"name": evil, "type": "uint64", "size": 8}
    device = build.Device(idstr=f"dev{evil}", payload=build.be64(1), fields=[field])
    path = tmp_path / "x"
    data = build.stream({f"ram{evil}": [build.page(1)]}, (device,), machine=f"pc{evil}")
    path.write_bytes(data)
    for arguments in ([], ["--sections"], ["--ram"], ["--json"]):
        text = shown(capsys, path, *arguments)
        assert text.replace("\n", "").isprintable()


def test_a_pipe_is_read_like_a_file(file: Path) -> None:
    command = [sys.executable, "-m", "vmstate_tools", "inspect", "--json", "--device", "timer"]
    from_file, from_pipe = (
        subprocess.run(
            [*command, name], input=data, check=True, capture_output=True, timeout=60
        ).stdout
        for name, data in ((str(file), None), ("-", file.read_bytes()))
    )
    document = json.loads(from_pipe)
    assert document["file"] == "-"
    assert document | {"file": str(file)} == json.loads(from_file)
