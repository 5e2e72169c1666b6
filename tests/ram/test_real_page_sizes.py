"""Streams of real guests of other architectures, whose pages have other sizes."""

from __future__ import annotations

import hashlib
import json
import lzma
from pathlib import Path
from typing import Any

import pytest

from builders.evidence import evidence
from builders.sources import both_sources, bytes_source
from vmstate_tools.checks.ram_complete import ram_complete
from vmstate_tools.snapshot.open import read_snapshot

FIXTURES = Path(__file__).parents[1] / "fixtures/page_sizes"
NAMES = sorted(path.name for path in FIXTURES.iterdir())


def load(name: str) -> tuple[bytes, dict[str, Any]]:
    data = lzma.decompress((FIXTURES / name / "stream.xz").read_bytes())
    return data, json.loads((FIXTURES / name / "expected.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", NAMES)
def test_the_stream_is_the_one_that_was_recorded(name: str) -> None:
    data, _ = load(name)
    source = json.loads((FIXTURES / name / "source.json").read_text(encoding="utf-8"))
    assert hashlib.sha256(data).hexdigest() == source["sha256"]


@pytest.mark.parametrize("name", NAMES)
def test_the_page_size_is_found_and_no_page_is_lost(name: str) -> None:
    data, expected = load(name)
    seen = evidence(data)
    index = seen.snapshot.ram
    assert index.page_size == expected["page_size"]
    counts = [index.counts(block.name) for block in index.blocks]
    assert sum(count.stored for count in counts) == expected["records"]["stored"]
    assert sum(count.zero for count in counts) == expected["records"]["zero"]
    assert list(ram_complete(seen)) == []


@pytest.mark.parametrize("name", NAMES)
def test_on_a_pipe_the_first_pages_tell_their_size(name: str) -> None:
    data, expected = load(name)
    for source in both_sources(data):
        assert read_snapshot(source).ram.page_size == expected["page_size"]


@pytest.mark.parametrize("name", NAMES)
def test_memory_is_what_the_guest_had(name: str) -> None:
    data, expected = load(name)
    place = expected["memory"]
    memory = read_snapshot(bytes_source(data)).memory
    content = memory.read(place["block"], place["offset"], place["length"])
    assert any(content)
    assert hashlib.sha256(content).hexdigest() == place["sha256"]
