from __future__ import annotations

import pytest

from builders import handlers as h
from builders.payloads import read_payloads
from builders.stream import be64
from vmstate_tools.core.errors import TruncatedError, UnsupportedError
from vmstate_tools.handlers.block import MAX_DISKS, BlockContent, BlockReader, Disk

MIB = 1 << 20


def test_blocks_of_every_disk_are_counted_through_all_sections() -> None:
    content = read_payloads(
        BlockReader,
        h.block_eos(),
        h.block(0, disk="a") + h.block_zero(2048, disk="b") + h.block_eos(),
        h.block_zero(2048, disk="a") + h.block(4096, disk="a") + h.block_progress() + h.block_eos(),
    )
    assert content == BlockContent(
        disks=(
            Disk(name="a", stored_bytes=2 * MIB, zero_bytes=MIB),
            Disk(name="b", stored_bytes=0, zero_bytes=MIB),
        )
    )


def test_a_disk_may_have_no_name() -> None:
    content = read_payloads(BlockReader, h.block_zero(disk="") + h.block_eos())
    assert content == BlockContent(disks=(Disk(name="", stored_bytes=0, zero_bytes=MIB),))


def test_a_block_that_is_cut_off_is_truncated() -> None:
    with pytest.raises(TruncatedError, match="expected 1048576 bytes") as caught:
        read_payloads(BlockReader, h.block(disk="a", data=bytes(MIB - 7)))
    assert caught.value.offset == 10


@pytest.mark.parametrize("flags", [0, 0x08, 0x10, 0x100])
def test_flags_that_do_not_exist_are_not_read(flags: int) -> None:
    with pytest.raises(UnsupportedError, match=f"block flags {flags:#x}") as caught:
        read_payloads(BlockReader, h.block_progress() + be64(2048 << 9 | flags))
    assert caught.value.offset == 8


def test_an_absurd_number_of_disks_is_not_read() -> None:
    disks = b"".join(h.block_zero(disk=f"{number}") for number in range(MAX_DISKS + 1))
    with pytest.raises(UnsupportedError, match=f"more than {MAX_DISKS} disks"):
        read_payloads(BlockReader, disks)
