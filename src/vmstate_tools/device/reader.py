"""Past the payload of a device: where it ends, without decoding it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from vmstate_tools.core.errors import FormatError, TruncatedError, UnsupportedError
from vmstate_tools.device.tree import NULL_BYTE, subsection_header

if TYPE_CHECKING:
    from vmstate_tools.core.source import ByteSource
    from vmstate_tools.device.extent import Extent, NullArray
    from vmstate_tools.device.vmdesc import Device, Vmdesc
    from vmstate_tools.stream.records import SectionStart

MAX_RESYNC_BYTES = 16 << 20
"""How far to look for the end of a payload. Real ones that need it have a few KiB."""

CHUNK_BYTES = 64 << 10
"""How much of an array of null pointers to look at in one go."""

FOOTER = b"\x7e"
FULL = b"\x04"
EOF = b"\x00"


class DeviceReader:
    """Reads past the payloads of FULL sections by the sizes in the description."""

    def __init__(self, vmdesc: Vmdesc) -> None:
        self._vmdesc = vmdesc

    def read_payload(self, source: ByteSource, section: SectionStart) -> int:
        """Return the end of the payload of `section`.

        Raises:
            TruncatedError: the payload goes on behind the end of the source.
            FormatError: a subsection that the description has is not there.
            UnsupportedError: the description does not have the device, or does not tell where
                it ends.
        """
        device = self._vmdesc.find_device(section.idstr, section.instance_id)
        if device is None:
            raise UnsupportedError(
                "the description does not have this device: nothing tells where its data ends",
                source=source.name,
                offset=section.offset,
                field=_field(section),
            )
        end = _find_end(source, section, device.extent, section.payload_offset)
        return self._resynchronise(source, section, device) if end is None else end

    def _resynchronise(self, source: ByteSource, section: SectionStart, device: Device) -> int:
        """Find the footer of this section with the header of the next one behind it.

        Descriptions list all FULL sections in their order, so the next one is known.
        """
        start = section.payload_offset
        footer = FOOTER + section.section_id.to_bytes(4, "big")
        following = self._vmdesc.find_next(device)
        if following is None:
            pattern = re.escape(footer + EOF)
        else:
            name = following.name.encode()
            identity = bytes([len(name) & 0xFF]) + name + following.instance_id.to_bytes(4, "big")
            pattern = re.escape(footer + FULL) + b".{4}" + re.escape(identity)
        length = min(source.size_to_end() - start, MAX_RESYNC_BYTES)
        match = re.search(pattern, source.read_at(start, length, section.idstr), re.DOTALL)
        if match is None:
            raise UnsupportedError(
                "an array of pointers that QEMU before 10.0 describes by its first element only, "
                f"and no end of the section within {length} bytes",
                source=source.name,
                offset=start,
                field=_field(section),
            )
        return start + match.start()


def _find_end(source: ByteSource, section: SectionStart, extent: Extent, start: int) -> int | None:
    """Return where a structure ends; None if its description does not tell."""
    end = start + extent.fields_size
    left = source.size_to_end() - start
    if extent.fields_size > left:
        raise TruncatedError(
            f"the data ends {extent.fields_size - left} bytes too early "
            f"(expected {extent.fields_size} bytes)",
            source=source.name,
            offset=start,
            field=_field(section),
        )
    if not all(_is_all_null(source, start, array) for array in extent.null_arrays):
        return None
    for subsection in extent.subsections:
        header = subsection_header(subsection.name, subsection.version)
        found = source.read_at(end, len(header), _field(section))
        if found != header:
            raise FormatError(
                f"no subsection {subsection.name} of version {subsection.version} begins here",
                source=source.name,
                offset=end,
                field=_field(section),
            )
        body_end = _find_end(source, section, subsection.body, end + len(header))
        if body_end is None:
            return None
        end = body_end
    return end


def _is_all_null(source: ByteSource, start: int, array: NullArray) -> bool:
    end = start + array.start + array.count
    for position in range(start + array.start, end, CHUNK_BYTES):
        length = min(CHUNK_BYTES, end - position)
        chunk = bytes(source.read_at(position, length, "nullptr"))
        if chunk.count(NULL_BYTE) != length:
            return False
    return True


def _field(section: SectionStart) -> str:
    return f'section {section.section_id} "{section.idstr}"/{section.instance_id}'
