"""The same bytes as every kind of source."""

from __future__ import annotations

from itertools import chain, repeat
from typing import TYPE_CHECKING

from vmstate_tools.core.source import ByteSource, BytesSource, ForwardSource

if TYPE_CHECKING:
    from collections.abc import Iterable

NAME = "guest.mig"


def bytes_source(data: bytes, *, window_bytes: int = 1 << 20) -> BytesSource:
    return BytesSource(data, NAME, window_bytes=window_bytes)


def chunks_source(data: bytes, chunk_sizes: Iterable[int] = (4096,)) -> ForwardSource:
    """A pipe that hands out chunks of these sizes in turn, the last size again and again."""
    sizes = list(chunk_sizes)
    turns = chain(sizes, repeat(sizes[-1]))
    position = 0

    def next_chunk() -> bytes:
        nonlocal position
        start = position
        position += next(turns)
        return data[start:position]

    return ForwardSource(next_chunk, NAME)


def both_sources(data: bytes) -> list[ByteSource]:
    """A mapped file, and a pipe with chunks that fit to nothing."""
    return [bytes_source(data), chunks_source(data, (7, 501))]
