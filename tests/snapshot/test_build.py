from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import pytest

from builders import stream as build
from stream_parts import parts_of
from vmstate_tools.core.errors import UsageError
from vmstate_tools.snapshot.build import (
    DeviceState,
    StreamParts,
    iter_memory,
    write_stream,
)
from vmstate_tools.snapshot.open import open_snapshot

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import RealStream

P = 4096
TIMER = build.Device()
DEVICES = [
    DeviceState(section_id=0, idstr="timer", instance_id=0, version_id=2, payload=TIMER.payload)
]


def built(**parts: Any) -> bytes:
    standard: dict[str, Any] = {
        "machine": "pc-i440fx-7.2",
        "page_size": P,
        "blocks": {},
        "memory": (),
        "devices": (),
    }
    out = io.BytesIO()
    length = write_stream(StreamParts(**(standard | parts)), out)
    assert length == len(out.getvalue())
    return out.getvalue()


def test_stream_has_all_its_parts() -> None:
    text = b'{"page_size": 4096, "devices": []}'
    found = built(
        page_bits=12,
        capabilities=("x-ignore-shared", "y"),
        uuid="00010203-0405-0607-0809-0a0b0c0d0e0f",
        blocks={"pc.ram": 3 * P},
        memory=[("pc.ram", 0, build.page(1) + bytes(P)), ("pc.ram", 2 * P, build.page(2))],
        devices=DEVICES,
        description=text,
    )
    subsections = build.page_bits(12) + build.capabilities("x-ignore-shared", "y") + build.uuid()
    ram = build.ram_sections({"pc.ram": [build.page(1), b"", build.page(2)]}, end=True)
    front = build.header() + build.configuration(subsections=subsections)
    assert found == front + ram + TIMER.section() + build.eof() + build.description(text)


def test_stream_of_an_old_machine_has_neither_configuration_nor_footers() -> None:
    found = built(machine=None, footers=False, devices=DEVICES, blocks={"r": P})
    start = build.section(build.START, build.ram_setup({"r": P}) + build.ram_eos(), footers=False)
    rest = [build.section(kind, build.ram_eos(), footers=False) for kind in (build.PART, build.END)]
    device = TIMER.section(footers=False)
    assert found == build.header() + start + b"".join(rest) + device + build.eof()


def test_memory_can_come_from_a_reader() -> None:
    content = {"a": build.page(1) * 300, "b": bytes(P)}
    sizes = {name: len(data) for name, data in content.items()}
    parts = list(iter_memory(sizes, lambda name, start, size: content[name][start : start + size]))
    assert [(name, offset) for name, offset, _ in parts] == [("a", 0), ("a", 1 << 20), ("b", 0)]
    assert b"".join(bytes(data) for _, _, data in parts) == content["a"] + content["b"]


@pytest.mark.parametrize(
    "parts, expected",
    [
        ({"machine": "m" * 256}, "a name of 256 bytes"),
        ({"blocks": {"b" * 256: P}}, "a name of 256 bytes"),
        ({"blocks": {"r": 100}}, "block r has 100 bytes"),
        ({"memory": [("nobody", 0, bytes(P))]}, "block nobody, which is not one"),
        ({"blocks": {"r": P}, "memory": [("r", P, bytes(P))]}, "4096 bytes at 0x1000 of block r"),
        ({"blocks": {"r": P}, "memory": [("r", 1, bytes(P))]}, "expected whole pages"),
        ({"blocks": {"r": P}, "memory": [("r", -P, bytes(P))]}, "expected whole pages"),
        ({"blocks": {"r": P}, "memory": [("r", 0, bytes(5))]}, "expected whole pages"),
    ],
)
def test_parts_that_do_not_fit_are_refused(parts: dict[str, object], expected: str) -> None:
    with pytest.raises(UsageError, match=expected):
        built(**parts)


def test_real_stream_can_be_taken_apart_and_built_again(
    real_stream: RealStream, tmp_path: Path
) -> None:
    with open_snapshot(real_stream.path) as before:
        parts = parts_of(before)
        with (tmp_path / "built").open("wb") as out:
            write_stream(parts, out)
        with open_snapshot(tmp_path / "built") as after:
            again = parts_of(after)
            for name, size in parts.blocks.items():
                assert after.memory.read(name, 0, size) == before.memory.read(name, 0, size)
                assert after.ram.counts(name).repeated == 0
    assert (again.machine, again.uuid, again.page_bits) == (
        parts.machine,
        parts.uuid,
        parts.page_bits,
    )
    assert (again.devices, again.description) == (parts.devices, parts.description)
