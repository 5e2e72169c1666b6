from __future__ import annotations

import pytest

from builders import handlers as h
from builders.payloads import read_full_payload
from builders.stream import be64
from vmstate_tools.core.errors import FormatError, TruncatedError, UnsupportedError
from vmstate_tools.handlers.s390_full import (
    ClockContent,
    StorageKeysContent,
    read_clock,
    read_storage_keys,
)


def test_storage_keys_are_counted() -> None:
    payload = h.s390_bytes(bytes(4)) + h.s390_bytes(bytes(6), address=0x4000) + h.s390_eos()
    assert read_full_payload(read_storage_keys, payload) == StorageKeysContent(page_count=10)


def test_keys_that_qemu_could_not_read_are_damaged() -> None:
    with pytest.raises(FormatError, match="QEMU says that the storage keys are incomplete"):
        read_full_payload(read_storage_keys, h.s390_error())


@pytest.mark.parametrize("flags", [0, 3, 0x08])
def test_flags_of_keys_that_do_not_exist_are_not_read(flags: int) -> None:
    with pytest.raises(UnsupportedError, match=f"storage key flags {flags:#x}"):
        read_full_payload(read_storage_keys, be64(flags))


def test_keys_that_are_cut_off_are_truncated() -> None:
    with pytest.raises(TruncatedError):
        read_full_payload(read_storage_keys, h.s390_bytes(b"", count=(1 << 64) - 1))


def test_the_clock_has_72_bits() -> None:
    found = read_full_payload(read_clock, h.clock(high=0xFF, low=(1 << 64) - 1))
    assert found == ClockContent(value=(1 << 72) - 1)


def test_the_clock_may_be_missing() -> None:
    assert read_full_payload(read_clock, b"\0") == ClockContent(value=None)


def test_a_clock_of_another_kind_is_not_read() -> None:
    with pytest.raises(UnsupportedError, match="clock flag 0x02"):
        read_full_payload(read_clock, b"\x02" + bytes(9))
