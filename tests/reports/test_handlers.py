from __future__ import annotations

import json

import pytest

from vmstate_tools.core.errors import FormatError
from vmstate_tools.handlers.block import BlockContent, Disk
from vmstate_tools.handlers.dirty_bitmap import DirtyBitmap, DirtyBitmapContent
from vmstate_tools.handlers.hash_table import HashTableContent
from vmstate_tools.handlers.s390_full import ClockContent, StorageKeysContent
from vmstate_tools.handlers.storage_attributes import StorageAttributesContent
from vmstate_tools.handlers.table import Content, HandlerState
from vmstate_tools.handlers.vfio import VfioContent
from vmstate_tools.reports.handlers import handler_json, handler_lines

BITMAP = DirtyBitmap(
    node="disk0",
    name="daily\x1b",
    granularity=65536,
    enabled=True,
    persistent=True,
    data_bytes=32,
    zero_sectors=2048,
    complete=False,
)


def state(
    content: Content | None, *, problem: FormatError | None = None, instance_id: int = 0
) -> HandlerState:
    return HandlerState(
        name="handler",
        instance_id=instance_id,
        version_id=1,
        section_id=3,
        content=content,
        problem=problem,
    )


@pytest.mark.parametrize(
    "content, lines",
    [
        (BlockContent(disks=()), ["nothing"]),
        (
            BlockContent(
                disks=(
                    Disk(name="a", stored_bytes=3 << 20, zero_bytes=0),
                    Disk(name="", stored_bytes=0, zero_bytes=1 << 20),
                )
            ),
            [
                "disk a: 3 MiB stored, 0 bytes zero",
                "disk without a name: 0 bytes stored, 1 MiB zero",
            ],
        ),
        (
            DirtyBitmapContent(bitmaps=(BITMAP,)),
            [
                "bitmap disk0/daily\\x1b: granularity 64 KiB, enabled, persistent",
                "  32 bytes of bits, 1 MiB of the disk clean, not complete",
            ],
        ),
        (
            HashTableContent(table_bytes=None, stored_entries=0, invalid_entries=0),
            ["no hash table: the guest uses radix trees"],
        ),
        (
            HashTableContent(table_bytes=1 << 21, stored_entries=1000, invalid_entries=2),
            ["hash table of 2 MiB, 1,000 entries stored, 2 invalid"],
        ),
        (
            StorageAttributesContent(attribute_bytes=1, done=False),
            ["attributes of 1 page, not complete"],
        ),
        (VfioContent(data_bytes=1024), ["1 KiB of device state"]),
        (StorageKeysContent(page_count=4096), ["keys of 4,096 pages"]),
        (ClockContent(value=None), ["no clock value"]),
        (ClockContent(value=255), ["clock value 0xff"]),
    ],
)
def test_every_thing_that_is_held_has_a_line(content: Content, lines: list[str]) -> None:
    assert list(handler_lines(state(content))) == [("handler", line) for line in lines]
    assert json.dumps(handler_json(state(content)))


def test_a_second_instance_is_told_apart() -> None:
    assert [name for name, _ in handler_lines(state(VfioContent(data_bytes=0), instance_id=1))] == [
        "handler#1"
    ]


def test_a_problem_takes_the_place_of_the_content() -> None:
    broken = state(None, problem=FormatError("too short", source="guest.mig", offset=16))
    assert list(handler_lines(broken)) == [("handler", "! guest.mig: byte 0x10: too short")]
    document = handler_json(broken)
    assert (document["content"], document["problem"]) == (None, "guest.mig: byte 0x10: too short")


def test_content_is_an_object_of_plain_values() -> None:
    document = handler_json(state(DirtyBitmapContent(bitmaps=(BITMAP,))))
    (bitmap,) = document["content"]["bitmaps"]
    assert bitmap["granularity"] == 65536
    assert bitmap["node"] == "disk0"
