from __future__ import annotations

import pytest
from construct import Const, GreedyBytes, Int8ub, Int32ub, PascalString, Struct

from builders.sources import both_sources, bytes_source, chunks_source
from vmstate_tools.core.errors import FormatError, TruncatedError
from vmstate_tools.core.parse import MAX_HEADER_BYTES, parse_struct

HEADER = "header" / Struct(
    "id" / Int32ub,
    "name" / PascalString(Int8ub, "ascii"),
    "mark" / Const(7, Int8ub),
)
GOOD = b"\x00\x00\x00\x09\x03abc\x07"


def test_a_header_is_parsed_at_its_offset() -> None:
    for source in both_sources(b"??" + GOOD + b"more"):
        header = parse_struct(HEADER, source, 2)
        assert (header.id, header.name) == (9, "abc")


@pytest.mark.parametrize("kept", range(len(GOOD)))
def test_a_header_that_is_cut_off_is_truncated(kept: int) -> None:
    for source in both_sources(b"??" + GOOD[:kept]):
        with pytest.raises(TruncatedError, match="the data ends inside it") as caught:
            parse_struct(HEADER, source, 2)
        assert caught.value.offset == 2


def test_the_member_that_is_wrong_is_named() -> None:
    with pytest.raises(FormatError, match=r"byte 0x0 \(header\.mark\): .*expected 7 .*8"):
        parse_struct(HEADER, bytes_source(GOOD[:-1] + b"\x08"), 0)


def test_a_header_without_a_name_has_one_in_messages() -> None:
    with pytest.raises(TruncatedError, match=r"\(header\)"):
        parse_struct(Int32ub, bytes_source(b"\x00"), 0)


def test_a_string_that_is_no_text_is_a_format_error() -> None:
    with pytest.raises(FormatError, match="ascii"):
        parse_struct(HEADER, bytes_source(GOOD.replace(b"b", b"\xff")), 0)


def test_a_pipe_is_not_waited_for_when_the_header_is_there() -> None:
    chunks = iter([GOOD[:5], GOOD[5:]])

    def next_chunk_or_hang() -> bytes:
        return next(chunks)  # a third call would raise StopIteration

    source = chunks_source(b"")
    source._next_chunk = next_chunk_or_hang
    assert parse_struct(HEADER, source, 0).name == "abc"


def test_a_header_that_never_ends_is_a_format_error() -> None:
    greedy = "greedy" / Struct("length" / Int32ub, "more" / PascalString(Int32ub, "ascii"))
    data = b"\x00\x00\x00\x01\x7f\xff\xff\xff" + bytes(2 * MAX_HEADER_BYTES)
    with pytest.raises(FormatError, match=f"longer than {MAX_HEADER_BYTES} bytes"):
        parse_struct(greedy, bytes_source(data), 0)


def test_no_more_than_a_header_is_looked_at() -> None:
    found = parse_struct("all" / GreedyBytes, bytes_source(bytes(2 * MAX_HEADER_BYTES)), 0)
    assert len(found) == MAX_HEADER_BYTES
