from __future__ import annotations

import zlib

import pytest

from builders import stream as build
from builders.slow_memory import make_patch
from builders.sources import bytes_source
from vmstate_tools.core.errors import FormatError
from vmstate_tools.ram.encodings import inflate_page, longest_compressed, patch_page

P = 4096
PAGE = build.page(1)


def inflate(data: bytes) -> bytes:
    return inflate_page(bytes_source(b"...." + build.be32(len(data)) + data), 4, P)


def patch(data: bytes, page: bytes = bytes(16)) -> bytes:
    content = bytearray(page)
    patch_page(bytes_source(b"...\1" + build.be16(len(data)) + data), 3, content)
    return bytes(content)


@pytest.mark.parametrize("level", [0, 1, 9])
def test_a_compressed_page_is_inflated(level: int) -> None:
    assert inflate(zlib.compress(PAGE, level)) == PAGE


@pytest.mark.parametrize("page_size", [1 << bits for bits in range(8, 17)])
def test_a_page_that_does_not_compress_is_within_the_limit(page_size: int) -> None:
    # zlib's own deflate never takes more than what compressBound() says.
    assert len(zlib.compress(bytes(range(256)) * (page_size // 256), 0)) <= longest_compressed(
        page_size
    )


@pytest.mark.parametrize(
    "data, text",
    [
        (b"", r"0 bytes or more \(expected 4096\)"),
        (b"not zlib", "a compressed page: Error -3"),
        (zlib.compress(PAGE)[:-1], r"4096 bytes or more \(expected 4096\)"),
        (zlib.compress(PAGE[1:]), r"4095 bytes \(expected 4096\)"),
        (zlib.compress(PAGE + b"1"), r"4097 bytes \(expected 4096\)"),
        (zlib.compress(bytes(1 << 24), 9), r"4097 bytes or more \(expected 4096\)"),
    ],
)
def test_what_is_not_one_compressed_page_is_damage(data: bytes, text: str) -> None:
    with pytest.raises(FormatError, match=text) as caught:
        inflate(data)
    assert caught.value.offset == 8


@pytest.mark.parametrize(
    "data, expected",
    [
        (b"", bytes(16)),
        (b"\0\2ab", b"ab" + bytes(14)),
        (b"\3\2ab", b"\0\0\0ab" + bytes(11)),
        (b"\1\1a\2\1b", b"\0a\0\0b" + bytes(11)),
        (b"\x0e\2ab", bytes(14) + b"ab"),
        (b"\x83\0\2ab", b"\0\0\0ab" + bytes(11)),
    ],
)
def test_a_patch_changes_what_it_says(data: bytes, expected: bytes) -> None:
    assert patch(data) == expected


def test_a_patch_may_have_long_counts() -> None:
    new = PAGE[:300] + bytes(2000) + PAGE[2300:4095] + b"!"
    assert patch(make_patch(PAGE, new), PAGE) == new


@pytest.mark.parametrize(
    "data",
    [
        b"\0",  # no second count
        b"\1\1a\1",
        b"\0\1",  # fewer bytes than the count says
        b"\0\3ab",
        b"\1\0",  # nothing new
        b"\0\1a\0\1b",  # nothing skipped
        b"\x0f\2ab",  # beyond the page
        b"\xff\x7f\1a",
        b"\x80\x80\1a",  # a count of three bytes
        b"\0\x80\x80a",
        b"\0\1a\1",
    ],
)
def test_a_patch_that_makes_no_sense_is_damage(data: bytes) -> None:
    with pytest.raises(FormatError, match="makes no sense") as caught:
        patch(data)
    assert caught.value.offset is not None
    assert 6 <= caught.value.offset < 6 + len(data)
