from __future__ import annotations

import os
import threading
import time
from typing import TYPE_CHECKING

import pytest

from vmstate_tools.core.errors import HostError
from vmstate_tools.live.drain import Pipe, StreamQueue

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

DATA = bytes(range(256)) * 4096


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    with Pipe() as made:
        yield made


def write_and_close(pipe: Pipe, data: bytes) -> None:
    with os.fdopen(os.dup(pipe.writing), "wb") as file:
        pipe.close_writing()
        file.write(data)


def drained(queue: StreamQueue) -> bytes:
    chunks = []
    while chunk := queue.next_chunk():
        chunks.append(chunk)
    return b"".join(chunks)


def test_chunks_come_out_in_the_order_in_which_they_went_in(pipe: Pipe, tmp_path: Path) -> None:
    queue = StreamQueue(pipe.reading, tmp_path)
    write_and_close(pipe, DATA)
    assert drained(queue) == DATA
    assert queue.received_bytes == len(DATA)
    assert queue.spilled_bytes == 0


def test_the_writer_never_waits_for_the_one_who_asks_for_chunks(pipe: Pipe, tmp_path: Path) -> None:
    queue = StreamQueue(pipe.reading, tmp_path, memory_limit_bytes=64 << 10)
    write_and_close(pipe, DATA * 16)  # returns although nobody has asked for a byte
    assert queue.received_bytes >= len(DATA) * 14
    assert drained(queue) == DATA * 16
    assert queue.spilled_bytes >= len(DATA) * 14
    assert not list(tmp_path.iterdir())


def test_the_spill_file_is_emptied_when_the_backlog_is_gone(pipe: Pipe, tmp_path: Path) -> None:
    queue = StreamQueue(pipe.reading, tmp_path, memory_limit_bytes=0)
    received = b""
    for _ in range(3):
        os.write(pipe.writing, DATA[:8192])
        received += queue.next_chunk()
    write_and_close(pipe, DATA)
    assert received + drained(queue) == DATA[:8192] * 3 + DATA
    assert queue.spilled_bytes == len(received) + len(DATA)


def test_a_spill_folder_that_is_gone_fails_the_snapshot_and_not_the_guest(
    pipe: Pipe, tmp_path: Path
) -> None:
    queue = StreamQueue(pipe.reading, tmp_path / "gone", memory_limit_bytes=0)
    write_and_close(pipe, DATA * 4)  # all of it is taken
    queue._thread.join(10)
    with pytest.raises(HostError, match=r"gone cannot take the rest: No such file or directory"):
        queue.next_chunk()
    assert queue.received_bytes == len(DATA) * 4


def test_what_is_discarded_is_taken_from_the_pipe_all_the_same(pipe: Pipe, tmp_path: Path) -> None:
    queue = StreamQueue(pipe.reading, tmp_path)
    queue.discard()
    write_and_close(pipe, DATA * 4)
    queue._thread.join(10)
    assert queue.received_bytes == len(DATA) * 4
    assert queue.next_chunk() == b""


def test_asking_waits_until_something_comes(pipe: Pipe, tmp_path: Path) -> None:
    queue = StreamQueue(pipe.reading, tmp_path)
    got: list[bytes] = []
    thread = threading.Thread(target=lambda: got.append(queue.next_chunk()))
    thread.start()
    time.sleep(0.05)
    assert not got
    write_and_close(pipe, b"late")
    thread.join(10)
    assert got == [b"late"]
