"""Our values are those that QEMU's own scripts/analyze-migration.py found in the same streams.

What it found is recorded beside the streams (scripts/fixtures/analyzed.py), because the script is
in no package: fetching QEMU's source takes longer than all these tests.
"""

from __future__ import annotations

import hashlib
import json
import lzma
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from vmstate_tools.core.source import BytesSource
from vmstate_tools.device.values import Leaf, NumberArray, Value, ValueList, ValueStruct
from vmstate_tools.snapshot.open import Snapshot, read_snapshot

if TYPE_CHECKING:
    from collections.abc import Iterator

FIXTURES = Path(__file__).parents[1] / "fixtures"
ANALYZED = sorted(path.parent for path in FIXTURES.rglob("analyzed.json.xz"))

SHOWN_AS_BYTES = {
    "fpreg_tmp": "a `tmp`, which it does not look into",
    "qtailq": "it does not look into lists",
    "qlist": "likewise",
    "pci irq state": "it has no reader for the type",
    "msix state": "likewise",
    "timer": "likewise",
}
"""Types, or vmsd names, of which it shows the bytes, and we show values."""


@pytest.fixture(params=[folder.relative_to(FIXTURES).as_posix() for folder in ANALYZED])
def analyzed(request: pytest.FixtureRequest) -> tuple[bytes, dict[str, Any]]:
    """A stream, and what the script found in it."""
    folder = FIXTURES / str(request.param)
    data = lzma.decompress((folder / "stream.xz").read_bytes())
    found = json.loads(lzma.decompress((folder / "analyzed.json.xz").read_bytes()))
    assert found["sha256"] == hashlib.sha256(data).hexdigest(), "run scripts/fixtures/analyzed.py"
    return data, found["devices"]


def differences(value: Value, shown: object, path: str, stream: bytes) -> Iterator[str]:
    """Yield where the two disagree; what the script shows as bytes must be the bytes."""
    if isinstance(value, ValueStruct) and isinstance(shown, dict):
        if list(value.members) != list(shown):
            yield f"{path}: {list(value.members)} and {list(shown)}"
        for name, member in value.members.items():
            yield from differences(member, shown.get(name), f"{path}::{name}", stream)
    elif isinstance(value, ValueList | NumberArray) and isinstance(shown, list):
        elements = elements_of(value)
        if len(elements) != len(shown):
            yield f"{path}: {len(elements)} elements and {len(shown)}"
        for index, (element, item) in enumerate(zip(elements, shown, strict=False)):
            yield from differences(element, item, f"{path}[{index}]", stream)
    elif not agree(value, shown, stream):
        yield f"{path}: {value.to_plain()} and {shown}"


def elements_of(value: ValueList | NumberArray) -> list[Value]:
    if isinstance(value, ValueList):
        return list(value.elements)
    return [value.element(index) for index in range(len(value.numbers))]


def agree(value: Value, shown: object, stream: bytes) -> bool:
    if not isinstance(shown, str):
        return isinstance(value, Leaf) and value.content is shown
    if value.type_name in SHOWN_AS_BYTES:
        return bytes.fromhex(shown) == stream[value.offset : value.offset + value.size]
    if not isinstance(value, Leaf):
        return False
    if value.content is None:
        return shown == "nullptr"
    if isinstance(value.content, int):
        unsigned, *signed = shown.split()  # `0xffffffff (-1)`
        modulus = 1 << value.size * 8
        return int(unsigned, 16) == value.content % modulus and signed in (
            [],
            [f"({value.content})"],
        )
    return shown.replace(" ", "") == value.to_plain()


def read(stream: bytes) -> Snapshot:
    return read_snapshot(BytesSource(stream, "stream"))


def test_every_value_is_the_one_that_qemus_script_found(
    analyzed: tuple[bytes, dict[str, Any]],
) -> None:
    stream, found = analyzed
    snapshot = read(stream)
    keys = [f"{device.name} ({device.section_id})" for device in snapshot.devices]
    assert keys == list(found)
    for device, key in zip(snapshot.devices, keys, strict=True):
        decoded = snapshot.decode(device)
        assert decoded is not None
        assert decoded.problems == ()
        assert list(differences(decoded.values, found[key], device.label, stream)) == []


def test_the_recorded_streams_are_of_both_qemus_and_of_two_architectures() -> None:
    names = {folder.relative_to(FIXTURES).as_posix() for folder in ANALYZED}
    assert {"pc-devices-7.2", "q35-devices-10.0", "s390/css-10.0"} <= names
