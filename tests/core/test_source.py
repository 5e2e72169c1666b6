from __future__ import annotations

import os
import sys
import threading
from pathlib import Path

import pytest

from builders.sources import chunks_source
from vmstate_tools.core import source as source_module
from vmstate_tools.core.errors import (
    FormatError,
    HostError,
    TruncatedError,
    UnsupportedError,
    UsageError,
)
from vmstate_tools.core.source import (
    ByteSource,
    BytesSource,
    FileSource,
    ForwardSource,
    open_source,
    pipe_source,
)

DATA = bytes(range(256)) * 40  # 10240 bytes


@pytest.fixture(params=["bytes", "file", "pipe"])
def source(request: pytest.FixtureRequest, tmp_path: Path) -> ByteSource:
    if request.param == "bytes":
        return BytesSource(DATA, "guest.mig")
    if request.param == "pipe":
        return chunks_source(DATA, (7, 1000))
    path = tmp_path / "guest.mig"
    path.write_bytes(DATA)
    return FileSource(path)


def test_a_window_begins_where_it_was_asked_for(source: ByteSource) -> None:
    window = source.window(5, 300, "field")
    assert len(window) >= 300
    assert window == DATA[5 : 5 + len(window)]


def test_read_at_returns_exactly_what_was_asked_for(source: ByteSource) -> None:
    assert source.read_at(100, 3000, "field") == DATA[100:3100]


def test_nothing_can_be_read_at_the_end(source: ByteSource) -> None:
    assert len(source.read_at(len(DATA), 0, "field")) == 0


def test_bytes_past_the_end_are_an_error_with_place_and_amount(source: ByteSource) -> None:
    with pytest.raises(
        TruncatedError, match=r"guest\.mig: byte 0x27fe \(field\): the data ends 8 bytes too early"
    ) as caught:
        source.read_at(len(DATA) - 2, 10, "field")
    assert caught.value.offset == len(DATA) - 2


def test_an_offset_past_the_end_is_an_error(source: ByteSource) -> None:
    with pytest.raises(TruncatedError, match="ends 3 bytes too early") as caught:
        source.window(len(DATA) + 3, 0, "field")
    assert caught.value.offset == len(DATA)


def test_the_end_is_told(source: ByteSource) -> None:
    assert not source.at_end(len(DATA) - 1)
    assert source.at_end(len(DATA))


def test_the_size_is_told(source: ByteSource) -> None:
    assert source.size_to_end() == len(DATA)


def test_reading_goes_on_behind_a_release(source: ByteSource) -> None:
    source.release(9000)
    assert source.read_at(9000, 100, "field") == DATA[9000:9100]


def test_views_outlive_a_release(source: ByteSource) -> None:
    view = source.read_at(0, 100, "field")
    source.release(9000)
    source.read_at(9000, 1000, "field")
    assert view == DATA[:100]


def test_the_window_of_a_map_ends_somewhere() -> None:
    window = BytesSource(DATA, "guest.mig", window_bytes=64).window(0, 10, "field")
    assert len(window) == 64


def test_a_pipe_waits_for_no_more_than_was_asked_for() -> None:
    source = chunks_source(DATA, (10, 10, 10))
    assert source.window(0, 11, "field") == DATA[:20]


def test_a_pipe_keeps_nothing_that_was_released() -> None:
    source = chunks_source(DATA, (1000,))
    source.read_at(0, 5000, "field")
    source.release(4000)
    source.read_at(4000, 2000, "field")
    with pytest.raises(UnsupportedError, match="a pipe cannot be read again") as caught:
        source.read_at(3999, 1, "field")
    assert caught.value.offset == 3999


def test_a_pipe_can_be_told_to_skip_what_has_not_come_yet() -> None:
    source = chunks_source(DATA, (10,))
    source.release(9000)
    assert source.read_at(9000, 5, "field") == DATA[9000:9005]
    assert len(source.window(9000, 0, "field")) == 10


def test_a_pipe_that_ends_while_it_is_skipped_is_truncated() -> None:
    source = chunks_source(DATA)
    source.release(len(DATA) + 100)
    with pytest.raises(TruncatedError):
        source.window(len(DATA) + 100, 0, "field")


def test_a_pipe_keeps_its_tail_from_the_last_release_on() -> None:
    source = chunks_source(DATA, (1000,))
    source.release(2500)
    assert source.size_to_end() == len(DATA)
    assert source.read_at(2500, 7000, "field") == DATA[2500:9500]


def test_a_pipe_does_not_keep_a_tail_without_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source_module, "MAX_TAIL_BYTES", 5000)
    source = chunks_source(DATA, (1000,))
    source.release(5000)
    with pytest.raises(FormatError, match="more than 5000 bytes follow") as caught:
        source.size_to_end()
    assert caught.value.offset == 5000


def test_a_pipe_is_not_read_again_after_its_end() -> None:
    chunks = iter([b"abc", b""])
    source = ForwardSource(lambda: next(chunks), "guest.mig")
    assert source.at_end(3)
    assert source.at_end(4)
    assert source.size_to_end() == 3


def test_an_empty_file_is_a_source_without_bytes(tmp_path: Path) -> None:
    path = tmp_path / "empty"
    path.touch()
    with FileSource(path) as source:
        assert source.at_end(0)
        source.release(0)


def test_a_file_can_be_closed_while_views_are_out(tmp_path: Path) -> None:
    path = tmp_path / "guest.mig"
    path.write_bytes(DATA)
    source = FileSource(path)
    view = source.read_at(0, 10, "field")
    source.close()
    assert view == DATA[:10]


def test_what_was_released_does_not_count_as_memory(tmp_path: Path) -> None:
    path = tmp_path / "guest.mig"
    path.write_bytes(bytes(8 << 20))
    with FileSource(path) as source:
        before = _mapped_kib(path)
        assert not any(source.window(0, 8 << 20, "field"))
        touched = _mapped_kib(path)
        source.release(8 << 20)
        assert touched - before > 7 << 10
        assert _mapped_kib(path) - before < 1 << 10


def _mapped_kib(path: Path) -> int:
    """How much of a mapped file is in our memory."""
    _, _, area = Path("/proc/self/smaps").read_text(encoding="ascii").partition(f" {path}\n")
    _, _, amount = area.partition("Rss:")
    return int(amount.split()[0])


def test_a_missing_file_is_a_usage_error(tmp_path: Path) -> None:
    with (
        pytest.raises(UsageError, match="missing: No such file"),
        open_source(tmp_path / "missing"),
    ):
        pass


def test_a_folder_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="Is a directory"), open_source(tmp_path):
        pass


def test_a_file_is_opened_for_reading_anywhere(tmp_path: Path) -> None:
    path = tmp_path / "guest.mig"
    path.write_bytes(DATA)
    with open_source(path) as source:
        assert source.searchable
        assert source.read_at(500, 5, "field") == DATA[500:505]


def test_a_fifo_is_read_onwards(tmp_path: Path) -> None:
    path = tmp_path / "fifo"
    os.mkfifo(path)
    writer = threading.Thread(target=path.write_bytes, args=(DATA,))
    writer.start()
    with open_source(path) as source:
        assert not source.searchable
        assert source.name == str(path)
        assert source.size_to_end() == len(DATA)
    writer.join()


def test_a_dash_is_standard_input(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "input"
    path.write_bytes(DATA)
    with path.open(encoding="latin-1") as file:
        monkeypatch.setattr(sys, "stdin", file)
        with open_source(Path("-")) as source:
            assert source.name == "-"
            assert source.size_to_end() == len(DATA)


def test_a_pipe_that_fails_is_a_host_error(tmp_path: Path) -> None:
    folder = os.open(tmp_path, os.O_RDONLY)
    try:
        with pytest.raises(HostError, match="broken: Is a directory"):
            pipe_source(folder, "broken").at_end(0)
    finally:
        os.close(folder)
