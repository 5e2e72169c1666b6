"""Names that users give to devices and fields: `cpu#0`, `cpu#0::env.segs[2]::base`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING

from vmstate_tools.core.errors import UsageError
from vmstate_tools.device.values import NumberArray, Value, ValueList, ValueStruct

if TYPE_CHECKING:
    from collections.abc import Iterable

    from vmstate_tools.device.decode import DecodedDevice
    from vmstate_tools.device.vmdesc import Device, Vmdesc

SEPARATOR = "::"
NEAR_COUNT = 5
"""How many names a message suggests."""

_SUBSCRIPT = re.compile(r"\[(\d{1,18})\]$")


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldPath:
    """A field of a device, as a user names it."""

    device: str
    """`IDSTR` or `IDSTR#INSTANCE`."""
    names: tuple[str, ...]
    """From the outside in; each may end in `[i]`."""


def parse_field_path(text: str) -> FieldPath:
    """Split `DEVICE::NAME::NAME...`; an idstr may hold single colons.

    Raises:
        UsageError: not of that form.
    """
    device, *names = text.split(SEPARATOR)
    if not device or not names or not all(names):
        raise UsageError(f"{text}: not a field (expected DEVICE::NAME, as in cpu#0::env.eip)")
    return FieldPath(device=device, names=tuple(names))


def select_devices(vmdesc: Vmdesc, name: str) -> tuple[Device, ...]:
    """Find the devices that `IDSTR` (all instances) or `IDSTR#INSTANCE` names; at least one.

    Raises:
        UsageError: there is none.
    """
    found = tuple(device for device in vmdesc.devices if name in {device.name, device.label})
    if not found:
        labels = (device.label for device in vmdesc.devices)
        raise UsageError(f"no device {name}{_near(name, labels)}")
    return found


def select_device(vmdesc: Vmdesc, name: str) -> Device:
    """Find the one device that `name` means.

    Raises:
        UsageError: there is none, or there are several.
    """
    found = select_devices(vmdesc, name)
    if len(found) > 1:
        labels = _listed([device.label for device in found])
        raise UsageError(f"{name} is {len(found)} devices: {labels}")
    return found[0]


def find_field(device: DecodedDevice, path: FieldPath) -> Value:
    """Find a value by its path.

    Raises:
        UsageError: there is no such field; the message lists names like it.
    """
    value: Value = device.values
    walked = device.label
    for name in path.names:
        value = _find_member(value, name, walked)
        walked += SEPARATOR + name
    return value


def _find_member(value: Value, name: str, walked: str) -> Value:
    if not isinstance(value, ValueStruct):
        raise UsageError(f"{walked} is no structure, so it has no {name}")
    # Some names end in brackets themselves (`config[0]`), so the longest that is there counts.
    indexes: list[int] = []
    plain_name = name
    while plain_name not in value.members:
        subscript = _SUBSCRIPT.search(plain_name)
        if subscript is None:
            raise UsageError(f"{walked} has no field {name}{_near(plain_name, value.members)}")
        indexes.insert(0, int(subscript[1]))
        plain_name = plain_name[: subscript.start()]
    found = value.members[plain_name]
    walked += SEPARATOR + plain_name
    for index in indexes:
        found = _find_element(found, index, walked)
        walked += f"[{index}]"
    return found


def _find_element(value: Value, index: int, walked: str) -> Value:
    if isinstance(value, NumberArray):
        count = len(value.numbers)
        if index < count:
            return value.element(index)
    elif isinstance(value, ValueList):
        count = len(value.elements)
        if index < count:
            return value.elements[index]
    else:
        raise UsageError(f"{walked} is no array, so it has no element {index}")
    raise UsageError(f"{walked} has {count} elements, so it has no element {index}")


def _near(name: str, names: Iterable[str]) -> str:
    known = list(names)
    near = get_close_matches(name, known, n=NEAR_COUNT, cutoff=0.5) or known
    return f" (there are {_listed(near)})" if near else ""


def _listed(names: list[str]) -> str:
    more = [f"{len(names) - NEAR_COUNT} more"] if len(names) > NEAR_COUNT else []
    return ", ".join([*names[:NEAR_COUNT], *more])
