from __future__ import annotations

import pytest

from builders import handlers as h
from builders.payloads import read_payloads
from builders.stream import be64
from vmstate_tools.core.errors import FormatError, TruncatedError, UnsupportedError
from vmstate_tools.handlers.storage_attributes import (
    StorageAttributesContent,
    StorageAttributesReader,
)


def test_attributes_are_counted_through_all_sections() -> None:
    found = read_payloads(
        StorageAttributesReader,
        h.s390_eos(),
        h.s390_bytes(bytes(5), address=0x1000) + h.s390_bytes(bytes(3)) + h.s390_eos(),
        h.s390_bytes(bytes(2)) + h.attributes_done() + h.s390_eos(),
    )
    assert found == StorageAttributesContent(attribute_bytes=10, done=True)


def test_attributes_without_an_end_are_not_done() -> None:
    found = read_payloads(StorageAttributesReader, h.s390_eos())
    assert found == StorageAttributesContent(attribute_bytes=0, done=False)


def test_what_qemu_could_not_read_is_damaged() -> None:
    with pytest.raises(FormatError, match="QEMU says that the storage attributes are incomplete"):
        read_payloads(StorageAttributesReader, h.s390_error() + h.s390_eos())


@pytest.mark.parametrize("flags", [0, 3, 0x10, 0x800])
def test_flags_that_do_not_exist_are_not_read(flags: int) -> None:
    with pytest.raises(UnsupportedError, match=f"attribute flags {flags:#x}"):
        read_payloads(StorageAttributesReader, be64(0x5000 | flags))


@pytest.mark.parametrize("count", [10, 1 << 40, (1 << 64) - 1])
def test_attributes_that_are_cut_off_are_truncated(count: int) -> None:
    with pytest.raises(TruncatedError, match=f"expected {count} bytes") as caught:
        read_payloads(StorageAttributesReader, h.s390_bytes(b"", count=count))
    assert caught.value.offset == 16
