"""Take a stream apart, so that another can be built from its parts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vmstate_tools.snapshot.build import DeviceState, StreamParts, iter_memory

if TYPE_CHECKING:
    from vmstate_tools.snapshot.open import Snapshot


def parts_of(snapshot: Snapshot) -> StreamParts:
    """Return what a stream consists of; its pages will be in order of address."""
    configuration, description = snapshot.configuration, snapshot.description
    blocks = {block.name: block.size for block in snapshot.ram.blocks}
    text = None
    if description is not None:
        length = description.end - description.json_offset
        text = bytes(snapshot.source.read_at(description.json_offset, length, "description"))
    return StreamParts(
        machine=snapshot.machine,
        page_size=snapshot.ram.page_size,
        page_bits=configuration.page_bits if configuration else None,
        uuid=configuration.uuid if configuration else None,
        blocks=blocks,
        memory=iter_memory(blocks, snapshot.memory.read),
        devices=[
            DeviceState(
                section_id=device.section_id,
                idstr=device.name,
                instance_id=device.instance_id,
                version_id=device.version_id,
                payload=bytes(snapshot.source.read_at(device.offset, device.size, device.label)),
            )
            for device in snapshot.devices
        ],
        description=text,
        footers=snapshot.footers,
        ram_section_id=snapshot.sections[0].section_id,
    )
