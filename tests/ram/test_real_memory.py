"""Streams of real QEMUs in which memory comes in other ways than once and plain."""

from __future__ import annotations

import hashlib
import json
import lzma
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from builders.evidence import evidence
from builders.slow_memory import SlowMemory
from builders.sources import both_sources, bytes_source
from vmstate_tools.checks.mapped_bitmaps import mapped_bitmaps
from vmstate_tools.checks.order import order
from vmstate_tools.checks.page_content import page_content
from vmstate_tools.checks.ram_complete import ram_complete
from vmstate_tools.ram.index import PageKind
from vmstate_tools.snapshot.kind import Kind
from vmstate_tools.snapshot.open import Snapshot, read_snapshot
from vmstate_tools.stream.records import Command, CommandCode

FIXTURES = Path(__file__).parents[1] / "fixtures/ram"
TRAP = "mapped-background-10.0"
NAMES = sorted(path.name for path in FIXTURES.iterdir())
SOUND = [name for name in NAMES if name != TRAP]
KINDS = {
    "passes": {PageKind.STORED, PageKind.ZERO},
    "xbzrle": {PageKind.STORED, PageKind.ZERO, PageKind.PATCHED},
    "compress": {PageKind.STORED, PageKind.ZERO, PageKind.COMPRESSED},
    "xbzrle-compress": {
        *(PageKind.STORED, PageKind.ZERO, PageKind.COMPRESSED),
        PageKind.PATCHED,
    },
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    data: bytes
    expected: dict[str, Any]
    source: dict[str, Any]


def load(name: str) -> Case:
    folder = FIXTURES / name
    return Case(
        data=lzma.decompress((folder / "stream.xz").read_bytes()),
        expected=json.loads((folder / "expected.json").read_text(encoding="utf-8")),
        source=json.loads((folder / "source.json").read_text(encoding="utf-8")),
    )


def digests(snapshot: Snapshot, ranges: list[dict[str, Any]]) -> list[str]:
    """Of the given ranges of low memory, where address is offset in the block."""
    found = []
    for place in ranges:
        data = snapshot.memory.read("pc.ram", place["start"], place["end"] - place["start"])
        found.append(hashlib.sha256(data).hexdigest())
    return found


def expected_digests(case: Case) -> list[str]:
    return [place["sha256"] for place in case.expected["memory"]]


@pytest.mark.parametrize("name", NAMES)
def test_the_stream_is_the_one_that_was_recorded(name: str) -> None:
    case = load(name)
    assert hashlib.sha256(case.data).hexdigest() == case.source["sha256"]
    assert len(case.data) == case.source["bytes"]


@pytest.mark.parametrize("name", SOUND)
def test_memory_is_what_the_guest_had(name: str) -> None:
    case = load(name)
    snapshot = read_snapshot(bytes_source(case.data))
    assert digests(snapshot, case.expected["memory"]) == expected_digests(case)


@pytest.mark.parametrize("name", [name for name in SOUND if not name.startswith("mapped")])
def test_the_slow_reader_makes_the_same_of_it(name: str) -> None:
    data = load(name).data
    snapshot = read_snapshot(bytes_source(data))
    sizes = {block.name: block.size for block in snapshot.ram.blocks}
    slow = SlowMemory(sizes)
    _, *sections = [section for section in snapshot.sections if section.idstr == "ram"]
    for section in sections:
        assert slow.read(data, section.payload_offset) == section.payload_end
    for block, size in sizes.items():
        assert snapshot.memory.read(block, 0, size) == slow.content[block]


@pytest.mark.parametrize("name", SOUND)
def test_no_record_is_lost(name: str) -> None:
    case = load(name)
    snapshot = read_snapshot(bytes_source(case.data))
    blocks = case.expected["blocks"]
    assert {block.name: block.size for block in snapshot.ram.blocks} == {
        block: facts["bytes"] for block, facts in blocks.items()
    }
    counts = [snapshot.ram.counts(block) for block in blocks]
    assert not any(count.absent for count in counts)
    if snapshot.kind is Kind.PRECOPY and "compress" not in name:
        records = sum(count.total + count.repeated for count in counts)
        sent = case.expected["records"]
        assert records == sent["stored"] + sent["zero"] + len(snapshot.ram.patches)


@pytest.mark.parametrize("name", NAMES)
def test_a_pipe_is_read_alike(name: str) -> None:
    mapped, piped = [read_snapshot(source) for source in both_sources(load(name).data)]
    assert mapped.kind is piped.kind
    assert len(mapped.records) == len(piped.records)
    for block in mapped.ram.blocks:
        entries = mapped.ram.entries(block.name)
        assert (entries == piped.ram.entries(block.name)).all()


@pytest.mark.parametrize("name", [name for name in NAMES if name.rpartition("-")[0] in KINDS])
def test_pages_come_in_every_way_that_they_should(name: str) -> None:
    snapshot = read_snapshot(bytes_source(load(name).data))
    runs = [run for block in snapshot.ram.blocks for run in snapshot.ram.iter_runs(block.name)]
    assert {run.kind for run in runs} == KINDS[name.rpartition("-")[0]]
    assert snapshot.ram.counts("pc.ram").repeated
    assert snapshot.kind is Kind.PRECOPY


@pytest.mark.parametrize("name", ["postcopy-7.2", "postcopy-10.0"])
def test_postcopy_streams_hold_every_command_of_the_conversation(name: str) -> None:
    snapshot = read_snapshot(bytes_source(load(name).data))
    codes = {record.code for record in snapshot.records if isinstance(record, Command)}
    assert snapshot.kind is Kind.POSTCOPY
    assert codes >= {
        CommandCode.OPEN_RETURN_PATH,
        CommandCode.PING,
        CommandCode.POSTCOPY_ADVISE,
        CommandCode.POSTCOPY_RAM_DISCARD,
        CommandCode.PACKAGED,
    }


@pytest.mark.parametrize("name", SOUND)
def test_sound_streams_are_nothing_to_find(name: str) -> None:
    seen = evidence(load(name).data)
    found = [*ram_complete(seen), *page_content(seen), *mapped_bitmaps(seen)]
    assert found == []
    expected = 1 if name.startswith("postcopy") else 0  # it says that it is one
    assert len(list(order(seen))) == expected


@pytest.mark.parametrize("name", ["mapped-10.0", "mapped-multifd-10.0"])
def test_stale_content_of_pages_that_became_zero_is_not_read(name: str) -> None:
    case = load(name)
    snapshot = read_snapshot(bytes_source(case.data))
    block = snapshot.ram.block("pc.ram")
    assert block.mapped is not None
    start = block.mapped.pages_offset
    raw = case.data[start : start + block.size]
    assert raw != snapshot.memory.read("pc.ram", 0, block.size)


def test_the_trap_is_an_error_and_the_pages_are_in_their_places() -> None:
    case = load(TRAP)
    seen = evidence(case.data)
    (finding,) = mapped_bitmaps(seen)
    assert "background snapshot into mapped-ram" in finding.message
    assert digests(seen.snapshot, case.expected["memory"]) != expected_digests(case)
    mapped = seen.snapshot.ram.block("pc.ram").mapped
    assert mapped is not None
    raw = [
        case.data[mapped.pages_offset + place["start"] : mapped.pages_offset + place["end"]]
        for place in case.expected["memory"]
    ]
    assert [hashlib.sha256(data).hexdigest() for data in raw] == expected_digests(case)
