"""Whatever the bytes are, they are read or refused: in good time, in little memory."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from builders import stream as build
from builders.sources import both_sources
from vmstate_tools.core.errors import FormatError, LocatedError, UnsupportedError
from vmstate_tools.snapshot.open import Snapshot, read_snapshot

P = 256  # the smallest page there is makes small streams
DEVICES = [
    build.Device(idstr="timer", section_id=0),
    build.Device(idstr="cpu", section_id=7, instance_id=1),
]
SOUND = build.stream(
    {"pc.ram": [build.page(1, page_size=P), b"", b"", None], "pc.bios": [b""] * 40},
    DEVICES,
    subsections=build.page_bits(8) + build.uuid() + build.capabilities("x-none"),
    page_size=P,
    end=True,
    trailing=bytes(9),
)
PACKAGED = (
    build.header()
    + build.configuration()
    + build.command(build.OPEN_RETURN_PATH)
    + build.packaged(DEVICES[0].section())
    + build.eof()
)
STREAMS = [SOUND, PACKAGED]


def read_or_refuse(data: bytes) -> list[Snapshot | FormatError | UnsupportedError]:
    """Read as a map and as a pipe; any other error is a bug."""
    outcomes: list[Snapshot | FormatError | UnsupportedError] = []
    for source in both_sources(data):
        try:
            outcomes.append(read_snapshot(source))
        except (FormatError, UnsupportedError) as error:
            outcomes.append(error)
    for outcome in outcomes:
        if isinstance(outcome, LocatedError):
            assert outcome.offset is not None
            assert 0 <= outcome.offset <= len(data)
    return outcomes


def test_the_sound_streams_are_read() -> None:
    for stream in STREAMS:
        assert all(isinstance(outcome, Snapshot) for outcome in read_or_refuse(stream))


def test_a_stream_that_ends_anywhere_before_its_end_is_refused() -> None:
    for kept in range(SOUND.index(build.eof() + b"\x06")):
        for outcome in read_or_refuse(SOUND[:kept]):
            assert isinstance(outcome, FormatError | UnsupportedError)


@given(
    stream=st.sampled_from(STREAMS),
    changes=st.lists(st.tuples(st.integers(0, 4095), st.integers(0, 255)), max_size=5),
    cut=st.integers(0, 4095),
)
def test_changed_bytes_are_read_or_refused(
    stream: bytes, changes: list[tuple[int, int]], cut: int
) -> None:
    data = bytearray(stream)
    for place, value in changes:
        data[place % len(data)] = value
    read_or_refuse(bytes(data[: len(data) - cut % len(data)] if cut % 2 else data))


@given(
    stream=st.sampled_from(STREAMS),
    place=st.integers(0, 4095),
    removed=st.integers(0, 40),
    added=st.binary(max_size=40),
)
def test_bytes_put_in_and_taken_out_are_read_or_refused(
    stream: bytes, place: int, removed: int, added: bytes
) -> None:
    place %= len(stream)
    read_or_refuse(stream[:place] + added + stream[place + removed :])


@given(
    front=st.sampled_from(
        [
            b"",
            build.header(),
            build.header() + build.configuration(),
            build.header() + b"\x01" + build.be32(2) + build.str8("ram") + build.be32(0),
            build.header() + build.section(build.START, build.ram_setup({"a": P}), footers=False),
            SOUND[: SOUND.index(b"timer")],
            SOUND[: SOUND.index(b'{"page_size"')],
        ]
    ),
    noise=st.binary(max_size=400),
)
@example(front=b"", noise=b"")
def test_noise_behind_a_good_beginning_is_read_or_refused(front: bytes, noise: bytes) -> None:
    read_or_refuse(front + noise)


@given(content=st.binary(max_size=60))
def test_any_text_may_stand_where_the_description_is(content: bytes) -> None:
    read_or_refuse(SOUND[: SOUND.index(b"\x00\x06") + 1] + build.description(content))
    json = b'{"page_size": 256, "devices": ' + content + b"}"
    read_or_refuse(SOUND[: SOUND.index(b"\x00\x06") + 1] + build.description(json))


# Absurd numbers


def ram_start(setup: bytes) -> bytes:
    return build.header() + build.section(build.START, setup + build.ram_eos())


HUGE = (1 << 46) - 4096
ABSURD = {
    "machine name": build.header() + build.configuration(length=0xFFFFFFFF),
    "capabilities": build.header()
    + build.configuration(subsections=build.capabilities(count=0xFFFFFFFF)),
    "package": build.header() + build.packaged(b"", length=0xFFFFFFFF),
    "description": build.header() + build.eof() + build.description(b"", length=0xFFFFFFFF),
    "memory": ram_start(build.ram_setup({"ram": HUGE})),
    "memory that is used": ram_start(build.ram_setup({"ram": HUGE}))
    + build.section(build.PART, build.ram_zero(HUGE - 4096, block="ram") + build.ram_eos()),
    "sum of memory": ram_start(build.ram_setup({"ram": 4096}, total=(1 << 64) - 4096)),
    "many blocks": ram_start(build.ram_setup([(f"{n}", 0) for n in range(5000)], total=4096)),
    "nested description": build.stream(described=False)
    + build.description(b'{"page_size": 4096, "devices": %b}' % (b"[" * 100_000 + b"]" * 100_000)),
    "page size": build.stream(described=False)
    + build.description(b'{"page_size": ' + b"9" * 10_000 + b', "devices": []}'),
}


@pytest.mark.parametrize("name", ABSURD)
def test_absurd_numbers_take_little_memory(name: str) -> None:
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # forget the peak so far
    before = _peak_kib()
    read_or_refuse(ABSURD[name])
    assert _peak_kib() - before < 64 << 10


def _peak_kib() -> int:
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(status.partition("VmHWM:")[2].split()[0])


def test_a_long_stream_of_empty_sections_is_read_in_good_time() -> None:
    parts = build.section(build.PART, build.ram_eos()) * 5000
    outcomes = read_or_refuse(ram_start(build.ram_setup({"ram": 4096})) + parts + build.eof())
    for outcome in outcomes:
        assert isinstance(outcome, Snapshot)
        assert len(outcome.sections) == 5001
