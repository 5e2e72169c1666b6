from __future__ import annotations

import pytest

from builders import stream as build
from builders.sources import both_sources
from vmstate_tools.core.errors import FormatError, LocatedError, UnsupportedError
from vmstate_tools.ram.index import PageCounts
from vmstate_tools.snapshot.kind import Kind
from vmstate_tools.snapshot.open import Snapshot, read_snapshot

P = 4096
BEFORE = build.header() + build.ram_sections(
    {"pc.ram": [build.page(1), build.page(2), b"", build.page(3)], "rom": [build.page(4)]}
)
AFTER = build.section(
    build.PART, build.ram_page(P, build.page(5), block="pc.ram") + build.ram_eos()
)


def read(*commands: bytes, after: bytes = AFTER) -> Snapshot:
    data = BEFORE + b"".join(commands) + after + build.eof()
    found, piped = [read_snapshot(source) for source in both_sources(data)]
    for block in found.ram.blocks:
        assert found.ram.counts(block.name) == piped.ram.counts(block.name)
    return found


def test_earlier_copies_are_void_and_later_ones_are_not() -> None:
    snapshot = read(build.discard("pc.ram", (0, 2 * P), (2 * P, P)))
    assert snapshot.ram.counts("pc.ram") == PageCounts(total=4, stored=2, absent=2)
    assert snapshot.memory.read_page("pc.ram", 1) == build.page(5)
    assert snapshot.memory.read_page("pc.ram", 3) == build.page(3)
    assert not any(snapshot.memory.read_page("pc.ram", 0))


def test_each_block_is_discarded_by_itself() -> None:
    snapshot = read(build.discard("rom", (0, P)), build.discard("pc.ram"))
    assert snapshot.ram.counts("rom").absent == 1
    assert snapshot.ram.counts("pc.ram") == PageCounts(total=4, stored=3, zero=1, repeated=1)


def test_a_stream_that_takes_pages_back_is_postcopy() -> None:
    package = build.packaged(build.Device().section())
    assert read(build.discard("rom", (0, P)), package).kind is Kind.POSTCOPY


@pytest.mark.parametrize(
    "command",
    [
        build.discard("none", (0, P)),
        build.discard("pc.ram", (0, 5 * P)),
        build.discard("pc.ram", (4 * P, P)),
        build.discard("pc.ram", ((1 << 64) - P, P)),
        build.discard("pc.ram", (0, 100)),
        build.discard("pc.ram", (100, P)),
        build.discard("pc.ram", (0, P), nul=1),
        build.discard("pc.ram", (0, P), more=b"."),
        build.command(build.RAM_DISCARD, b"\0\6pc.ra"),
        build.command(build.RAM_DISCARD),
        build.discard("pc.ram", (0, P), version=1),
    ],
)
def test_ranges_that_make_no_sense_are_refused(command: bytes) -> None:
    with pytest.raises((FormatError, UnsupportedError)) as caught:
        read(command)
    assert caught.value.offset is not None
    assert len(BEFORE) < caught.value.offset <= len(BEFORE + command)


def test_what_was_read_before_is_kept_where_that_is_wanted() -> None:
    data = BEFORE + build.discard("none", (0, P)) + build.eof()
    for source in both_sources(data):
        snapshot = read_snapshot(source, partial=True)
        assert isinstance(snapshot.stopped, LocatedError)
        assert snapshot.ram.counts("pc.ram").stored == 3


def test_nothing_can_be_taken_back_before_there_are_blocks() -> None:
    data = build.header() + build.discard("pc.ram", (0, P)) + build.eof()
    for source in both_sources(data):
        with pytest.raises(FormatError, match="are taken back"):
            read_snapshot(source)
