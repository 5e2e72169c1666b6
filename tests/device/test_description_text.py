from __future__ import annotations

import json
from typing import TYPE_CHECKING

from vmstate_tools.device.description_json import parse_json
from vmstate_tools.device.description_text import to_text
from vmstate_tools.snapshot.open import open_snapshot
from vmstate_tools.stream.records import Description

if TYPE_CHECKING:
    from conftest import RealStream

EVERYTHING = '{"a": [1, -2, "x\\u00e9\\n", []], "b": {}, "a": {"again": true}, "c": null}'


def test_text_is_what_was_parsed() -> None:
    assert to_text(parse_json(EVERYTHING.encode())) == EVERYTHING


def test_empty_object_is_one() -> None:
    assert json.loads(to_text(())) == {}


def test_text_of_qemu_is_what_was_parsed(real_stream: RealStream) -> None:
    with open_snapshot(real_stream.path) as snapshot:
        for record in snapshot.records:
            if isinstance(record, Description):
                length = record.end - record.json_offset
                text = bytes(snapshot.source.read_at(record.json_offset, length, "description"))
                assert to_text(parse_json(text)).encode() == text
