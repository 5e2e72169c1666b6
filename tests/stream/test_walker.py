from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from builders import stream as build
from builders.readers import LengthReader
from builders.sources import both_sources, bytes_source, chunks_source
from builders.walking import (
    CPU,
    DISK,
    END,
    FRONT,
    LENGTHS,
    PART,
    START,
    TAIL,
    TIMER,
    problems,
    sections,
    walk_both,
    walk_through,
)
from vmstate_tools.core import source as source_module
from vmstate_tools.core.errors import (
    FormatError,
    LocatedError,
    TruncatedError,
    UnsupportedError,
)
from vmstate_tools.snapshot.open import read_snapshot
from vmstate_tools.stream import walker
from vmstate_tools.stream.preamble import read_preamble
from vmstate_tools.stream.records import (
    Command,
    Configuration,
    Description,
    EndOfStream,
    Header,
    PayloadReader,
    Section,
    SectionKind,
    Trailing,
)
from vmstate_tools.stream.walker import walk

if TYPE_CHECKING:
    from conftest import RealStream


def test_records_come_in_the_order_of_the_stream() -> None:
    data = FRONT + build.command(build.PING, build.be32(1)) + START + PART + END
    data += TIMER.section() + CPU.section() + TAIL + bytes(3)
    assert [type(record) for record in walk_both(data)] == [
        Header,
        Configuration,
        Command,
        *[Section] * 5,
        EndOfStream,
        Description,
        Trailing,
    ]


def test_records_follow_each_other_without_a_gap() -> None:
    data = FRONT + START + PART + END + TIMER.section() + TAIL + bytes(3)
    records = walk_both(data)
    assert records[0].offset == 0
    assert [record.offset for record in records[1:]] == [record.end for record in records[:-1]]
    assert records[-1].end == len(data)


def test_a_section_tells_where_everything_is() -> None:
    data = FRONT + START + CPU.section() + TAIL
    (_, cpu) = sections(walk_both(data))
    offset = len(FRONT + START)
    assert cpu == Section(
        kind=SectionKind.FULL,
        offset=offset,
        section_id=7,
        idstr="cpu",
        instance_id=3,
        version_id=12,
        payload_offset=data.index(b"registers"),
        payload_end=data.index(b"registers") + len(b"registers"),
        end=offset + len(CPU.section()),
    )


def test_part_and_end_take_their_names_from_the_start() -> None:
    other = build.section(build.START, b"begin", idstr="disk", section_id=9, instance_id=2)
    data = FRONT + START + other + PART + build.section(build.END, b"end", section_id=9)
    found = sections(walk_both(data + build.eof()))
    assert [(section.kind, section.section_id, section.instance_id) for section in found] == [
        (SectionKind.START, 4, 0),
        (SectionKind.START, 9, 2),
        (SectionKind.PART, 4, 0),
        (SectionKind.END, 9, 2),
    ]
    assert {section.idstr for section in found} == {"disk"}


def test_a_stream_need_not_have_a_configuration() -> None:
    records = walk_both(build.header() + START + build.eof())
    assert [type(record) for record in records] == [Header, Section, EndOfStream]


def test_a_device_may_share_the_id_of_an_iterative_section() -> None:
    device = build.Device(idstr="cpu", section_id=4, payload=b"registers")
    found = sections(walk_both(FRONT + START + END + device.section() + TAIL))
    assert [section.idstr for section in found] == ["disk", "disk", "cpu"]


def test_a_real_stream_is_read_alike_from_a_map_and_a_pipe(real_stream: RealStream) -> None:
    data = real_stream.path.read_bytes()
    of_map, of_pipe = [str(read_snapshot(source).records) for source in both_sources(data)]
    assert of_map == of_pipe


# Commands


def test_a_command_tells_where_its_payload_is() -> None:
    data = FRONT + build.command(build.PING, build.be32(7)) + build.eof()
    command = walk_both(data)[2]
    start = len(FRONT)
    assert command == Command(
        offset=start, end=start + 9, code=2, payload_offset=start + 5, payload_end=start + 9
    )


def test_the_embedded_stream_of_a_package_belongs_to_the_command() -> None:
    inside = TIMER.section()
    data = FRONT + build.packaged(inside) + build.eof()
    command = walk_both(data)[2]
    assert isinstance(command, Command)
    assert data[command.payload_end : command.end] == inside


def test_a_package_does_not_stay_in_memory() -> None:
    source = chunks_source(FRONT + build.packaged(bytes(1 << 20)) + build.eof(), (4096,))
    walk_through(source)
    assert len(source._kept) <= 4096


def test_a_package_that_is_cut_off_is_damaged() -> None:
    for source in both_sources(FRONT + build.packaged(bytes(100), length=101)):
        with pytest.raises(TruncatedError, match=r"inside of the package \(expected 101 bytes"):
            walk_through(source)


def test_a_command_of_the_future_is_passed_by_its_length() -> None:
    command = walk_both(FRONT + build.command(77, b"anything") + build.eof())[2]
    assert isinstance(command, Command)
    assert command.code == 77


@pytest.mark.parametrize("code, length", [(build.PING, 3), (build.PACKAGED, 0), (5, 1)])
def test_a_command_of_the_wrong_length_is_damaged(code: int, length: int) -> None:
    for source in both_sources(FRONT + build.command(code, bytes(length)) + build.eof()):
        with pytest.raises(FormatError, match=f"command {code} with {length} bytes") as caught:
            walk_through(source)
        assert caught.value.offset == len(FRONT)


# Footers


def test_streams_without_footers_are_read() -> None:
    def without(section: bytes) -> bytes:
        return section[: -len(build.footer(0))]

    data = FRONT + without(START) + without(END) + TIMER.section(footers=False) + TAIL
    found = sections(walk_both(data))
    assert len(found) == 3
    assert all(section.end == section.payload_end for section in found)


def test_a_missing_footer_is_damage() -> None:
    data = FRONT + START + PART[:-5] + END + TAIL
    for source in both_sources(data):
        with pytest.raises(
            FormatError, match=r'0x03 \(expected the footer of section 4 "disk"/0\)'
        ) as caught:
            walk_through(source)
        assert caught.value.offset == len(FRONT + START + PART) - 5


def test_the_footer_of_another_section_is_damage() -> None:
    data = FRONT + START + PART[:-5] + build.footer(5) + END + TAIL
    for source in both_sources(data):
        with pytest.raises(FormatError, match=r"the footer of section 5 \(expected the footer of"):
            walk_through(source)


def test_a_footer_where_the_first_section_had_none_is_damage() -> None:
    data = FRONT + START[:-5] + PART + build.eof()
    for source in both_sources(data):
        with pytest.raises(FormatError, match="no section type 0x7e"):
            walk_through(source)


# Damage


def test_a_stream_that_ends_anywhere_is_damaged() -> None:
    sound = FRONT + START + build.command(build.PING, bytes(4)) + END
    sound += TIMER.section() + build.eof()
    # Behind the preamble, whose own tests are elsewhere.
    for kept in range(len(FRONT) + 1, len(sound)):
        for source in both_sources(sound[:kept]):
            with pytest.raises(LocatedError) as caught:
                walk_through(source)
            assert caught.value.offset is not None
            assert caught.value.offset <= kept


def test_a_section_that_never_began_cannot_go_on() -> None:
    for source in both_sources(FRONT + START + build.section(build.PART, section_id=5)):
        with pytest.raises(FormatError, match="section 5 goes on but never began") as caught:
            walk_through(source)
        assert caught.value.offset == len(FRONT + START)


def test_an_id_cannot_be_that_of_two_handlers() -> None:
    other = build.section(build.START, b"begin", idstr="tape", section_id=4)
    for source in both_sources(FRONT + START + other):
        with pytest.raises(FormatError, match="section 4 is 'disk' already"):
            walk_through(source)


def test_a_section_must_have_a_name() -> None:
    for source in both_sources(FRONT + build.section(build.FULL, idstr="")):
        with pytest.raises(FormatError, match="without a name"):
            walk_through(source)


@pytest.mark.parametrize("kind", [0x05, 0x06, 0x07, 0x09, 0x7E, 0xFF])
def test_an_unknown_section_type_is_damage(kind: int) -> None:
    for source in both_sources(FRONT + START + bytes([kind]) + bytes(100)):
        with pytest.raises(FormatError, match=f"no section type {kind:#04x}") as caught:
            walk_through(source)
        assert caught.value.offset == len(FRONT + START)


def test_damage_in_an_iterative_section_is_not_passed_over() -> None:
    damaged = build.section(build.PART, b"muddle", section_id=4)
    for source in both_sources(FRONT + START + damaged + END + TAIL):
        with pytest.raises(FormatError, match="another word"):
            walk_through(source)


# The description, and what a pipe keeps


def test_the_device_reader_is_made_once_from_the_description() -> None:
    data = FRONT + START + TIMER.section() + CPU.section() + TAIL
    reader = LengthReader(**LENGTHS)
    made: list[Description] = []

    def make(description: Description) -> PayloadReader:
        made.append(description)
        return reader

    for source in both_sources(data):
        records = list(walk(source, read_preamble(source), DISK, make))
        assert made == [record for record in records if isinstance(record, Description)]
        assert [section.idstr for section in reader.seen] == ["timer", "cpu"]
        made.clear()
        reader.seen.clear()


def test_the_devices_of_a_pipe_can_be_read_afterwards() -> None:
    data = FRONT + START + PART + TIMER.section() + CPU.section() + TAIL
    source = chunks_source(data, (10,))
    for section in sections(walk_through(source))[2:]:
        payload = source.read_at(section.payload_offset, LENGTHS[section.idstr], "payload")
        assert payload == data[section.payload_offset : section.payload_end]


def test_without_a_description_devices_are_passed_by_their_footers() -> None:
    records = walk_both(FRONT + START + TIMER.section() + CPU.section() + build.eof())
    assert len(sections(records)) == 3
    assert [problem.partition(" ")[2] for problem in problems(records)] == [
        f"byte {section.offset:#x} ({section.label}): no description explains its state"
        for section in sections(records)[1:]
    ]


def test_without_description_and_footers_devices_are_not_supported() -> None:
    data = FRONT + START[:-5] + TIMER.section(footers=False) + build.eof()
    for source in both_sources(data):
        with pytest.raises(UnsupportedError, match="no description explains its state"):
            walk_through(source)


def test_a_description_that_makes_no_reader_is_tried_once() -> None:
    data = FRONT + START + TIMER.section() + CPU.section() + TAIL
    tries: list[Description] = []

    def make(description: Description) -> PayloadReader:
        tries.append(description)
        raise FormatError("no json", source="guest.mig", offset=description.json_offset)

    for tried, source in enumerate(both_sources(data), 1):
        records = list(walk(source, read_preamble(source), DISK, make))
        assert len(tries) == tried
        assert len(problems(records)) == 2


def test_a_device_before_memory_is_passed_by_its_footer_on_a_pipe() -> None:
    early = build.Device(idstr="cpu", section_id=1, payload=b"registers")
    data = FRONT + early.section() + START + END + TIMER.section() + TAIL
    of_map, of_pipe = [sections(walk_through(source)) for source in both_sources(data)]
    assert [section.end for section in of_map] == [section.end for section in of_pipe]
    assert not any(section.problem for section in of_map)
    assert [section.idstr for section in of_pipe if section.problem] == ["cpu"]


def test_a_tail_that_is_too_long_to_keep_is_passed_by_footers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(source_module, "MAX_TAIL_BYTES", 10)
    source = chunks_source(FRONT + START + TIMER.section() + CPU.section() + TAIL, (10,))
    records = walk_through(source)
    assert "more than 10 bytes follow" in problems(records)[0]
    assert len(problems(records)) == 2


def test_whoever_wants_the_framing_alone_gets_no_problems() -> None:
    data = FRONT + START + TIMER.section() + CPU.section() + TAIL
    for source in both_sources(data):
        records = list(walk(source, read_preamble(source), DISK))
        assert problems(records) == []
        assert [section.idstr for section in sections(records)] == ["disk", "timer", "cpu"]


def test_the_framing_alone_cannot_be_had_without_footers() -> None:
    source = bytes_source(FRONT + START[:-5] + TIMER.section(footers=False) + TAIL)
    with pytest.raises(UnsupportedError, match="neither a reader for it nor a footer"):
        list(walk(source, read_preamble(source), DISK))


def test_commands_that_have_lengths_are_commands() -> None:
    assert all(code in range(1, 12) for code in walker._COMMAND_LENGTHS)
