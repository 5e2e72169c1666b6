from __future__ import annotations

import pytest

from builders import handlers as h
from builders.payloads import read_payloads
from builders.stream import be64
from vmstate_tools.core.errors import TruncatedError, UnsupportedError
from vmstate_tools.handlers.vfio import VfioContent, VfioReader


def test_state_is_counted_through_all_sections() -> None:
    found = read_payloads(
        VfioReader,
        h.vfio_setup() + h.vfio_end(),
        h.vfio_data(b"12345") + h.vfio_data(b"678") + h.vfio_end(),
        h.vfio_data(b"9") + h.vfio_data() + h.vfio_end(),
    )
    assert found == VfioContent(data_bytes=9)


def test_a_section_may_end_with_the_initial_data() -> None:
    found = read_payloads(VfioReader, h.vfio_data(b"1") + be64(h.VFIO_INIT_SENT))
    assert found == VfioContent(data_bytes=1)


@pytest.mark.parametrize("tag", [0, h.VFIO_CONFIG, h.VFIO_INIT_SENT + 1])
def test_tags_that_do_not_belong_here_are_not_read(tag: int) -> None:
    with pytest.raises(UnsupportedError, match=f"tag {tag:#018x}") as caught:
        read_payloads(VfioReader, h.vfio_setup() + be64(tag))
    assert caught.value.offset == 8


def test_state_that_is_cut_off_is_truncated() -> None:
    with pytest.raises(TruncatedError) as caught:
        read_payloads(VfioReader, h.vfio_data(length=1 << 63))
    assert caught.value.offset == 16
