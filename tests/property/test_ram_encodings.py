"""Memory that was sent in several passes and encodings reads as a slow reader makes it."""

from __future__ import annotations

import zlib
from contextlib import suppress
from dataclasses import dataclass, field

from hypothesis import given
from hypothesis import strategies as st

from builders import stream as build
from builders.slow_memory import SlowMemory, make_patch
from builders.sources import bytes_source, chunks_source
from vmstate_tools.core.errors import LocatedError
from vmstate_tools.snapshot.open import Snapshot, read_snapshot

P = 512  # the smallest page whose records can say that they are compressed
PAGE_COUNTS = {"pc.ram": 6, "rom": 2}
SIZES = {name: count * P for name, count in PAGE_COUNTS.items()}
FRONT = build.header() + build.configuration(subsections=build.page_bits(9))
FRONT += build.section(build.START, build.ram_setup(SIZES) + build.ram_eos())

CONTENT = st.binary(min_size=1, max_size=40).map(lambda data: (data * P)[:P])
CHANGES = st.lists(st.tuples(st.integers(0, P - 1), st.binary(min_size=1, max_size=8)), max_size=6)


@dataclass
class Writer:
    """Sends pages as QEMU would, knowing what the other side has."""

    memory: dict[tuple[str, int], bytes] = field(default_factory=dict)
    records: bytes = b""
    block: str = ""

    def send(self, block: str, page: int, kind: str, content: bytes, changes: object) -> None:
        before = self.memory.get((block, page), bytes(P))
        after = content
        if kind == "patch":
            assert isinstance(changes, list)
            after = before
            for place, new in changes:
                after = (after[:place] + new + after[place + len(new) :])[:P]
        elif kind == "fill":
            after = content[:1] * P
        flags, body = {
            "page": (build.RAM_PAGE, after),
            "fill": (build.RAM_ZERO, after[:1]),
            "compressed": (build.RAM_COMPRESS_PAGE, _with_length(zlib.compress(after))),
            "patch": (build.RAM_XBZRLE, _patch_body(before, after)),
        }[kind]
        if len(body) <= P + 3:  # a longer patch or page QEMU sends plain
            name = None if block == self.block else block
            self.records += build.ram_record(page * P, flags, body, block=name)
            self.block = block
            self.memory[block, page] = after


def _with_length(data: bytes) -> bytes:
    return build.be32(len(data)) + data


def _patch_body(before: bytes, after: bytes) -> bytes:
    patch = make_patch(before, after)
    return b"\1" + build.be16(len(patch)) + patch


@st.composite
def streams(draw: st.DrawFn) -> tuple[bytes, list[int]]:
    """Return a stream, and where the records of each section begin in it."""
    writer = Writer()
    data = FRONT
    starts = []
    for _ in range(draw(st.integers(1, 3))):
        writer.records = b""
        for _ in range(draw(st.integers(0, 12))):
            block = draw(st.sampled_from(list(PAGE_COUNTS)))
            page = draw(st.integers(0, PAGE_COUNTS[block] - 1))
            kind = draw(st.sampled_from(["page", "fill", "compressed", "patch", "patch"]))
            writer.send(block, page, kind, draw(CONTENT), draw(CHANGES))
        starts.append(len(data) + 5)
        data += build.section(build.PART, writer.records + build.ram_eos())
    return data + build.eof(), starts


@given(written=streams(), window_bytes=st.integers(600, 4000))
def test_memory_is_what_the_slow_reader_makes_of_it(
    written: tuple[bytes, list[int]], window_bytes: int
) -> None:
    data, starts = written
    slow = SlowMemory(SIZES, page_size=P)
    for start in starts:
        slow.read(data, start)
    snapshot = read_snapshot(bytes_source(data, window_bytes=window_bytes))
    for name, size in SIZES.items():
        assert snapshot.memory.read(name, 0, size) == slow.content[name]
        assert snapshot.ram.counts(name).absent == PAGE_COUNTS[name] - len(slow.sent[name])
    piped = read_snapshot(chunks_source(data, (13, 700)))
    assert [entries(piped, name) for name in SIZES] == [entries(snapshot, name) for name in SIZES]


def entries(snapshot: Snapshot, name: str) -> list[int]:
    found: list[int] = snapshot.ram.entries(name).tolist()
    return found


@given(
    written=streams(),
    places=st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), min_size=1, max_size=4),
)
def test_damaged_records_raise_nothing_but_our_errors(
    written: tuple[bytes, list[int]], places: list[tuple[float, int]]
) -> None:
    data = bytearray(written[0])
    first = written[1][0]
    for place, value in places:
        data[first + int(place * (len(data) - first - 1))] = value
    with suppress(LocatedError):
        memory = read_snapshot(bytes_source(bytes(data)), partial=True).memory
        for block in memory.index.blocks:
            for page in range(block.page_count):
                with suppress(LocatedError):
                    assert len(memory.read_page(block.name, page)) == P
