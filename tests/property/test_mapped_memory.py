"""Memory at fixed places, and pages that are taken back: read right, or refused."""

from __future__ import annotations

from contextlib import suppress

from hypothesis import given
from hypothesis import strategies as st

from builders import stream as build
from builders.mapped import Layout, mapped_stream
from builders.sources import both_sources, bytes_source
from vmstate_tools.core.errors import LocatedError
from vmstate_tools.snapshot.open import read_snapshot

P = 256
PAGES = st.lists(
    st.sampled_from([b"", *(build.page(n, page_size=P) for n in range(3))]), min_size=1
)
BLOCKS = st.dictionaries(st.sampled_from(["pc.ram", "pc.bios", "vga"]), PAGES, min_size=1)
LAYOUT = Layout(page_size=P, alignment=P)
SOUND = mapped_stream({"pc.ram": [build.page(1, page_size=P), b""] * 40, "rom": [b""]}, LAYOUT)
DISCARDED = (
    build.header()
    + build.configuration(subsections=build.page_bits(8))
    + build.ram_sections({"pc.ram": [build.page(1, page_size=P), b"", b""]}, page_size=P)
    + build.discard("pc.ram", (0, P), (2 * P, P))
    + build.eof()
)


@given(blocks=BLOCKS, alignment=st.sampled_from([P, 4096]))
def test_memory_is_what_was_written(blocks: dict[str, list[bytes]], alignment: int) -> None:
    data = mapped_stream(blocks, Layout(page_size=P, alignment=alignment))
    snapshot = read_snapshot(bytes_source(data))
    for name, pages in blocks.items():
        expected = b"".join(page or bytes(P) for page in pages)
        assert snapshot.memory.read(name, 0, len(expected)) == expected
        assert snapshot.ram.counts(name).stored == sum(map(bool, pages))


@given(
    stream=st.sampled_from([SOUND, DISCARDED]),
    changes=st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255)), min_size=1, max_size=4),
    kept=st.integers(0, len(SOUND)),
)
def test_damaged_streams_are_read_or_refused(
    stream: bytes, changes: list[tuple[int, int]], kept: int
) -> None:
    data = bytearray(stream)
    for place, value in changes:
        data[place % len(data)] = value
    for source in both_sources(bytes(data[: max(kept, len(data) // 2)])):
        with suppress(LocatedError):
            snapshot = read_snapshot(source)
            if source.searchable:
                for block in snapshot.ram.blocks:
                    snapshot.memory.read(block.name, 0, min(block.size, 1 << 16))
