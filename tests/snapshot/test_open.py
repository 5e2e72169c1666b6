import hashlib
import io
import os
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from builders import stream as build
from builders.snapshot_directory import snapshot_directory
from conftest import RealStream
from vmstate_tools.core.errors import FormatError, TruncatedError, UnsupportedError, UsageError
from vmstate_tools.core.source import ByteSource, BytesSource, ForwardSource
from vmstate_tools.ram.index import PageCounts
from vmstate_tools.snapshot.kind import Kind
from vmstate_tools.snapshot.manifest import StateFile
from vmstate_tools.snapshot.open import Snapshot, open_snapshot, read_snapshot
from vmstate_tools.stream.records import EndOfStream, Header, SectionKind

PAGES: dict[str, list[bytes | None]] = {"pc.ram": [build.page(1), b"", None, build.page(2)]}
DEVICES = (build.Device(), build.Device(idstr="serial", section_id=7, instance_id=3))


def pipe(data: bytes, chunk_bytes: int = 1000) -> ForwardSource:
    pieces = [data[start : start + chunk_bytes] for start in range(0, len(data), chunk_bytes)]
    return ForwardSource(lambda: pieces.pop(0) if pieces else b"", "x")


Read = Callable[..., Snapshot]


@pytest.fixture(params=["file", "pipe"])
def read(request: pytest.FixtureRequest) -> Read:
    def reader(data: bytes, *, partial: bool = False) -> Snapshot:
        source = BytesSource(data, "x") if request.param == "file" else pipe(data)
        return read_snapshot(source, partial=partial)

    return reader


def test_a_stream_tells_its_machine_and_its_framing(read: Read) -> None:
    snapshot = read(build.stream(subsections=build.uuid() + build.page_bits()))
    assert snapshot.machine == "pc-i440fx-7.2"
    assert snapshot.configuration is not None
    assert snapshot.configuration.uuid == "00010203-0405-0607-0809-0a0b0c0d0e0f"
    assert snapshot.container == "stream"
    assert snapshot.footers
    assert snapshot.kind is Kind.BACKGROUND_SNAPSHOT
    assert snapshot.stopped is None
    assert snapshot.trailing is None


def test_memory_is_counted_page_by_page(read: Read) -> None:
    snapshot = read(build.stream(PAGES))
    assert [block.name for block in snapshot.ram.blocks] == ["pc.ram"]
    assert snapshot.ram.counts("pc.ram") == PageCounts(total=4, stored=2, zero=1, absent=1)


def test_devices_are_where_the_stream_has_them(read: Read) -> None:
    data = build.stream(PAGES, DEVICES)
    snapshot = read(data)
    first, second = snapshot.devices
    assert (first.name, first.instance_id, first.version_id, first.section_id) == ("timer", 0, 2, 0)
    assert (second.name, second.instance_id, second.section_id) == ("serial", 3, 7)
    assert second.problem is None
    for device, built in zip(snapshot.devices, DEVICES, strict=True):
        assert data[device.offset : device.offset + device.size] == built.payload
    assert snapshot.device_bytes == 48


def test_records_go_from_the_header_to_the_end(read: Read) -> None:
    data = build.stream(PAGES, DEVICES, trailing=b"\0\0\0")
    snapshot = read(data)
    assert isinstance(snapshot.records[0], Header)
    assert any(isinstance(record, EndOfStream) for record in snapshot.records)
    assert [section.kind for section in snapshot.sections] == [
        SectionKind.START,
        SectionKind.PART,
        SectionKind.FULL,
        SectionKind.FULL,
    ]
    assert snapshot.trailing is not None
    assert snapshot.trailing.end - snapshot.trailing.offset == 3
    assert snapshot.records[-1] is snapshot.trailing
    ends = [record.end for record in snapshot.records]
    assert [record.offset for record in snapshot.records] == [0, *ends[:-1]]
    assert ends[-1] == len(data)


def test_a_stream_without_configuration_has_no_machine(read: Read) -> None:
    snapshot = read(build.stream(machine=None))
    assert snapshot.configuration is None
    assert snapshot.machine is None


def test_a_stream_without_memory_has_no_blocks(read: Read) -> None:
    data = build.header() + build.Device().section() + build.eof()
    data += build.description(build.vmdesc([build.Device()]))
    snapshot = read(data)
    assert snapshot.ram.blocks == ()
    assert snapshot.kind is Kind.DEVICE_ONLY


def test_devices_are_decoded_by_their_description(read: Read) -> None:
    snapshot = read(build.stream(PAGES, DEVICES))
    decoded = snapshot.decode(snapshot.devices[1])
    assert decoded is not None
    assert decoded.values.to_plain() == {
        "cpu_ticks_offset": 1,
        "unused": "0000000000000002",
        "cpu_clock_offset": 3,
    }


def test_devices_that_nothing_describes_are_not_decoded(read: Read) -> None:
    nothing = read(build.stream(PAGES, DEVICES, described=False))
    assert nothing.decode(nothing.devices[0]) is None
    timer, serial = DEVICES
    described = build.description(build.vmdesc([timer]))
    data = build.stream(PAGES, (timer, serial), described=False) + described
    one_of_two = read(data)
    assert one_of_two.decode(one_of_two.devices[0]) is not None
    assert one_of_two.decode(one_of_two.devices[1]) is None


def test_a_page_that_comes_twice_is_a_precopy(read: Read) -> None:
    again = build.section(
        build.PART, build.ram_page(0, build.page(9), block="pc.ram") + build.ram_eos()
    )
    data = (
        build.header()
        + build.configuration()
        + build.ram_sections(PAGES)
        + again
        + build.section(build.END, build.ram_eos())
        + build.eof()
    )
    snapshot = read(data)
    assert snapshot.ram.counts("pc.ram").repeated == 1
    assert snapshot.kind is Kind.PRECOPY


def test_damage_stops_the_reading(read: Read) -> None:
    data = build.stream(PAGES)
    with pytest.raises(TruncatedError, match=r"^x: byte 0x"):
        read(data[: len(data) // 2])


def test_what_was_read_before_the_damage_can_be_had(read: Read) -> None:
    data = build.stream(PAGES, DEVICES, described=False)
    snapshot = read(data[: data.index(b"serial") + 20], partial=True)
    assert isinstance(snapshot.stopped, FormatError)
    assert [device.name for device in snapshot.devices] == ["timer"]
    assert snapshot.ram.counts("pc.ram").stored == 2


def test_the_first_page_is_announced_once() -> None:
    calls: list[None] = []
    read_snapshot(pipe(build.stream()), on_first_page=lambda: calls.append(None))
    assert len(calls) == 1


def test_a_file_is_opened_by_its_content(tmp_path: Path) -> None:
    path = tmp_path / "state.qcow2"
    path.write_bytes(build.stream())
    with open_snapshot(path) as snapshot:
        assert snapshot.machine == "pc-i440fx-7.2"


def test_a_directory_is_opened_by_its_manifest(tmp_path: Path) -> None:
    directory = snapshot_directory(tmp_path / "monday", build.stream())
    with open_snapshot(directory) as snapshot:
        assert snapshot.container == "directory"
        assert snapshot.directory == directory
        assert snapshot.manifest is not None
        assert snapshot.source.name == str(directory / "vmstate.bin")


def test_standard_input_is_read_onwards(monkeypatch: pytest.MonkeyPatch) -> None:
    reading, writing = os.pipe()
    data = build.stream()

    def write() -> None:
        with os.fdopen(writing, "wb") as file:
            file.write(data)

    with os.fdopen(reading) as stdin, monkeypatch.context() as patch:
        patch.setattr(sys, "stdin", stdin)
        writer = threading.Thread(target=write)
        writer.start()
        with open_snapshot(Path("-")) as snapshot:
            assert snapshot.machine == "pc-i440fx-7.2"
            assert snapshot.source.name == "-"
        writer.join()


def test_an_unfinished_directory_is_wrong_usage(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="was not finished"), open_snapshot(tmp_path):
        pass


def test_a_missing_file_is_wrong_usage(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="No such file"), open_snapshot(tmp_path / "x"):
        pass


def test_a_state_format_of_a_newer_version_is_not_supported(tmp_path: Path) -> None:
    state = StateFile(name="vmstate.bin", format="archive")
    directory = snapshot_directory(tmp_path / "monday", state=state, data=build.stream())
    with pytest.raises(UnsupportedError, match="'archive'"), open_snapshot(directory):
        pass


def test_other_containers_are_named(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(b"LibvirtQemudSave" + bytes(100))
    with pytest.raises(UnsupportedError, match="a libvirt save image"), open_snapshot(path):
        pass


@pytest.mark.parametrize("cut", [0, 1, 5000])
def test_every_byte_of_a_file_goes_by_once(tmp_path: Path, cut: int) -> None:
    data = build.stream(trailing=bytes(10))
    data = data[: len(data) - cut]
    path = tmp_path / "x"
    path.write_bytes(data)
    seen = io.BytesIO()

    def see(source: ByteSource, start: int, end: int) -> None:
        seen.write(source.read_at(start, end - start, "file"))

    with open_snapshot(path, on_passed=see, partial=True):
        pass
    assert hashlib.sha256(seen.getvalue()).digest() == hashlib.sha256(data).digest()


def test_a_real_stream_is_read_whole(real_stream: RealStream) -> None:
    expected = real_stream.expected
    with open_snapshot(real_stream.path) as snapshot:
        assert snapshot.machine in {expected["machine"], None}
        sizes = {block.name: block.size for block in snapshot.ram.blocks}
        assert sizes == {name: block["bytes"] for name, block in expected["blocks"].items()}
        counts = [snapshot.ram.counts(name) for name in sizes]
        assert sum(count.stored for count in counts) == expected["pages"]["stored"]
        assert sum(count.zero for count in counts) == expected["pages"]["zero"]
        assert all(count.absent == count.repeated == 0 for count in counts)
        # The guests of the recipe `precopy` were stopped before, as savevm does it.
        background = expected["kind"] == "background-snapshot"
        assert snapshot.kind is (Kind.BACKGROUND_SNAPSHOT if background else Kind.SAVEVM_LIKE)
        if expected["devices"] is not None:
            assert [
                (device.name, device.instance_id, device.version_id) for device in snapshot.devices
            ] == [
                (device["name"], device["instance_id"], device["version"])
                for device in expected["devices"]
            ]


def test_a_device_before_guest_memory_is_decoded_from_a_file_only() -> None:
    early = build.Device(idstr="early", section_id=9)
    data = b"".join(
        [
            *(build.header(), build.configuration(), early.section()),
            *(build.ram_sections(PAGES), DEVICES[0].section(), build.eof()),
            build.description(build.vmdesc([early, DEVICES[0]])),
        ]
    )
    from_file, from_pipe = read_snapshot(BytesSource(data, "x")), read_snapshot(pipe(data))
    assert from_file.decode(from_file.devices[0]) is not None
    with pytest.raises(UnsupportedError, match="a pipe cannot be read again"):
        from_pipe.decode(from_pipe.devices[0])
