"""The state of devices of the host that the guest uses (VFIO): opaque, but it has lengths."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from vmstate_tools.handlers.wire import WORD, VfioTag

if TYPE_CHECKING:
    from vmstate_tools.handlers.cursor import Cursor

IDSTR = "vfio"
"""Behind the path of the device and a slash, where it has one."""

LAST_TAGS = {VfioTag.END_OF_STATE, VfioTag.INIT_DATA_SENT}
"""INIT_DATA_SENT, with the capability switchover-ack, has no END_OF_STATE behind it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VfioContent:
    """What the iterative sections hold; the configuration of the device is in a FULL section."""

    data_bytes: int


class VfioReader:
    """Counts the bytes of the state."""

    def __init__(self) -> None:
        self._data_bytes = 0

    @property
    def content(self) -> VfioContent:
        """What has been read until now."""
        return VfioContent(data_bytes=self._data_bytes)

    def read(self, cursor: Cursor) -> None:
        """Read one section.

        Raises:
            TruncatedError: the data ends before the tag of the end.
            UnsupportedError: a tag that does not exist.
        """
        tag = VfioTag.SETUP_STATE
        while tag not in LAST_TAGS:
            (tag,) = cursor.take(WORD)
            if tag == VfioTag.DATA_STATE:
                (length,) = cursor.take(WORD)
                self._data_bytes += length
                cursor.skip(length)
            elif tag not in LAST_TAGS and tag != VfioTag.SETUP_STATE:
                raise cursor.unsupported(f"tag {tag:#018x} in the state of a VFIO device")
