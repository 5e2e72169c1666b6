"""Payload readers for tests of the walker alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vmstate_tools.core.errors import FormatError

if TYPE_CHECKING:
    from vmstate_tools.core.source import ByteSource
    from vmstate_tools.stream.records import SectionStart


class LengthReader:
    """Passes payloads whose length is known; finds any other section damaged."""

    def __init__(self, **lengths: int) -> None:
        self.lengths = lengths
        self.seen: list[SectionStart] = []

    def read_payload(self, source: ByteSource, section: SectionStart) -> int:
        self.seen.append(section)
        if section.idstr not in self.lengths:
            raise FormatError("no length", source=source.name, offset=section.payload_offset)
        end = section.payload_offset + self.lengths[section.idstr]
        source.window(end, 0, section.idstr)
        return end
