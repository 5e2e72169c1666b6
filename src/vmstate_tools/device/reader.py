"""Past the payload of a device: where it ends, without decoding it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vmstate_tools.core.errors import FormatError, TruncatedError, UnsupportedError
from vmstate_tools.device.tree import NULL_BYTE, subsection_header

if TYPE_CHECKING:
    from vmstate_tools.core.source import ByteSource
    from vmstate_tools.device.extent import Extent, NullArray
    from vmstate_tools.device.vmdesc import Vmdesc
    from vmstate_tools.stream.records import SectionStart

CHUNK_BYTES = 64 << 10
"""How much of an array of null pointers to look at in one go."""


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
                field=section.label,
            )
        return _find_end(source, section, device.extent, section.payload_offset)


def _find_end(source: ByteSource, section: SectionStart, extent: Extent, start: int) -> int:
    end = start + extent.fields_size
    left = source.size_to_end() - start
    if extent.fields_size > left:
        raise TruncatedError(
            f"the data ends {extent.fields_size - left} bytes too early "
            f"(expected {extent.fields_size} bytes)",
            source=source.name,
            offset=start,
            field=section.label,
        )
    for array in extent.null_arrays:
        _check_all_null(source, section, start, array)
    for subsection in extent.subsections:
        header = subsection_header(subsection.name, subsection.version)
        if source.read_at(end, len(header), section.label) != header:
            raise FormatError(
                f"no subsection {subsection.name} of version {subsection.version} begins here",
                source=source.name,
                offset=end,
                field=section.label,
            )
        end = _find_end(source, section, subsection.body, end + len(header))
    return end


def _check_all_null(
    source: ByteSource, section: SectionStart, start: int, array: NullArray
) -> None:
    end = start + array.start + array.count
    for position in range(start + array.start, end, CHUNK_BYTES):
        length = min(CHUNK_BYTES, end - position)
        chunk = bytes(source.read_at(position, length, section.label))
        null_count = length - len(chunk.lstrip(bytes([NULL_BYTE])))
        if null_count != length:
            raise UnsupportedError(
                "a pointer that is not null, in an array of which QEMU before 10.0 describes only "
                "the first: nothing tells where the data of this device ends",
                source=source.name,
                offset=position + null_count,
                field=section.label,
            )
