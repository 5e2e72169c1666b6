"""Arrays of pointers, most of them null: real streams of both QEMUs (scripts/fixtures/s390.py)."""

from __future__ import annotations

import lzma
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from vmstate_tools.core.errors import UnsupportedError
from vmstate_tools.core.source import BytesSource
from vmstate_tools.device.decode import UNDECODED
from vmstate_tools.snapshot.open import Device, Snapshot, read_snapshot

if TYPE_CHECKING:
    from vmstate_tools.device.decode import DecodedDevice

FIXTURES = Path(__file__).parents[1] / "fixtures/s390"


def read(version: str) -> Snapshot:
    data = lzma.decompress((FIXTURES / f"css-{version}/stream.xz").read_bytes())
    return read_snapshot(BytesSource(data, version))


def decode(snapshot: Snapshot, device: Device) -> DecodedDevice:
    decoded = snapshot.decode(device)
    assert decoded is not None
    return decoded


def css(snapshot: Snapshot) -> Device:
    (device,) = (device for device in snapshot.devices if device.name == "s390_css")
    return device


def test_null_pointers_and_structs_are_one_array() -> None:
    snapshot = read("10.0")
    decoded = decode(snapshot, css(snapshot))
    assert decoded.problems == ()
    images = decoded.values.to_plain()["css"]
    assert isinstance(images, list)
    assert images[:254] == [None] * 254
    assert isinstance(images[254], dict)
    assert list(images[254]) == ["chpids"]
    assert images[255:] == [None]


def test_an_array_that_old_qemu_described_by_its_first_null_is_passed_and_reported() -> None:
    snapshot = read("7.2")
    device = css(snapshot)
    assert isinstance(device.problem, UnsupportedError)
    decoded = decode(snapshot, device)
    (problem,) = decoded.problems
    assert problem.is_known_gap
    assert problem.path == "css[254]"
    assert problem.offset == device.problem.offset
    values = decoded.values.to_plain()
    assert values["do_crw_mchk"] is True
    rest = values[UNDECODED]
    assert isinstance(rest, str)
    assert len(rest) // 2 == 254 + 768 + 1 + 1  # the array, then default_cssid
    assert bytes.fromhex(rest)[-1] == 0xFE


@pytest.mark.parametrize("version", ["7.2", "10.0"])
def test_no_other_device_has_a_problem(version: str) -> None:
    snapshot = read(version)
    others = [device for device in snapshot.devices if device.name != "s390_css"]
    assert len(others) > 10
    for device in others:
        assert device.problem is None
        assert decode(snapshot, device).problems == ()


@pytest.mark.parametrize("version", ["7.2", "10.0"])
def test_handlers_without_a_vmsd_are_bytes(version: str) -> None:
    snapshot = read(version)
    (clock,) = (device for device in snapshot.devices if device.name == "todclock")
    data = decode(snapshot, clock).values.to_plain()["data"]
    assert isinstance(data, str)
    assert data.startswith("01")
    assert len(data) == 2 * 10
