from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from builders import stream as build
from builders.sources import both_sources, bytes_source
from vmstate_tools.core.errors import FormatError, TruncatedError, UnsupportedError
from vmstate_tools.stream import trailer
from vmstate_tools.stream.records import Description, Trailing
from vmstate_tools.stream.trailer import find_description, iter_trailer

if TYPE_CHECKING:
    from vmstate_tools.core.source import ByteSource

TEXT = b'{"page_size": 4096, "devices": []}'
DESCRIPTION = build.eof() + build.description(TEXT)
FRONT = bytes(100)


def found_text(data: bytes, *, start: int = 0) -> bytes | None:
    """What find_description finds, for every kind of source."""
    texts = set()
    for source in both_sources(data):
        found = find_description(source, start)
        texts.add(None if found is None else data[found.json_offset : found.end])
    (text,) = texts
    return text


@pytest.mark.parametrize("text", [TEXT, b'{"configuration": {}, "page_size": 4096}'])
def test_a_description_is_found_at_the_end(text: bytes) -> None:
    data = FRONT + build.eof() + build.description(text)
    assert found_text(data) == text
    assert find_description(bytes_source(data), 0) == Description(
        offset=len(FRONT) + 1, end=len(data), json_offset=len(FRONT) + 6
    )


@pytest.mark.parametrize("padding", [bytes(4096), b"\x00{" * 2000, b'{"page_size"'])
def test_a_description_is_found_in_front_of_padding(padding: bytes) -> None:
    assert found_text(FRONT + DESCRIPTION + padding) == TEXT


def test_a_description_is_found_wherever_it_begins_in_the_steps_of_the_search(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(trailer, "_STEP_BYTES", 16)
    for padding in range(20):
        assert found_text(FRONT + DESCRIPTION + bytes(padding)) == TEXT


def test_a_long_description_is_found() -> None:
    text = b'{"page_size": 4096, "padding": "' + b"x" * (2 << 20) + b'"}'
    assert found_text(FRONT + build.eof() + build.description(text)) == text


def test_the_last_of_two_descriptions_is_found() -> None:
    other = build.eof() + build.description(b'{"page_size": 8192}')
    assert found_text(FRONT + DESCRIPTION + FRONT + other) == b'{"page_size": 8192}'
    assert found_text(FRONT + other + FRONT + DESCRIPTION) == TEXT


@pytest.mark.parametrize(
    "damaged",
    [
        DESCRIPTION[:-1],
        build.eof() + build.description(TEXT, length=len(TEXT) + 1),
        build.eof() + build.description(TEXT, length=len(TEXT) - 1),
        build.eof() + build.description(TEXT, length=0xFFFFFFFF),
        b"\x01" + build.description(TEXT),
        build.eof() + build.description(b'{"devices": []}'),
    ],
)
def test_what_does_not_fit_is_no_description(damaged: bytes) -> None:
    assert found_text(FRONT + damaged) is None


def test_a_sound_description_is_found_before_a_damaged_one() -> None:
    damaged = build.eof() + build.description(TEXT, length=5000)
    assert found_text(FRONT + DESCRIPTION + damaged) == TEXT


def test_a_description_before_the_start_is_not_looked_at() -> None:
    assert found_text(FRONT + DESCRIPTION, start=len(FRONT)) == TEXT
    assert found_text(FRONT + DESCRIPTION, start=len(FRONT) + 1) is None


def test_the_search_gives_up_far_from_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trailer, "MAX_SEARCH_BYTES", 1000)
    assert found_text(DESCRIPTION + bytes(900)) == TEXT
    assert found_text(DESCRIPTION + bytes(1000)) is None


def test_an_empty_source_has_no_description() -> None:
    assert found_text(b"") is None


# Reading onwards, from behind EOF


def trailer_of(data: bytes, *, keep: bool = False) -> list[Description | Trailing]:
    first, second = [list(iter_trailer(source, 0, keep=keep)) for source in both_sources(data)]
    assert first == second
    return first


def test_nothing_need_follow() -> None:
    assert trailer_of(b"") == []


def test_a_description_follows() -> None:
    data = build.description(TEXT)
    assert trailer_of(data) == [Description(offset=0, end=len(data), json_offset=5)]


@pytest.mark.parametrize("keep", [True, False])
@pytest.mark.parametrize(
    "trailing, all_zero",
    [
        (bytes(1), True),
        (bytes(5000), True),
        (b"\x01" + bytes(5000), False),
        (bytes(5000) + b"\x01", False),
    ],
)
def test_bytes_of_nothing_known_are_told(trailing: bytes, *, all_zero: bool, keep: bool) -> None:
    data = build.description(TEXT) + trailing
    _, told = trailer_of(data, keep=keep)
    assert told == Trailing(offset=len(data) - len(trailing), end=len(data), all_zero=all_zero)


def test_bytes_may_follow_without_a_description() -> None:
    assert trailer_of(bytes(7)) == [Trailing(offset=0, end=7, all_zero=True)]


def test_a_description_that_is_cut_off_is_damaged() -> None:
    data = build.description(TEXT)
    for kept in range(1, len(data)):
        with pytest.raises(TruncatedError, match=r"guest\.mig: byte 0x[15] \(description\)"):
            trailer_of(data[:kept])


def test_an_absurd_length_is_refused() -> None:
    with pytest.raises(FormatError, match=r"67108865 bytes \(at most 67108864\)"):
        trailer_of(build.description(TEXT, length=(64 << 20) + 1))


def test_a_pipe_forgets_trailing_bytes_unless_told_to_keep_them() -> None:
    def kept_bytes(source: ByteSource) -> int:
        return len(source.window(0, 0, "all"))

    _, pipe = both_sources(bytes(5000))
    list(iter_trailer(pipe, 0, keep=True))
    assert kept_bytes(pipe) == 5000
    _, pipe = both_sources(bytes(5000))
    list(iter_trailer(pipe, 0, keep=False))
    with pytest.raises(UnsupportedError, match="cannot be read again"):
        kept_bytes(pipe)
