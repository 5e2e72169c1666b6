from contextlib import suppress

from hypothesis import given
from hypothesis import strategies as st

from builders import stream as build
from vmstate_tools.core.errors import VmstateError
from vmstate_tools.core.source import BytesSource, ForwardSource
from vmstate_tools.snapshot.open import Snapshot, read_snapshot

DEVICES = (build.Device(), build.Device(idstr="globalstate", section_id=3))
BLOCKS: dict[str, list[bytes | None]] = {
    "pc.ram": [build.page(1), b"", None, build.page(2), b""],
    "pc.bios": [build.page(3)],
}


def pipe(data: bytes, chunk_bytes: int) -> ForwardSource:
    pieces = [data[start : start + chunk_bytes] for start in range(0, len(data), chunk_bytes)]
    return ForwardSource(lambda: pieces.pop(0) if pieces else b"", "x")


def facts(snapshot: Snapshot) -> object:
    index = snapshot.ram
    return (
        snapshot.records,
        snapshot.kind,
        [
            (block, index.counts(block.name), list(index.entries(block.name)))
            for block in index.blocks
        ],
        [snapshot.decode(device) for device in snapshot.devices],
    )


@given(
    chunk_bytes=st.integers(1, 20_000),
    footers=st.booleans(),
    end=st.booleans(),
    trailing=st.binary(max_size=20),
)
def test_a_pipe_is_read_like_a_file(
    *, chunk_bytes: int, footers: bool, end: bool, trailing: bytes
) -> None:
    data = build.stream(BLOCKS, DEVICES, footers=footers, end=end, trailing=trailing)
    from_file = read_snapshot(BytesSource(data, "x"))
    assert facts(read_snapshot(pipe(data, chunk_bytes))) == facts(from_file)


@given(
    chunk_bytes=st.integers(1, 20_000),
    footers=st.booleans(),
    changes=st.dictionaries(st.integers(0, 1 << 16), st.integers(0, 255), max_size=4),
    kept=st.integers(0, 1 << 16),
)
def test_damage_raises_nothing_but_our_errors(
    *, chunk_bytes: int, footers: bool, changes: dict[int, int], kept: int
) -> None:
    content = bytearray(build.stream(BLOCKS, DEVICES, footers=footers))
    for place, value in changes.items():
        content[place % len(content)] = value
    data = bytes(content[: kept % (len(content) + 1)])
    for source in (BytesSource(data, "x"), pipe(data, chunk_bytes)):
        with suppress(VmstateError):
            read_snapshot(source, partial=True)
