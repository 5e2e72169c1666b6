"""From what builders/vmdesc.py writes to what the package makes of it, as a stream would go."""

from __future__ import annotations

from typing import TYPE_CHECKING

from builders.vmdesc import described_device, structure, vmdesc
from vmstate_tools.core.source import BytesSource
from vmstate_tools.device.decode import DecodedDevice, decode_device
from vmstate_tools.device.vmdesc import Device, parse_vmdesc

if TYPE_CHECKING:
    from builders.vmdesc import Field, JsonObject, Structure

NAME = "guest.mig"
BEFORE = b"what comes before"
AFTER = b"0what comes behind"


def parse_device(described: JsonObject) -> Device:
    """Parse a description of one device that stands at offset 1000."""
    (device,) = parse_vmdesc(vmdesc([described]), NAME, 1000).devices
    return device


def decode(content: Structure, payload: bytes | None = None) -> DecodedDevice:
    """Decode a device; `payload` is what stands in its place in the stream, if not its own."""
    data = content.payload if payload is None else payload
    source = BytesSource(BEFORE + data + AFTER, NAME)
    device = parse_device(described_device(content, name="dev"))
    return decode_device(source, device, len(BEFORE), len(BEFORE) + len(data))


def decode_fields(*fields: Field, payload: bytes | None = None) -> DecodedDevice:
    """Decode a device of these fields."""
    return decode(structure("dev", fields), payload)
