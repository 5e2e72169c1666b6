"""What is said of handlers beside `ram` that have no named fields: a row for each thing held."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from vmstate_tools.handlers.block import BlockContent
from vmstate_tools.handlers.dirty_bitmap import DirtyBitmap, DirtyBitmapContent
from vmstate_tools.handlers.hash_table import HashTableContent
from vmstate_tools.handlers.s390_full import ClockContent, StorageKeysContent
from vmstate_tools.handlers.storage_attributes import StorageAttributesContent
from vmstate_tools.handlers.vfio import VfioContent
from vmstate_tools.reports.text import count_text, printable, size_text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from vmstate_tools.handlers.table import HandlerState

SECTOR_BYTES = 512


def handler_json(state: HandlerState) -> dict[str, Any]:
    """Make the JSON object of one handler; what it holds is under `content`."""
    return {
        "name": state.name,
        "instance_id": state.instance_id,
        "version_id": state.version_id,
        "section_id": state.section_id,
        "content": None if state.content is None else asdict(state.content),
        "problem": None if state.problem is None else str(state.problem),
    }


def handler_lines(state: HandlerState) -> Iterator[tuple[str, str]]:
    """Yield rows: the name of the handler and what it holds."""
    name = f"{state.name}#{state.instance_id}" if state.instance_id else state.name
    if state.content is None:
        yield printable(name), f"! {printable(str(state.problem))}"
        return
    for line in LINES[type(state.content)](state.content) or ["nothing"]:
        yield printable(name), printable(line)


def _disk_lines(content: BlockContent) -> list[str]:
    return [
        f"disk {disk.name or 'without a name'}: {size_text(disk.stored_bytes)} stored, "
        f"{size_text(disk.zero_bytes)} zero"
        for disk in content.disks
    ]


def _bitmap_lines(content: DirtyBitmapContent) -> list[str]:
    return [line for bitmap in content.bitmaps for line in _lines_of_bitmap(bitmap)]


def _lines_of_bitmap(bitmap: DirtyBitmap) -> Iterator[str]:
    words = [
        f"bitmap {bitmap.node}/{bitmap.name}: granularity {size_text(bitmap.granularity)}",
        "enabled" if bitmap.enabled else "disabled",
        *(["persistent"] if bitmap.persistent else []),
    ]
    yield ", ".join(words)
    clean = size_text(bitmap.zero_sectors * SECTOR_BYTES)
    ending = "" if bitmap.complete else ", not complete"
    yield f"  {size_text(bitmap.data_bytes)} of bits, {clean} of the disk clean{ending}"


def _hash_table_lines(content: HashTableContent) -> list[str]:
    if content.table_bytes is None:
        return ["no hash table: the guest uses radix trees"]
    table = f"hash table of {size_text(content.table_bytes)}"
    return [
        f"{table}, {content.stored_entries:,} entries stored, {content.invalid_entries:,} invalid"
    ]


def _attribute_lines(content: StorageAttributesContent) -> list[str]:
    ending = "" if content.done else ", not complete"
    return [f"attributes of {count_text(content.attribute_bytes, 'page')}{ending}"]


def _vfio_lines(content: VfioContent) -> list[str]:
    return [f"{size_text(content.data_bytes)} of device state"]


def _key_lines(content: StorageKeysContent) -> list[str]:
    return [f"keys of {count_text(content.page_count, 'page')}"]


def _clock_lines(content: ClockContent) -> list[str]:
    return ["no clock value" if content.value is None else f"clock value {content.value:#x}"]


# Which function takes which content is what this table says, and no type can.
LINES: Mapping[type, Callable[[Any], list[str]]] = {
    BlockContent: _disk_lines,
    DirtyBitmapContent: _bitmap_lines,
    HashTableContent: _hash_table_lines,
    StorageAttributesContent: _attribute_lines,
    VfioContent: _vfio_lines,
    StorageKeysContent: _key_lines,
    ClockContent: _clock_lines,
}
