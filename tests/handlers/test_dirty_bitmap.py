from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builders import handlers as h
from builders.payloads import read_payloads
from vmstate_tools.core.errors import FormatError, TruncatedError, UnsupportedError
from vmstate_tools.handlers import dirty_bitmap
from vmstate_tools.handlers.dirty_bitmap import (
    DirtyBitmap,
    DirtyBitmapContent,
    DirtyBitmapReader,
)
from vmstate_tools.snapshot.open import open_snapshot

if TYPE_CHECKING:
    from conftest import RealStream


def bitmaps(*payloads: bytes) -> tuple[DirtyBitmap, ...]:
    content = read_payloads(DirtyBitmapReader, *payloads)
    assert isinstance(content, DirtyBitmapContent)
    return content.bitmaps


def test_a_bitmap_is_announced_filled_and_completed() -> None:
    assert bitmaps(
        h.bitmap_start(512, flags=3, node="disk0", name="daily") + h.bitmap_eos(),
        h.bitmap_eos(),
        h.bitmap_bits(bytes(64), sector_count=512)
        + h.bitmap_zeroes(sector=512, sector_count=512)
        + h.bitmap_complete()
        + h.bitmap_eos(),
    ) == (
        DirtyBitmap(
            node="disk0",
            name="daily",
            granularity=512,
            enabled=True,
            persistent=True,
            data_bytes=64,
            zero_sectors=512,
            complete=True,
        ),
    )


def test_names_that_are_left_out_are_those_of_the_record_before() -> None:
    first, second, third = bitmaps(
        h.bitmap_start(node="disk0", name="a")
        + h.bitmap_start(node=None, name="b", flags=0)
        + h.bitmap_start(node="disk1", name=None)
        + h.bitmap_eos(),
        h.bitmap_complete() + h.bitmap_complete(node="disk0", name="a") + h.bitmap_eos(),
    )
    assert [(found.node, found.name) for found in (first, second, third)] == [
        ("disk0", "a"),
        ("disk0", "b"),
        ("disk1", "b"),
    ]
    assert [found.complete for found in (first, second, third)] == [True, False, True]
    assert [found.enabled for found in (first, second, third)] == [True, False, True]


def test_the_end_may_be_in_the_flags_of_the_last_record() -> None:
    start = bytearray(h.bitmap_start())
    start[0] |= 1
    assert len(bitmaps(bytes(start))) == 1


@pytest.mark.parametrize("flags", [0x00, 0x02, 0x80, 0x30, 0x51, 0x0C, 0xC0])
def test_flags_that_make_no_sense_are_not_read(flags: int) -> None:
    with pytest.raises(UnsupportedError, match=f"dirty bitmap flags {flags:#04x}") as caught:
        bitmaps(h.bitmap_start() + h.bitmap_record(flags))
    assert caught.value.offset == len(h.bitmap_start())


@pytest.mark.parametrize(
    "payload, text",
    [
        (h.bitmap_complete(), "without the names"),
        (h.bitmap_start(node=None), "without the names"),
        (h.bitmap_start() * 2, "'disk0/bitmap0' is announced twice"),
        (h.bitmap_bits(node="disk0", name="b"), "'disk0/b' was not announced"),
        (h.bitmap_complete(node="disk0", name="b"), "'disk0/b' was not announced"),
        (h.bitmap_start(0), "granularity of 0 "),
        (h.bitmap_start(65537), "granularity of 65537 "),
    ],
)
def test_records_that_make_no_sense_are_refused(payload: bytes, text: str) -> None:
    with pytest.raises(FormatError, match=text):
        bitmaps(payload + h.bitmap_eos())


@pytest.mark.parametrize("length", [33, 1 << 32, (1 << 64) - 1])
def test_bits_that_are_cut_off_are_truncated(length: int) -> None:
    start = h.bitmap_start()
    with pytest.raises(TruncatedError, match=f"expected {length} bytes") as caught:
        bitmaps(start + h.bitmap_bits(bytes(26), length=length))
    assert caught.value.offset == len(start) + 21


def test_an_absurd_number_of_bitmaps_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dirty_bitmap, "MAX_BITMAPS", 3)
    starts = b"".join(h.bitmap_start(name=f"{number}") for number in range(4))
    with pytest.raises(UnsupportedError, match="more than 3 bitmaps"):
        bitmaps(starts)


@given(
    names=st.lists(st.text("abc", min_size=1, max_size=3), min_size=1, max_size=5, unique=True),
    sizes=st.lists(st.tuples(st.integers(0, 4), st.integers(0, 99)), max_size=20),
)
def test_what_is_sent_of_each_bitmap_is_counted(
    names: list[str], sizes: list[tuple[int, int]]
) -> None:
    starts = b"".join(h.bitmap_start(name=name) for name in names) + h.bitmap_eos()
    sent = dict.fromkeys(names, 0)
    bits = b""
    for number, size in sizes:
        name = names[number % len(names)]
        sent[name] += size
        bits += h.bitmap_bits(bytes(size), node="disk0", name=name)
    found = bitmaps(starts, bits + h.bitmap_eos())
    assert {bitmap.name: bitmap.data_bytes for bitmap in found} == sent


def test_bitmaps_of_real_streams_are_those_that_qemu_named(
    real_streams: list[RealStream],
) -> None:
    checked = 0
    for stream in real_streams:
        if "bitmaps" not in stream.expected:
            continue
        checked += 1
        expected = {
            (bitmap["node"], bitmap["name"], bitmap["granularity"], bitmap["recording"])
            for bitmap in stream.expected["bitmaps"]
        }
        with open_snapshot(stream.path) as snapshot:
            (state,) = [state for state in snapshot.handlers if state.name == "dirty-bitmap"]
        assert isinstance(state.content, DirtyBitmapContent)
        found = state.content.bitmaps
        assert {(b.node, b.name, b.granularity, b.enabled) for b in found} == expected
        assert all(bitmap.complete and not bitmap.persistent for bitmap in found)
        # Only those that recorded when the disk was written have bits that are set.
        assert {b.name for b in found if b.data_bytes} == {"coarse", "fine"}
    assert checked == 2
