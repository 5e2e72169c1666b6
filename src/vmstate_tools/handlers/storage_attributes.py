"""The storage attributes of s390x guests (CMMA): a byte for every page."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from vmstate_tools.handlers.wire import S390_FLAG_MASK, WORD, AttributesFlag

if TYPE_CHECKING:
    from vmstate_tools.handlers.cursor import Cursor


@dataclass(frozen=True, slots=True, kw_only=True)
class StorageAttributesContent:
    """What the stream holds. An attribute may have been sent more than once."""

    attribute_bytes: int
    """One for each page that was sent."""
    done: bool
    """Whether the stream says that nothing follows."""


class StorageAttributesReader:
    """Counts attributes."""

    def __init__(self) -> None:
        self._attribute_bytes = 0
        self._done = False

    @property
    def content(self) -> StorageAttributesContent:
        """What has been read until now."""
        return StorageAttributesContent(attribute_bytes=self._attribute_bytes, done=self._done)

    def read(self, cursor: Cursor) -> None:
        """Read the records of one section.

        Raises:
            TruncatedError: the data ends before the end-of-section word.
            FormatError: QEMU says that it could not read the attributes.
            UnsupportedError: flags that do not exist.
        """
        while True:
            (word,) = cursor.take(WORD)
            flags = word & S390_FLAG_MASK
            if flags == AttributesFlag.EOS:
                return
            if flags == AttributesFlag.MORE:
                (count,) = cursor.take(WORD)
                self._attribute_bytes += count
                cursor.skip(count)
            elif flags == AttributesFlag.DONE:
                self._done = True
            elif flags == AttributesFlag.ERROR:
                raise cursor.damaged("QEMU says that the storage attributes are incomplete")
            else:
                raise cursor.unsupported(f"storage attribute flags {flags:#x}")
