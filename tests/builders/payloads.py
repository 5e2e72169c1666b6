"""Payloads of one handler, read without a stream around them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from builders.sources import both_sources
from vmstate_tools.handlers.cursor import Cursor

if TYPE_CHECKING:
    from collections.abc import Callable

    from vmstate_tools.handlers.table import Content, StateReader


def read_payloads(make_reader: Callable[[], StateReader], *payloads: bytes) -> Content:
    """Read the payloads of one handler's sections, as a map and as a pipe.

    Offsets in errors count from the beginning of the last payload.
    """
    contents: list[Content] = []
    for reader in (make_reader(), make_reader()):
        turn = len(contents)
        for payload in payloads:
            cursor = Cursor(both_sources(payload + b"behind")[turn], 0, "payload")
            reader.read(cursor)
            assert cursor.offset == len(payload)
        contents.append(reader.content)
    assert contents[0] == contents[1]
    return contents[0]


def read_full_payload(read: Callable[[Cursor], Content], payload: bytes) -> Content:
    """Read the payload of a device section, as a map and as a pipe."""
    cursors = [Cursor(source, 0, "payload") for source in both_sources(payload + b"behind")]
    first, second = [read(cursor) for cursor in cursors]
    assert first == second
    assert [cursor.offset for cursor in cursors] == [len(payload)] * 2
    return first
