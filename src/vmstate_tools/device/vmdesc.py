"""The description behind a stream (vmdesc): which devices there are and what they wrote.

QEMU 10.0.2 migration/savevm.c, qemu_savevm_state_complete_precopy_non_iterable().
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

from vmstate_tools.core.errors import FormatError
from vmstate_tools.device.description_json import (
    DescriptionError,
    get_count,
    get_name,
    get_object,
    get_objects,
    get_u32,
    parse_json,
)
from vmstate_tools.device.extent import Extent, measure
from vmstate_tools.device.tree import Vmsd, build_fields, build_vmsd

if TYPE_CHECKING:
    from vmstate_tools.device.description_json import JsonObject


@dataclass(frozen=True, slots=True, kw_only=True)
class TextPlace:
    """Where a description stands, for error messages."""

    source_name: str
    offset: int
    """Absolute offset of the text in bytes."""

    def error(self, error: DescriptionError) -> FormatError:
        """Say what is wrong with the description, and where."""
        path = "::".join(["vmdesc", *reversed(error.places)])
        return FormatError(
            error.problem, source=self.source_name, offset=self.offset + error.position, field=path
        )


# Not slots: the tree is built when it is first asked for, and kept.
@dataclass(frozen=True, kw_only=True)
class Device:
    """A device: one FULL section of the stream."""

    name: str
    """The idstr of its section."""
    instance_id: int
    version: int | None
    """Equal to the section's; None for handlers of the old style, which have no vmsd."""
    extent: Extent
    description: JsonObject = field(repr=False)
    place: TextPlace = field(repr=False)

    @cached_property
    def vmsd(self) -> Vmsd:
        """The tree of fields.

        Raises:
            FormatError: the description of this device is not what QEMU writes.
        """
        try:
            if self.version is not None:
                return build_vmsd(self.description)
            # slirp, s390 todclock and skeys, vfio: one buffer, no vmsd.
            fields = build_fields(get_objects(dict(self.description), "fields"))
            return Vmsd(name=self.name, version=0, fields=fields, subsections=())
        except DescriptionError as error:
            error.places.append(self.label)
            raise self.place.error(error) from error

    @property
    def label(self) -> str:
        """The name that tells it from all others: `cpu#0`."""
        return f"{self.name}#{self.instance_id}"


# Not slots: the table of names is made when it is first asked for.
@dataclass(frozen=True, kw_only=True)
class Vmdesc:
    """A whole description."""

    page_size: int
    """Target page size in bytes."""
    devices: tuple[Device, ...]
    """In the order of their sections."""
    configuration: Vmsd | None
    """The configuration section's fields; None in streams of 7.2, which do not describe them."""

    @cached_property
    def _devices_by_name(self) -> dict[tuple[str, int], Device]:
        return {(device.name, device.instance_id): device for device in self.devices}

    def find_device(self, name: str, instance_id: int) -> Device | None:
        """Find the device of a section."""
        return self._devices_by_name.get((name, instance_id))


def parse_vmdesc(text: bytes | memoryview, source_name: str, offset: int) -> Vmdesc:
    """Parse the description at absolute `offset`.

    The tree of a device is built, and checked, when Device.vmsd is asked for.

    Raises:
        FormatError: not JSON, beyond a limit, or not what QEMU writes.
    """
    place = TextPlace(source_name=source_name, offset=offset)
    try:
        members = dict(parse_json(text))
        configuration = None
        if "configuration" in members:
            configuration = build_vmsd(get_object(members, "configuration"))
        return Vmdesc(
            page_size=get_count(members, "page_size"),
            devices=tuple(
                _parse_device(device, number, place)
                for number, device in enumerate(get_objects(members, "devices"))
            ),
            configuration=configuration,
        )
    except DescriptionError as error:
        raise place.error(error) from error


def _parse_device(description: JsonObject, number: int, place: TextPlace) -> Device:
    members = dict(description)
    try:
        return Device(
            name=get_name(members, "name"),
            instance_id=get_u32(members, "instance_id"),
            version=get_u32(members, "version") if "vmsd_name" in members else None,
            extent=measure(description),
            description=description,
            place=place,
        )
    except DescriptionError as error:
        error.places.append(f"devices[{number}]")
        raise
